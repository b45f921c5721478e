"""What changes is seen at once; what cannot be seen is said."""

import os
import re
import signal

from playwright.sync_api import Locator, Page, expect

from tests.browser.complaints import Complaints
from tests.browser.conftest import OpenPage, slowed_models
from tests.browser.samples import make_spec
from tests.faults.system import Role, RunningSystem

# What a browser writes to its console when a server is away.
AWAY = r"net::ERR_|request failed"


def test_job_is_watched_to_its_end(open_page: OpenPage, system: RunningSystem) -> None:
    with slowed_models(system):
        job_id = str(system.client.submit(make_spec("watched", questions=120))["id"])
        page = open_page(f"/#/jobs/{job_id}")
        expect(link(page)).to_have_attribute("data-state", "live")
        expect(page.get_by_test_id("batch").first).to_be_visible()
        expect(page.get_by_test_id("readout-questions")).to_contain_text(re.compile(r"^[1-9]\d* of 120"))
    expect(page.get_by_test_id("job-state")).to_have_text("succeeded", timeout=60_000)
    expect(page.get_by_test_id("readout-questions")).to_have_text(re.compile("120 of 120"))
    expect(link(page)).to_have_attribute("data-state", "ended")
    expect(page.get_by_test_id("pause")).to_have_count(0)
    expect(page).to_have_title(re.compile("100 % succeeded"))


def test_lost_connection_is_said_and_found_again(
    open_page: OpenPage, long_job: str, system: RunningSystem, complaints: Complaints
) -> None:
    complaints.provoke(AWAY)
    page = open_page(f"/#/jobs/{long_job}")
    expect(link(page)).to_have_attribute("data-state", "live")
    [api] = system.wait_for_processes(Role.API, 1)
    os.kill(api, signal.SIGKILL)
    expect(link(page)).to_have_attribute("data-state", "lost")
    expect(link(page)).to_contain_text("connection dropped")
    expect(page.get_by_test_id("job-state")).to_have_text("running")  # what is known is kept
    expect(link(page)).to_have_attribute("data-state", "live", timeout=60_000)
    system.client.cancel(long_job)
    expect(page.get_by_test_id("job-state")).to_have_text("cancelled")


def test_silent_connection_is_called_lost(
    open_page: OpenPage, long_job: str, system: RunningSystem, complaints: Complaints
) -> None:
    complaints.provoke(AWAY)
    page = open_page("/")
    page.clock.install()
    page.goto(f"/#/jobs/{long_job}")
    expect(link(page)).to_have_attribute("data-state", "live")
    [api] = system.wait_for_processes(Role.API, 1)
    os.kill(api, signal.SIGSTOP)
    try:
        page.clock.fast_forward("00:40")
        expect(link(page)).to_have_attribute("data-state", "lost")
    finally:
        os.kill(api, signal.SIGCONT)
    page.clock.fast_forward("00:10")
    expect(link(page)).to_have_attribute("data-state", "live")


def test_list_says_how_old_it_is_while_the_api_is_away(
    open_page: OpenPage, samples: object, complaints: Complaints
) -> None:
    complaints.provoke(AWAY)
    page = open_page("/#/")
    expect(page.get_by_test_id("job-row").first).to_be_visible()
    page.context.set_offline(True)
    expect(page.get_by_test_id("stale")).to_contain_text("What you see is of")
    expect(page.get_by_test_id("job-row").first).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_test_id("stale")).to_have_count(0)


def link(page: Page) -> Locator:
    """What the page says of its connection."""
    return page.get_by_test_id("link")
