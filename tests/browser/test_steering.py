"""The buttons of a job."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import serious_findings
from tests.browser.complaints import Complaints
from tests.browser.conftest import OpenPage
from tests.browser.looks import DARK, LIGHT, Look
from tests.faults.jobs import wait_for_state
from tests.faults.system import RunningSystem


@pytest.fixture
def page(long_job: str, open_page: OpenPage) -> Page:
    """The page of that job."""
    return open_page(f"/#/jobs/{long_job}")


def test_pause_and_resume(page: Page, long_job: str, system: RunningSystem) -> None:
    state = page.get_by_test_id("job-state")
    page.get_by_test_id("pause").click()
    expect(state).to_have_text("paused")
    wait_for_state(system, long_job, "paused")
    expect(page.get_by_test_id("pause")).to_have_count(0)
    page.get_by_test_id("resume").click()
    expect(state).to_have_text("running")
    wait_for_state(system, long_job, "running")


def test_budget_is_raised_while_the_job_runs(page: Page, long_job: str, system: RunningSystem) -> None:
    page.get_by_test_id("budget").click()
    page.get_by_test_id("budget-input").fill("7.5")
    page.get_by_test_id("dialog-confirm").click()
    expect(page.get_by_test_id("budget-dialog")).to_have_count(0)
    expect(page.get_by_test_id("readout-cost")).to_contain_text("of $7.50")
    job = system.client.job(long_job)
    assert (job["state"], job["budget_usd"]) == ("running", 7.5)


def test_budget_below_what_is_spent_is_refused_in_the_dialog(
    page: Page, long_job: str, system: RunningSystem, complaints: Complaints
) -> None:
    complaints.provoke(r"status of 4\d\d .*/budget")
    expect(page.get_by_test_id("newest-question").first).to_be_visible()  # something is spent
    page.get_by_test_id("budget").click()
    page.get_by_test_id("budget-input").fill("0.0001")
    page.get_by_test_id("dialog-confirm").click()
    expect(page.get_by_test_id("dialog-problem")).to_contain_text("spent")
    page.get_by_test_id("dialog-close").click()
    expect(page.get_by_test_id("budget-dialog")).to_have_count(0)
    assert system.client.job(long_job)["budget_usd"] == 5


def test_cancel_asks_first(page: Page, long_job: str, system: RunningSystem) -> None:
    dialog = page.get_by_test_id("cancel-dialog")
    page.get_by_test_id("cancel").click()
    expect(dialog).to_contain_text("ends for good")
    page.get_by_test_id("dialog-close").click()
    expect(dialog).to_have_count(0)
    assert system.client.job(long_job)["state"] == "running"
    page.get_by_test_id("cancel").click()
    page.get_by_test_id("dialog-confirm").click()
    expect(page.get_by_test_id("job-state")).to_have_text("cancelled")
    expect(page.get_by_test_id("cancel")).to_have_count(0)
    assert system.client.job(long_job)["state"] == "cancelled"


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=lambda look: look.name)
def test_running_job_and_its_dialogs_are_accessible(look: Look, long_job: str, open_page: OpenPage) -> None:
    page = open_page(f"/#/jobs/{long_job}", look)
    expect(page.get_by_test_id("newest-question").first).to_be_visible()
    expect(page.get_by_test_id("batch").first).to_be_visible()
    assert serious_findings(page) == []
    for name in ("budget", "cancel"):
        page.get_by_test_id(name).click()
        expect(page.get_by_test_id(f"{name}-dialog")).to_be_visible()
        assert serious_findings(page) == []
        page.get_by_test_id("dialog-close").click()


def test_paused_job_goes_on_with_a_new_budget(page: Page, long_job: str, system: RunningSystem) -> None:
    page.get_by_test_id("pause").click()
    expect(page.get_by_test_id("job-state")).to_have_text("paused")
    page.get_by_test_id("budget").click()
    page.get_by_test_id("budget-input").fill("9")
    page.get_by_test_id("dialog-confirm").click()
    expect(page.get_by_test_id("job-state")).to_have_text("running")
    expect(page.get_by_test_id("readout-cost")).to_contain_text("of $9.00")


def test_batches_lead_into_flower(page: Page, system: RunningSystem) -> None:
    link = page.get_by_test_id("batch").first.locator("a")
    expect(link).to_have_attribute("href", re.compile(f"^{re.escape(system.addresses.flower_url)}/task/"))
    expect(page.get_by_test_id("flower")).to_have_attribute("href", re.compile(system.addresses.flower_url))
