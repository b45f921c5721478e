"""A job by the form."""

import json
import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.complaints import Complaints
from tests.browser.conftest import OpenPage
from tests.browser.looks import PHONE
from tests.browser.samples import Samples

# A plan that the server refuses is a failed request to the browser's console.
REFUSED = r"status of 422 .*/v1/plans"
QUESTIONS_EACH = 12


def field_problem(page: Page, loc: str) -> Locator:
    """What the form says of one place of the spec."""
    return page.locator(f'[data-test="field-problem"][data-loc="{loc}"]')


def test_seed_mix_scaled_down_is_posted_and_ends(open_page: OpenPage) -> None:
    page = open_page("/#/")
    page.get_by_test_id("new-job").click()
    page.get_by_test_id("seed-mix").click()
    questions = page.get_by_test_id("plan-questions")
    expect(questions).to_contain_text("60,000")
    page.get_by_test_id("field-dataset").fill("by-form")
    totals = page.get_by_test_id("domain-total")
    for i in range(totals.count()):
        totals.nth(i).fill(str(QUESTIONS_EACH))
    wanted = QUESTIONS_EACH * totals.count()
    expect(questions).to_have_text(str(wanted))
    expect(page.get_by_test_id("plan-cost")).to_have_text(re.compile(r"^\$\d"))
    page.get_by_test_id("submit").click()
    expect(page).to_have_url(re.compile("#/jobs/"))
    expect(page.get_by_test_id("job-name")).to_have_text("by-form")
    expect(page.get_by_test_id("job-state")).to_have_text("succeeded", timeout=90_000)
    expect(page.get_by_test_id("readout-questions")).to_have_text(f"{wanted} of {wanted}")
    page.get_by_test_id("nav-jobs").click()
    row = page.get_by_test_id("job-row").filter(has_text="by-form")
    expect(row).to_contain_text(f"{wanted} of {wanted}")


def test_errors_are_at_their_fields_until_they_are_put_right(open_page: OpenPage, complaints: Complaints) -> None:
    complaints.provoke(REFUSED)
    page = open_page("/#/new")
    page.get_by_test_id("field-dataset").fill("Not A Name!")
    page.get_by_test_id("domain-name").fill("coding")
    page.get_by_test_id("domain-total").fill("many")
    expect(field_problem(page, "dataset")).to_be_visible()
    expect(page.get_by_test_id("field-dataset")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_test_id("domain-row").get_by_test_id("field-problem")).to_be_visible()
    expect(page.get_by_test_id("plan-cost")).to_have_count(0)
    page.get_by_test_id("field-dataset").fill("a-name")
    page.get_by_test_id("domain-total").fill("20")
    expect(page.get_by_test_id("plan-questions")).to_have_text("20")
    expect(page.get_by_test_id("field-problem")).to_have_count(0)
    page.get_by_test_id("difficulty-share").first.fill("70")
    expect(page.get_by_test_id("field-problem").first).to_be_visible()
    expect(page.get_by_test_id("plan-questions")).to_have_count(0)


def test_on_a_phone_each_number_of_a_difficulty_has_its_name_above_it(open_page: OpenPage) -> None:
    page = open_page("/#/new?preset=seed", PHONE)
    row = page.get_by_test_id("difficulty-row").first
    for name, label in (("share", "% of tokens"), ("mean", "Mean tokens"), ("answer", "Answer tokens")):
        number = row.get_by_test_id(f"difficulty-{name}")
        expect(number).to_have_value(re.compile(r"\d"))
        shown, box = row.get_by_text(label, exact=True).bounding_box(), number.bounding_box()
        assert shown is not None, f"{label} does not show"
        assert box is not None
        assert (shown["x"], shown["y"] + shown["height"]) <= (box["x"], box["y"] + 1)


def test_two_rows_of_one_domain_are_an_error_without_asking(open_page: OpenPage) -> None:
    page = open_page("/#/new")
    page.get_by_test_id("domain-name").fill("tool use")
    page.get_by_test_id("domain-add").click()
    page.get_by_test_id("domain-name").nth(1).fill("Tool_Use")
    expect(page.get_by_test_id("domain-row").nth(1)).to_contain_text("is there twice")


def test_dataset_with_an_unfinished_job_is_said(open_page: OpenPage, long_job: str, complaints: Complaints) -> None:
    complaints.provoke(r"status of 409 .*/v1/jobs")
    page = open_page(f"/#/new?from={long_job}")
    expect(page.get_by_test_id("plan-questions")).to_be_visible()
    page.get_by_test_id("submit").click()
    expect(page.get_by_test_id("submit-problem")).to_contain_text(long_job)


def test_another_job_like_it_begins_with_its_spec(open_page: OpenPage, samples: Samples) -> None:
    page = open_page(f"/#/jobs/{samples.job_id}")
    page.get_by_test_id("panel-spec").locator("summary").click()
    page.get_by_test_id("again").click()
    expect(page.get_by_test_id("field-dataset")).to_have_value(samples.dataset)
    spec = json.loads(page.get_by_test_id("spec-text").input_value())
    assert spec["mix"]["domains"] == {"coding": 30, "math": 30}
    assert spec["models"]["generate"] == {"easy": "openai/gpt-6-luna", "hard": "anthropic/claude-sonnet-5-5"}
    assert (spec["seed"], spec["stages"]) == (2025, ["generate", "validate", "answer"])
