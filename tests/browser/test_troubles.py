"""What a page says when it has nothing to show, or when something does not work."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.complaints import Complaints
from tests.browser.conftest import OpenPage
from tests.browser.samples import Samples, make_spec
from tests.faults.jobs import wait_for_end, wait_for_state
from tests.faults.system import RunningSystem

NOBODY = "00000000-0000-7000-8000-000000000000"
AWAY = r"net::ERR_|request failed"
FOCUSED = "document.activeElement.tagName"


def answer_jobs(page: Page, items: list[Any]) -> None:
    """Let the list of jobs be this: no system of the tests has none, and ours never answers nonsense."""

    def fulfil(route: Route) -> None:
        route.fulfill(json={"items": items, "next_cursor": None})

    page.route("**/v1/jobs?*", fulfil)


@pytest.mark.parametrize(
    ("path", "name", "said"),
    [
        (f"/#/jobs/{NOBODY}", "job-problem", "no job"),
        ("/#/jobs/not-an-id", "job-problem", "not-an-id"),
        ("/#/datasets/nobody", "dataset-problem", "nobody"),
        ("/#/datasets/{dataset}/questions/999999999", "question-problem", "999999999"),
        ("/#/datasets/{dataset}/questions/first", "question-problem", "write a whole number"),
        (f"/#/new?from={NOBODY}", "submit-problem", "no job"),
    ],
)
def test_what_is_not_there_is_said(
    open_page: OpenPage, samples: Samples, complaints: Complaints, path: str, name: str, said: str
) -> None:
    complaints.provoke(r"status of 4\d\d ")
    page = open_page(path.format(dataset=samples.dataset))
    problem = page.get_by_test_id(name)
    expect(problem).to_contain_text(said)
    print(problem.inner_text())


def test_system_without_jobs_says_how_to_begin(open_page: OpenPage) -> None:
    page = open_page("about:blank")
    answer_jobs(page, [])
    page.goto("/#/")
    page.get_by_test_id("no-jobs").get_by_role("link").click()
    expect(page.get_by_test_id("job-form")).to_be_visible()


def test_view_that_fails_says_so_and_the_others_go_on(open_page: OpenPage, samples: Samples) -> None:
    page = open_page("about:blank")
    answer_jobs(page, [None])
    page.goto("/#/")
    expect(page.get_by_test_id("page-error")).to_contain_text("This view has failed")
    page.get_by_test_id("nav-datasets").click()
    expect(page.get_by_test_id("page-error")).to_have_count(0)
    expect(page.get_by_test_id("dataset-link").filter(has_text=samples.dataset)).to_be_visible()


def test_button_that_reaches_nobody_says_so(open_page: OpenPage, long_job: str, complaints: Complaints) -> None:
    complaints.provoke(AWAY)
    page = open_page(f"/#/jobs/{long_job}")
    expect(page.get_by_test_id("pause")).to_be_visible()
    page.context.set_offline(True)
    page.get_by_test_id("pause").click()
    expect(page.get_by_test_id("steer-problem")).to_have_text("The API cannot be reached.")
    page.context.set_offline(False)
    page.get_by_test_id("pause").click()
    expect(page.get_by_test_id("job-state")).to_have_text("paused")
    expect(page.get_by_test_id("steer-problem")).to_have_count(0)


def test_comparing_while_the_api_is_away_is_said(open_page: OpenPage, samples: Samples, complaints: Complaints) -> None:
    complaints.provoke(AWAY)
    page = open_page(f"/#/datasets/{samples.dataset}")
    expect(page.get_by_test_id("question-row").first).to_be_visible()
    page.get_by_test_id("check-text").fill("Which one?")
    page.context.set_offline(True)
    page.get_by_test_id("check").click()
    expect(page.get_by_test_id("check-result")).to_have_text("The API cannot be reached.")
    page.get_by_test_id("near").click()
    panel = page.get_by_test_id("panel-duplicates")
    expect(panel.get_by_role("alert")).to_have_text("The API cannot be reached.")


def test_job_that_runs_out_of_budget_says_why_and_goes_on_when_asked(
    open_page: OpenPage, system: RunningSystem
) -> None:
    job_id = str(system.client.submit(make_spec("out-of-budget", budget_usd="0.004"))["id"])
    wait_for_state(system, job_id, "paused")
    page = open_page("/#/")
    row = page.get_by_test_id("job-row").filter(has_text="out-of-budget")
    expect(row.get_by_test_id("job-reason")).to_contain_text("resume with a higher budget")
    row.get_by_test_id("job-link").click()
    expect(page.get_by_test_id("job-reason")).to_contain_text("resume with a higher budget")
    page.get_by_test_id("budget").click()
    page.get_by_test_id("budget-input").fill("lots")
    page.get_by_test_id("dialog-confirm").click()
    expect(page.get_by_test_id("dialog-problem")).to_have_text("Write an amount in US dollars, like 25.00.")
    page.get_by_test_id("budget-input").fill("5")
    page.get_by_test_id("budget-resume").uncheck()
    expect(page.get_by_test_id("dialog-confirm")).to_have_text("Set the budget")
    page.get_by_test_id("dialog-confirm").click()
    expect(page.get_by_test_id("readout-cost")).to_contain_text("of $5.00")
    expect(page.get_by_test_id("job-state")).to_have_text("paused")
    page.get_by_test_id("resume").click()
    assert wait_for_end(system, job_id).state == "succeeded"
    expect(page.get_by_test_id("job-state")).to_have_text("succeeded")


def test_near_duplicates_are_shown_together(open_page: OpenPage, system: RunningSystem, tmp_path: Any) -> None:
    file = tmp_path / "near.jsonl"
    said = "How does the old baker of the small village {} bread in the early morning of a cold winter day?"
    rows = [
        f'{{"question": "{said.format(word)}", "domain": "math", "difficulty": "easy"}}' for word in ("bake", "make")
    ]
    file.write_text("\n".join(rows))
    system.client.import_baseline("near-ones", file)
    page = open_page("/#/datasets/near-ones")
    page.get_by_test_id("near").click()
    expect(page.get_by_test_id("near-report")).to_contain_text("1 cluster with 2 questions of 2")
    page.get_by_test_id("near-cluster").get_by_role("link").last.click()
    expect(page.get_by_test_id("question-text")).to_contain_text("old baker")


def test_keyboard_jumps_over_the_head(open_page: OpenPage) -> None:
    page = open_page("/#/datasets")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate(FOCUSED) == "MAIN"
    expect(page).to_have_title(re.compile("^Datasets"))
