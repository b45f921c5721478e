"""What is around the views, and what a job keeps to be looked at after its end."""

import json

from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.samples import Samples
from tests.faults.system import RunningSystem

BACKGROUND = "getComputedStyle(document.documentElement).colorScheme + getComputedStyle(document.body).backgroundColor"


def test_theme_is_chosen_and_kept(open_page: OpenPage) -> None:
    page = open_page("/#/")
    theme = page.get_by_test_id("theme")
    expect(theme).to_have_text("Theme: System")
    light = page.evaluate(BACKGROUND)
    theme.click()
    theme.click()
    expect(theme).to_have_text("Theme: Dark")
    dark = page.evaluate(BACKGROUND)
    assert dark != light
    page.reload()
    expect(theme).to_have_text("Theme: Dark")
    assert page.evaluate(BACKGROUND) == dark


def test_unknown_address_is_said(open_page: OpenPage) -> None:
    page = open_page("/#/nowhere")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no such page")


def test_back_leads_back(open_page: OpenPage, samples: Samples) -> None:
    page = open_page("/#/")
    page.locator(f'[data-job="{samples.job_id}"]').get_by_test_id("job-link").click()
    expect(page.get_by_test_id("job-name")).to_have_text(samples.dataset)
    page.get_by_test_id("to-dataset").click()
    expect(page.get_by_test_id("dataset-name")).to_have_text(samples.dataset)
    page.go_back()
    expect(page.get_by_test_id("job-name")).to_have_text(samples.dataset)
    page.go_back()
    expect(page.get_by_test_id("jobs")).to_be_visible()


def test_refused_candidates_are_shown_with_their_reasons(
    open_page: OpenPage, samples: Samples, system: RunningSystem
) -> None:
    refused = system.query("SELECT reason, text FROM rejection WHERE job_id = %s", [samples.job_id])
    assert refused, "nothing was refused, though the models repeat themselves"
    page = open_page(f"/#/jobs/{samples.job_id}")
    page.get_by_test_id("refused-show").click()
    shown = page.get_by_test_id("refused-row")
    expect(shown).to_have_count(min(len(refused), 20))
    expect(page.get_by_test_id("refused")).to_contain_text(refused[-1].reason.replace("_", " "))


def test_spec_is_copied(open_page: OpenPage, samples: Samples) -> None:
    page = open_page(f"/#/jobs/{samples.job_id}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_test_id("panel-spec").locator("summary").click()
    page.get_by_test_id("copy-spec").click()
    expect(page.get_by_test_id("copy-spec")).to_have_text("Copied")
    assert json.loads(page.evaluate("navigator.clipboard.readText()"))["dataset"] == samples.dataset


# The address changes when the frame has been drawn, and before anybody listens: effects come after the next picture.
EARLY = """
new MutationObserver((_, observer) => {
  if (document.querySelector("[data-test=nav-jobs]")) { observer.disconnect(); location.hash = "#/datasets"; }
}).observe(document, { childList: true, subtree: true });
"""


def test_an_address_that_changes_early_is_followed(open_page: OpenPage, samples: Samples) -> None:
    page = open_page("/")
    page.add_init_script(EARLY)
    page.goto("/")
    expect(page.get_by_test_id("dataset-link").first).to_be_visible()
