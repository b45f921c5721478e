"""What holds for all tests, wherever they run."""

import signal

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says who else uses the machine.
settings.register_profile("questmill", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("questmill")

# Started in the background, a shell's child ignores Ctrl-C, and so would all processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Whole systems take long and are few in a file: what is begun last is waited for by all.
FIRST = ("tests/service/system/", "tests/service/local/", "tests/service/cli/", "tests/service/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the folders, those of the longest files first, and leave each file as it is."""
    items.sort(key=lambda item: [not item.nodeid.startswith(folder) for folder in FIRST])
