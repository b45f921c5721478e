"""Whatever a model or a file says is text."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.samples import HOSTILE_TEXTS, make_spec
from tests.faults.jobs import wait_for_end
from tests.faults.system import RunningSystem

# Called by a text that a page took for HTML or for a script.
TRAP = "() => { window.struck = 0; window.hostile = () => { window.struck += 1 } }"
HOSTILE_DOMAIN = "<img src=nowhere.png onerror=hostile()>"


def test_hostile_questions_and_names_are_shown_as_text(open_page: OpenPage, system: RunningSystem) -> None:
    mix = make_spec("hostile", questions=24)["mix"] | {"domains": {"coding": 12, HOSTILE_DOMAIN: 12}}
    job_id = str(system.client.submit(make_spec("hostile", mix=mix, questions_per_call={"easy": 4, "hard": 2}))["id"])
    assert wait_for_end(system, job_id).state == "succeeded"
    page = open_page("/")
    page.evaluate(TRAP)  # what follows are other views of the same page
    page.goto(f"/#/jobs/{job_id}")
    expect(page.get_by_test_id("heat")).to_contain_text(HOSTILE_DOMAIN)
    expect(page.get_by_test_id("newest-question").first).to_be_visible()
    check_untouched(page)
    page.goto("/#/datasets/hostile?text=hostile()")
    links = page.get_by_test_id("question-link")
    expect(links.first).to_be_visible()
    admitted = set(links.all_inner_texts()) & set(HOSTILE_TEXTS)
    assert admitted, "no hostile text was admitted"
    for text in admitted:
        links.get_by_text(text, exact=True).click()
        expect(page.get_by_test_id("question-text")).to_have_text(text)
        for summary in page.get_by_test_id("question").locator("summary").all():
            summary.click()
        check_untouched(page)
        page.get_by_test_id("question-close").click()


def check_untouched(page: Page) -> None:
    assert page.evaluate("window.struck") == 0
    assert page.locator("main :is(img, script, b[onmouseover])").count() == 0
