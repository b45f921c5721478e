"""What holds for all tests, wherever they run."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# What the caller has set for a system or a client is not the tests', nor their processes', which inherit from this one;
# taken away before anything is imported that looks at it.
FOREIGN = ("QUESTMILL_", "OPENAI_", "ANTHROPIC_", "DATABASE_", "REDIS_", "OTEL_")
COLOURS = {"FORCE_COLOR", "PY_COLORS", "NO_COLOR", "GITHUB_ACTIONS", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
OUR_OWN = ("QUESTMILL_TEST_", "QUESTMILL_FUZZ_", "QUESTMILL_HOSTILE_", "QUESTMILL_CHROMIUM", "QUESTMILL_HOME")
for name in list(os.environ):
    upper = name.upper()
    if (upper.startswith(FOREIGN) and not upper.startswith(OUR_OWN)) or upper in COLOURS:
        del os.environ[name]

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
