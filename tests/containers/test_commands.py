"""Every command of Docker that the pages print does what is printed: page by page, on a real engine.

The containers are of a project of their own, on free ports, which goes at the end with its volumes. The image
`questmill` is built anew from this code. `./run test-containers` says what is missing where there is no engine.
"""

import time
from collections.abc import Iterator

import pytest

from tests.containers.stand_ins import NOT_RUN, container_commands, takes, typed
from tests.docs.entries import first
from tests.docs.pages import Page, read_pages
from tests.docs.reports import Broken, Report, Verdict, describe
from tests.docs.scratch import Scratch, make_scratch
from tests.docs.terminal import Outcome, answer_command

LIMIT_SECONDS = 1_200
PROJECT = "questmill-of-the-pages"
UP = "docker compose up --wait"
PAGES = [page for page in read_pages() if any(map(takes, container_commands(page)))]


class Engine:
    """A clone whose containers run on this machine's Docker."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        plain = {"COMPOSE_ANSI": "never", "COMPOSE_PROGRESS": "plain"}
        self._environment = scratch.environment() | plain | {"COMPOSE_PROJECT_NAME": PROJECT}

    def type(self, text: str) -> Outcome:
        """Run it in the clone's folder at a terminal, as `docker compose exec` expects."""
        return answer_command(text, self._scratch.root, self._environment, "", seconds=LIMIT_SECONDS, may_not_ask=True)

    def require(self, text: str) -> None:
        """Run what no page prints. Raises Broken."""
        outcome = self.type(text)
        if outcome.code != 0:
            raise Broken(f"{text}\nexit code {outcome.code}\n{outcome.said}")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine(make_scratch(tmp_path_factory.mktemp("containers")))
    try:
        engine.require("docker compose build")  # an older image would do for `up`
        yield engine
    finally:
        engine.require("docker compose down --volumes --timeout 20")


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_command_for_containers_does_what_the_page_says(
    page: Page, engine: Engine, reports: list[Report]
) -> None:
    commands = container_commands(page)
    if any("docker compose exec" in command.bare for command in commands):
        engine.require(UP)  # what such a page takes for granted
    for command in commands:
        if not takes(command):
            refused = first(NOT_RUN, command)
            assert refused is not None, f"{command.place}: no entry of tests/containers/stand_ins.py for {command.bare}"
            reports.append(Report(command, Verdict.NOT_RUN, refused.why))
            continue
        text, began = typed(command), time.monotonic()
        outcome = engine.type(text)
        if outcome.code != 0:
            raise Broken(describe(command, text, outcome))
        reports.append(Report(command, Verdict.RUN, seconds=time.monotonic() - began))
