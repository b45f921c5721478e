"""The list of a dataset's questions."""

from playwright.sync_api import Locator, Page, expect


def rows(page: Page) -> Locator:
    """The questions listed."""
    return page.get_by_test_id("question-row")


def choose_state(page: Page, state: str) -> None:
    """Until the list is of that state: what was there before stays until the chosen questions have come."""
    with page.expect_response(lambda response: f"state={state}" in response.url):
        page.get_by_test_id("filter-state").select_option(state)
    expect(rows(page).filter(has=page.get_by_test_id("state").filter(has_not_text=state))).to_have_count(0)
