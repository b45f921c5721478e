"""One session for all pages, and what became of each command at the end."""

from collections.abc import Iterator

import pytest

from tests.docs.reports import pytest_configure, pytest_terminal_summary, reports  # noqa: F401 - pytest finds them here
from tests.docs.scratch import make_scratch
from tests.docs.session import Session
from tests.faults.system import find_processes


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """Somebody who has cloned this project just now."""
    session = Session(make_scratch(tmp_path_factory.mktemp("docs")))
    try:
        yield session
        session.end_page()
    finally:
        session.stop_system()
    assert find_processes(session.home) == [], "Ctrl-C left processes behind"
