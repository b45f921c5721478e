"""One running system and one chromium for the browser tests of a session; each test gets pages of its own."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.complaints import Complaints
from tests.browser.looks import LIGHT, Look
from tests.browser.samples import Samples, make_samples, make_spec, write_plants
from tests.faults.system import RunningSystem, find_processes, running_system

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",  # Debian's refuses to run as root with it
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Long enough for a machine that others use as well; each wait ends as soon as what it waits for is there.
PATIENCE_MILLISECONDS = 20_000
# Mean seconds of an answer: of models that a test has slowed, and of all others.
SLOW_SECONDS = 0.5
QUICK_SECONDS = 0.02
SETTINGS = {
    "QUESTMILL_TICK_SECONDS": "0.5",
    "QUESTMILL_HINT_REPEAT_SECONDS": "2",
    "QUESTMILL_CALLS_IN_FLIGHT": "8",
    "QUESTMILL_REHEARSAL_LATENCY": f"{QUICK_SECONDS}",
    # Several times as many plants as there are: those that come again are refused as duplicates.
    "QUESTMILL_REHEARSAL_PLANT_SHARE": "0.2",
}


OpenPage = Callable[..., Page]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", type=Path, help="folder for pictures of every view: light, dark and phone")


@pytest.fixture(scope="session")
def screenshots(pytestconfig: pytest.Config) -> Path | None:
    """Where pictures go, if they are wanted."""
    folder: Path | None = pytestconfig.getoption("--screenshots")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """The whole system in rehearsal, with one worker and quick models."""
    home = tmp_path_factory.mktemp("home")
    planted = {"QUESTMILL_REHEARSAL_PLANT": str(write_plants(home / "plants.jsonl"))}
    with running_system(home, settings=SETTINGS | planted, workers=1, watched=False) as running:
        yield running
    assert find_processes(running.home) == [], "Ctrl-C left processes behind"


@pytest.fixture(scope="session")
def samples(system: RunningSystem) -> Samples:
    """A dataset with everything to look at, made before the first page is opened."""
    return make_samples(system)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """This machine's chromium; the command names it."""
    program = os.environ.get("QUESTMILL_CHROMIUM")
    assert program, "no QUESTMILL_CHROMIUM: ./run test-browser finds it"
    with sync_playwright() as playwright:
        playwright.selectors.set_test_id_attribute("data-test")
        expect.set_options(timeout=PATIENCE_MILLISECONDS)
        launched = playwright.chromium.launch(executable_path=program, args=CHROMIUM_ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """What the browser finds wrong with the pages of this test; none may be left at its end."""
    heard = Complaints()
    yield heard
    heard.check()


@pytest.fixture
def open_page(browser: Browser, system: RunningSystem, complaints: Complaints) -> Iterator[OpenPage]:
    """Opens a path of the system in a window of its own, with a look (light, dark, phone)."""
    contexts = []

    def open_window(path: str = "/", look: Look = LIGHT) -> Page:
        context = browser.new_context(
            base_url=system.addresses.api_url,
            viewport={"width": look.width, "height": look.height},
            color_scheme=look.theme,
            is_mobile=look.is_phone,
            has_touch=look.is_phone,
            reduced_motion="reduce",
            accept_downloads=True,
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        page = context.new_page()
        complaints.listen(page)
        page.goto(path)
        return page

    yield open_window
    for context in contexts:
        context.close()


@contextmanager
def slowed_models(system: RunningSystem) -> Iterator[None]:
    """Until the end of the block models take their time, so that there is a middle of a job to look at."""
    system.rehearse("latency", seconds=SLOW_SECONDS)
    try:
        yield
    finally:
        system.rehearse("latency", seconds=QUICK_SECONDS)


@contextmanager
def going_on(system: RunningSystem, dataset: str, *, questions: int = 1000) -> Iterator[str]:
    """A job that goes on until the end of the block."""
    with slowed_models(system):
        job_id = str(system.client.submit(make_spec(dataset, questions=questions))["id"])
        try:
            yield job_id
        finally:
            if system.client.job(job_id)["state"] in {"running", "paused"}:
                system.client.cancel(job_id)


@pytest.fixture
def long_job(system: RunningSystem, request: pytest.FixtureRequest) -> Iterator[str]:
    """A job that goes on until its test is over, on a dataset called like the test."""
    with going_on(system, re.sub("[^a-z0-9]+", "-", request.node.name).strip("-")) as job_id:
        yield job_id
