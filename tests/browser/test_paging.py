"""Lists longer than a page: further and back, with filters, and what the browser's own buttons do with them."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.questions import choose_state, rows
from tests.browser.samples import Samples, make_spec
from tests.faults.system import RunningSystem

PAGE = 20
JOBS_PAGE = 50
MANY = "paged-"


@pytest.fixture
def many_jobs(system: RunningSystem) -> Iterator[int]:
    """Two more jobs than a page shows, and none of them afterwards: other tests look at the first page."""
    for n in range(JOBS_PAGE + 2):
        spec = make_spec(f"{MANY}{n:02}", questions=4, stages=["generate"], models={})
        system.client.cancel(str(system.client.submit(spec)["id"]))
    yield JOBS_PAGE + 2
    system.query("DELETE FROM dataset WHERE name LIKE %s RETURNING 1", [f"{MANY}%"])


def ids(page: Page) -> list[str]:
    """The ids of the questions listed, in their order."""
    return [str(each.get_attribute("data-question")) for each in rows(page).all()]


def test_all_questions_are_reached_page_by_page(open_page: OpenPage, samples: Samples) -> None:
    page = open_page(f"/#/datasets/{samples.dataset}?state=selected")
    more = page.get_by_test_id("more")
    expect(rows(page)).to_have_count(PAGE)
    seen = ids(page)
    for count in (2 * PAGE, 3 * PAGE):
        more.click()
        expect(rows(page)).to_have_count(count)
        assert ids(page)[: len(seen)] == seen, "what was there has moved"
        seen = ids(page)
    expect(more).to_have_count(0)
    assert len(set(seen)) == 3 * PAGE
    expect(page.get_by_test_id("panel-questions").get_by_role("status")).to_have_text("60 questions shown")


def test_another_filter_begins_with_its_first_page(open_page: OpenPage, samples: Samples) -> None:
    page = open_page(f"/#/datasets/{samples.dataset}?state=selected")
    expect(rows(page)).to_have_count(PAGE)
    page.get_by_test_id("more").click()
    expect(rows(page)).to_have_count(2 * PAGE)
    page.get_by_test_id("filter-domain").select_option("coding")
    expect(rows(page)).to_have_count(PAGE)
    expect(rows(page).filter(has_text="math / ")).to_have_count(0)
    page.get_by_test_id("more").click()
    expect(rows(page)).to_have_count(30)
    expect(rows(page).filter(has_text="coding / ")).to_have_count(30)
    expect(page.get_by_test_id("more")).to_have_count(0)


def test_back_from_a_question_leads_to_the_place_in_the_list(open_page: OpenPage, samples: Samples) -> None:
    page = open_page("/#/datasets")
    page.get_by_test_id("dataset-link").filter(has_text=samples.dataset).click()
    choose_state(page, "selected")
    page.get_by_test_id("more").click()
    expect(rows(page)).to_have_count(2 * PAGE)
    listed = ids(page)
    page.get_by_test_id("question-link").nth(30).click()
    expect(page.get_by_test_id("question")).to_have_attribute("data-question", listed[30])
    page.get_by_test_id("question-link").nth(31).click()
    expect(page.get_by_test_id("question")).to_have_attribute("data-question", listed[31])
    page.go_back()
    expect(page.get_by_test_id("question")).to_have_attribute("data-question", listed[30])
    page.go_back()
    expect(page.get_by_test_id("question")).to_have_count(0)
    expect(page.get_by_test_id("filter-state")).to_have_value("selected")
    assert ids(page) == listed
    page.go_forward()
    expect(page.get_by_test_id("question")).to_have_attribute("data-question", listed[30])
    page.go_back()
    page.go_back()  # over the filters, which are no pages
    expect(page.get_by_test_id("datasets")).to_be_visible()


def test_older_jobs_and_back_to_the_newer(open_page: OpenPage, many_jobs: int, samples: Samples) -> None:
    page = open_page("/#/")
    listed = page.get_by_test_id("job-row")
    expect(listed).to_have_count(JOBS_PAGE)
    expect(page.get_by_test_id("newer")).to_have_count(0)
    expect(listed.first).to_contain_text(f"{MANY}{many_jobs - 1}")
    page.get_by_test_id("older").click()
    expect(page.locator(f'[data-job="{samples.job_id}"]')).to_be_visible()
    expect(listed.first).to_contain_text(f"{MANY}01")
    page.get_by_test_id("newer").click()
    expect(listed.first).to_contain_text(f"{MANY}{many_jobs - 1}")
    expect(page.get_by_test_id("newer")).to_have_count(0)
