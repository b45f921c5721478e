"""Every button and choice of the new job's form."""

import json
import re
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.complaints import Complaints
from tests.browser.conftest import OpenPage, going_on
from tests.browser.samples import Samples
from tests.faults.jobs import wait_for_end
from tests.faults.system import RunningSystem

REFUSED = r"status of 4\d\d .*/v1/(plans|jobs)"


def spec_of(page: Page) -> dict[str, Any]:
    """What the form would post."""
    spec: dict[str, Any] = json.loads(page.get_by_test_id("spec-text").input_value())
    return spec


def fill_small(page: Page, dataset: str, questions: int) -> None:
    """One domain, and its plan."""
    page.get_by_test_id("field-dataset").fill(dataset)
    page.get_by_test_id("domain-name").first.fill("coding")
    page.get_by_test_id("domain-total").first.fill(str(questions))
    expect(page.get_by_test_id("plan-questions")).to_have_text(str(questions))


def test_bulk_is_chosen_for_a_stage_and_the_job_goes_that_way(open_page: OpenPage, system: RunningSystem) -> None:
    page = open_page("/#/new")
    fill_small(page, "in-bulk", 40)
    page.get_by_test_id("difficulty-mean").nth(1).fill("60")
    page.get_by_test_id("stage-answer").check()
    live_cost = page.get_by_test_id("plan-cost").inner_text()
    for stage in ("generate", "answer"):
        page.get_by_test_id(f"field-mode-{stage}").select_option("bulk")
    expect(page.get_by_test_id("plan-cost")).not_to_have_text(live_cost)
    assert spec_of(page)["mode"] == {"generate": "bulk", "answer": "bulk"}
    page.get_by_test_id("submit").click()
    expect(page).to_have_url(re.compile("#/jobs/"))
    job_id = page.url.rpartition("/")[2]
    expect(page.get_by_test_id("job-state")).to_have_text("succeeded", timeout=90_000)
    expect(page.get_by_test_id("readout-questions")).to_have_text("40 of 40")
    assert [each["state"] for each in system.client.submissions(job_id)], "nothing went in bulk"
    assert system.value("SELECT count(*) FROM call WHERE job_id = %s AND submission_id IS NULL", [job_id]) == 0
    page.get_by_test_id("panel-spec").locator("summary").click()
    page.get_by_test_id("again").click()
    expect(page.get_by_test_id("field-mode-answer")).to_have_value("bulk")
    page.get_by_test_id("field-mode-answer").select_option("live")
    assert spec_of(page)["mode"] == {"generate": "bulk"}


def test_rows_are_added_and_taken_away(open_page: OpenPage) -> None:
    page = open_page("/#/new")
    fill_small(page, "rows", 10)
    page.get_by_test_id("domain-add").click()
    page.get_by_test_id("domain-name").nth(1).fill("math")
    page.get_by_test_id("domain-total").nth(1).fill("30")
    expect(page.get_by_test_id("plan-questions")).to_have_text("40")
    page.get_by_test_id("domain-remove").first.click()
    expect(page.get_by_test_id("domain-row")).to_have_count(1)
    expect(page.get_by_test_id("domain-name")).to_have_value("math")
    expect(page.get_by_test_id("plan-questions")).to_have_text("30")
    page.get_by_test_id("difficulty-share").nth(1).fill("30")
    page.get_by_test_id("difficulty-add").click()
    for name, value in {"name": "medium", "share": "10", "mean": "60", "answer": "90"}.items():
        page.get_by_test_id(f"difficulty-{name}").nth(2).fill(value)
    expect(page.get_by_test_id("plan-cells").locator("thead th")).to_have_text(["Target", "easy", "hard", "medium"])
    assert spec_of(page)["mix"]["difficulties"]["medium"] == {
        "token_share": 0.1, "mean_tokens": 60, "answer_tokens": 90,
    }  # fmt: skip
    page.get_by_test_id("difficulty-remove").nth(2).click()
    page.get_by_test_id("difficulty-share").nth(1).fill("40")
    expect(page.get_by_test_id("plan-cells").locator("thead th")).to_have_text(["Target", "easy", "hard"])


def test_every_choice_is_in_the_spec(open_page: OpenPage) -> None:
    page = open_page("/#/new")
    fill_small(page, "choices", 20)
    for stage in ("validate", "answer"):
        page.get_by_test_id(f"stage-{stage}").check()
    for name, value in {
        "budget-usd": "12.50", "seed": "7", "judging-votes": "3", "judging-least": "4", "answering-samples": "2",
        "models-answer-hard": "openai/gpt-6-luna, anthropic/claude-haiku-5-5",
    }.items():  # fmt: skip
        page.get_by_test_id(f"field-{name}").fill(value)
    page.get_by_test_id("field-mix-measure").select_option("total")
    page.get_by_test_id("field-mix-means").select_option("measured")
    expect(page.get_by_test_id("plan")).to_have_attribute("aria-busy", "false")
    expect(page.get_by_test_id("field-problem")).to_have_count(0)
    expect(page.get_by_test_id("forecast")).to_be_visible()
    spec = spec_of(page)
    assert (spec["budget_usd"], spec["seed"], spec["judging"]) == ("12.50", 7, {"votes": 3, "least": 4})
    assert spec["answering"] == {"samples": 2}
    assert spec["models"] == {"answer": {"hard": ["openai/gpt-6-luna", "anthropic/claude-haiku-5-5"]}}
    assert (spec["mix"]["measure"], spec["mix"]["means"]) == ("total", "measured")
    page.get_by_test_id("stage-validate").uncheck()
    expect(page.get_by_test_id("field-judging-votes")).to_have_count(0)
    assert spec_of(page)["stages"] == ["generate", "answer"]


def test_spec_is_copied_and_the_plan_warns(open_page: OpenPage) -> None:
    page = open_page("/#/new")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    fill_small(page, "copied", 20)
    page.get_by_test_id("domain-name").fill("sailing knots")
    expect(page.get_by_test_id("plan-warning").filter(has_text="sailing knots: no atlas")).to_be_visible()
    page.get_by_test_id("spec-json").locator("summary").click()
    page.get_by_test_id("copy-spec").click()
    expect(page.get_by_test_id("copy-spec")).to_have_text("Copied")
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == spec_of(page)
    page.get_by_test_id("domain-total").fill("21")
    expect(page.get_by_test_id("copy-spec")).to_have_text("Copy")


def test_clear_leaves_nothing_behind(open_page: OpenPage, long_job: str, complaints: Complaints) -> None:
    complaints.provoke(REFUSED)
    page = open_page(f"/#/new?from={long_job}")
    expect(page.get_by_test_id("plan-questions")).to_be_visible()
    page.get_by_test_id("submit").click()
    expect(page.get_by_test_id("submit-problem")).to_contain_text(long_job)
    page.get_by_test_id("clear-form").click()
    expect(page.get_by_test_id("field-dataset")).to_have_value("")
    expect(page.get_by_test_id("submit")).to_be_disabled()
    expect(page.get_by_test_id("plan-questions")).to_have_count(0)
    expect(page.get_by_test_id("submit-problem")).to_have_count(0)


def test_error_without_a_field_is_said_beside_the_plan(
    open_page: OpenPage, samples: Samples, complaints: Complaints
) -> None:
    complaints.provoke(REFUSED)
    page = open_page(f"/#/new?from={samples.job_id}")
    expect(page.get_by_test_id("plan-questions")).to_be_visible()
    page.get_by_test_id("difficulty-name").first.fill("simple")
    expect(page.get_by_test_id("unplaced-problem")).to_contain_text("questions_per_call")
    expect(page.get_by_test_id("plan-problem")).to_contain_text("see the marked fields")


def test_new_job_on_a_dataset_begins_with_its_name(
    open_page: OpenPage, samples: Samples, system: RunningSystem
) -> None:
    page = open_page(f"/#/datasets/{samples.dataset}")
    page.get_by_test_id("extend").click()
    expect(page.get_by_test_id("field-dataset")).to_have_value(samples.dataset)
    with going_on(system, "extended") as job_id:
        page = open_page("/#/datasets/extended")
        expect(page.get_by_test_id("extend")).to_have_count(0)
        page.get_by_test_id("to-job").click()
        expect(page).to_have_url(re.compile(f"#/jobs/{job_id}"))
        page.get_by_test_id("cancel").click()
        page.get_by_test_id("dialog-confirm").click()
        expect(page.get_by_test_id("job-state")).to_have_text("cancelled")
        assert wait_for_end(system, job_id).state == "cancelled"


def test_hurried_input_is_one_sentence_at_its_field(open_page: OpenPage, complaints: Complaints) -> None:
    complaints.provoke(REFUSED)
    page = open_page("/#/new")
    fill_small(page, "hurried", 20)
    for name, value in {"budget-usd": "12,50 $", "seed": "seven"}.items():
        field = page.get_by_test_id(f"field-{name}")
        field.fill(value)
        problem = page.locator(f'[data-test="field-problem"][data-loc="{name.replace("-", "_")}"]')
        expect(problem).to_be_visible()
        print(name, value, problem.inner_text())
        field.fill("")
        expect(problem).to_have_count(0)
    for name, value in (("domain-total", "-5"), ("domain-total", "1e99"), ("difficulty-mean", "0"),
                        ("difficulty-share", "NaN"), ("domain-total", "99999999999")):  # fmt: skip
        field = page.get_by_test_id(name).first
        before = field.input_value()
        field.fill(value)
        problem = page.get_by_test_id("field-problem").or_(page.get_by_test_id("unplaced-problem")).first
        expect(problem).to_be_visible()
        print(name, value, problem.inner_text())
        field.fill(before)
        expect(page.get_by_test_id("plan-questions")).to_have_text("20")
