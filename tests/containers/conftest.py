"""What became of each command at the end."""

from tests.docs.reports import pytest_configure, pytest_terminal_summary, reports  # noqa: F401 - pytest finds them here
