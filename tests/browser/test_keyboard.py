"""From an empty form to a cancelled job without a mouse."""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, slowed_models
from tests.faults.system import RunningSystem

MOST_TABS = 80
FOCUSED = "document.activeElement?.dataset?.test ?? null"
# What shows a person where the focus is.
OUTLINE = "getComputedStyle(document.activeElement).outlineStyle"


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the focus is there; it must be seen."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED) == name:
            assert page.evaluate(OUTLINE) != "none", f"nothing shows that {name} has the focus"
            return
    raise AssertionError(f"{MOST_TABS} times Tab do not lead to {name}")


def test_main_path_needs_no_mouse(open_page: OpenPage, system: RunningSystem) -> None:
    page = open_page("/#/")
    expect(page.get_by_test_id("new-job")).to_be_visible()
    tab_to(page, "nav-new")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("job-form")).to_be_visible()
    tab_to(page, "field-dataset")
    page.keyboard.type("by-keyboard")
    tab_to(page, "domain-name")
    page.keyboard.type("coding")
    tab_to(page, "domain-total")
    page.keyboard.type("2000")
    expect(page.get_by_test_id("plan-questions")).to_have_text("2,000")
    with slowed_models(system):
        tab_to(page, "submit")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("#/jobs/"))
        expect(page.get_by_test_id("job-state")).to_have_text("running")
        tab_to(page, "pause")
        page.keyboard.press("Space")
        expect(page.get_by_test_id("job-state")).to_have_text("paused")
        tab_to(page, "cancel")
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("cancel-dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_test_id("cancel-dialog")).to_have_count(0)
        expect(page.get_by_test_id("cancel")).to_be_focused()
        page.keyboard.press("Enter")
        tab_to(page, "dialog-confirm")
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("job-state")).to_have_text("cancelled")
    tab_to(page, "to-dataset")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("dataset-name")).to_have_text("by-keyboard")
