"""How tests are spread over processes: a file stays in one, since its tests share servers and databases."""

import signal

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says who else uses the machine.
settings.register_profile("questmill", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("questmill")

# Started in the background, a shell's child ignores Ctrl-C, and so would all processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
