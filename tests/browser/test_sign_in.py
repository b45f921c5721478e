"""Signing in with a key, what each scope is offered, and that it ends: on a second API of the system, which asks."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import serious_findings
from tests.browser.complaints import Complaints
from tests.browser.conftest import OpenPage
from tests.browser.looks import LIGHT, LOOKS, Look
from tests.browser.samples import Samples
from tests.browser.test_views import WIDER
from tests.faults.system import ROOT, RunningSystem
from tests.service.api.serving import serving_process

REFUSED = r"the server responded with a status of 40[13] "

MakeKey = Callable[[str], tuple[str, str]]


def manage_keys(system: RunningSystem, *arguments: str) -> str:
    environment = os.environ | {"DATABASE_URL": system.addresses.database_url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "local", "keys", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=ROOT).stdout


@pytest.fixture(scope="session")
def make_key(system: RunningSystem) -> MakeKey:
    """A new key of a scope: its name and its text."""
    made: list[str] = []

    def make(scope: str) -> tuple[str, str]:
        name = f"{scope}-{len(made)}"
        made.append(name)
        (key,) = re.findall(r"qm_[A-Za-z0-9_-]{43}", manage_keys(system, "create", name, "--scope", scope))
        return name, str(key)

    return make


@pytest.fixture(scope="session")
def asking(system: RunningSystem, make_key: MakeKey) -> Iterator[str]:
    """The address of an API that needs keys."""
    make_key("admin")
    database_url, redis_url = system.addresses.database_url, system.addresses.redis_url
    with serving_process(database_url, redis_url, QUESTMILL_REQUIRE_KEYS="true") as (url, _):
        yield url


def sign_in(page: Page, key: str) -> None:
    expect(page.get_by_test_id("key")).to_be_focused()
    page.keyboard.type(key)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_sign_in_is_sound_and_done_by_the_keyboard_alone(
    look: Look, asking: str, make_key: MakeKey, samples: Samples, open_page: OpenPage, complaints: Complaints,
    screenshots: Path | None,
) -> None:  # fmt: skip
    complaints.provoke(REFUSED)
    name, key = make_key("read")
    page = open_page(f"{asking}/#/jobs/{samples.job_id}", look)
    sign_in(page, f"{key[:-1]}{'A' if key[-1] != 'A' else 'B'}")
    expect(page.get_by_test_id("sign-in-problem")).to_contain_text("not known here")
    assert serious_findings(page) == []
    assert page.evaluate(WIDER) == 0, "the page scrolls sideways"
    if screenshots:
        page.screenshot(path=screenshots / f"sign-in-{look.name}.png", full_page=True)
    page.keyboard.press("ControlOrMeta+a")
    sign_in(page, key)
    # Where one wanted to go.
    expect(page.get_by_test_id("job-name")).to_have_text(samples.dataset)
    expect(page.get_by_test_id("who")).to_have_text(f"{name} (read)")
    assert serious_findings(page) == []
    assert page.evaluate(WIDER) == 0, "the page scrolls sideways"
    assert page.evaluate("document.cookie") == "", "a script can read the cookie"
    if screenshots:
        page.screenshot(path=screenshots / f"signed-in-{look.name}.png", full_page=True)


def test_reading_shows_everything_live_and_offers_nothing_else(
    asking: str, make_key: MakeKey, long_job: str, samples: Samples, open_page: OpenPage
) -> None:
    page = open_page(f"{asking}/#/jobs/{long_job}")
    sign_in(page, make_key("read")[1])
    expect(page.get_by_test_id("link")).to_have_attribute("data-state", "live")
    expect(page.get_by_test_id("not-allowed")).to_have_text("Steering it needs a key of the scope submit.")
    for name in ("pause", "cancel", "budget"):
        expect(page.get_by_test_id(name)).to_have_count(0)
    page.goto(f"{asking}/#/new?preset=seed")
    expect(page.get_by_test_id("plan-cost")).to_be_visible()
    expect(page.get_by_test_id("submit")).to_have_count(0)
    page.goto(f"{asking}/#/datasets")
    expect(page.get_by_test_id("dataset-row").first).to_be_visible()
    expect(page.get_by_test_id("import-choose")).to_have_count(0)
    page.goto(f"{asking}/#/datasets/{samples.dataset}/questions/{samples.question_id}")
    expect(page.get_by_test_id("question-text")).to_be_visible()
    expect(page.get_by_test_id("discard")).to_have_count(0)


def test_submitting_steers_by_the_cookie(asking: str, make_key: MakeKey, long_job: str, open_page: OpenPage) -> None:
    page = open_page(f"{asking}/#/jobs/{long_job}")
    sign_in(page, make_key("submit")[1])
    page.get_by_test_id("pause").click()
    expect(page.get_by_test_id("job-state")).to_have_text("paused")


def test_signing_out_ends_it_here_and_revoking_everywhere(
    asking: str, make_key: MakeKey, system: RunningSystem, open_page: OpenPage, complaints: Complaints
) -> None:
    complaints.provoke(REFUSED)
    name, key = make_key("submit")
    page, other = open_page(f"{asking}/#/", LIGHT), open_page(f"{asking}/#/datasets", LIGHT)
    for each in (page, other):
        each.bring_to_front()
        sign_in(each, key)
        expect(each.get_by_test_id("who")).to_have_text(f"{name} (submit)")
    page.bring_to_front()
    page.get_by_test_id("sign-out").click()
    expect(page.get_by_test_id("sign-in")).to_be_visible()
    assert page.context.cookies() == []
    other.bring_to_front()
    other.reload()
    expect(other.get_by_test_id("datasets")).to_be_visible()
    manage_keys(system, "revoke", name, "--yes")
    # The page asks for the datasets again and again.
    expect(other.get_by_test_id("sign-in")).to_be_visible()


def test_without_required_keys_nobody_is_asked(system: RunningSystem, samples: Samples, open_page: OpenPage) -> None:
    page = open_page("/#/")
    expect(page.get_by_test_id("jobs")).to_be_visible()
    expect(page.get_by_test_id("who")).to_have_count(0)
