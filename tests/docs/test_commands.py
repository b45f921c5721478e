"""Every command of the pages does what is printed: typed in order, page by page, on the real system."""

import pytest

from tests.docs.pages import Page, read_pages
from tests.docs.reports import Report
from tests.docs.session import Session
from tests.docs.shell import ShellCommand, commands_of

PYTHON = "python"


def steps_of(page: Page) -> list[tuple[str, ShellCommand]]:
    """The commands and the examples in Python, in the order of the page."""
    shell = [("sh", command) for command in commands_of(page)]
    examples = [
        (PYTHON, ShellCommand(block.page, block.line, block.text)) for block in page.blocks if block.language == PYTHON
    ]
    return sorted(shell + examples, key=lambda step: step[1].line)


PAGES = [page for page in read_pages() if steps_of(page)]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_command_does_what_the_page_says(page: Page, session: Session, reports: list[Report]) -> None:
    session.begin_page()
    try:
        for language, command in steps_of(page):
            do = session.run_python if language == PYTHON else session.type
            reports.append(do(command))
        session.require_printed(page.name)
    finally:
        session.end_page()
