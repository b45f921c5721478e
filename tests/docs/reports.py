"""What became of each command of the pages, and the account of it at the end of a run."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import pytest

from tests.docs.shell import ShellCommand
from tests.docs.terminal import Outcome

SHOWN_LINES = 40
SHOWN_CHARACTERS = 90
SLOWEST_SHOWN = 8


class Verdict(StrEnum):
    """What became of a command of the pages."""

    RUN = "run"
    BEFORE = "run on an earlier page"
    ELSEWHERE = "run elsewhere"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Report:
    """A command, what became of it, and why; seconds with what it needs."""

    command: ShellCommand
    verdict: Verdict
    why: str = ""
    seconds: float = 0.0


class Broken(AssertionError):
    """A command did not do what its page says."""


REPORTS = pytest.StashKey[list[Report]]()


def describe(command: ShellCommand, text: str, outcome: Outcome) -> str:
    """What a person needs to mend it: page, line, command, what was typed instead, and what came of it."""
    typed = "" if text == command.printed else f"\ntyped: {text}"
    code = "did not end" if outcome.code is None else f"exit code {outcome.code}"
    return f"{command.place}: {command.printed}{typed}\n{code}\n{gist(outcome.said)}"


def gist(said: str) -> str:
    """The beginning and the end of what a command said."""
    lines = said.rstrip().splitlines()
    if len(lines) > 2 * SHOWN_LINES:
        lines[SHOWN_LINES:-SHOWN_LINES] = [f"... {len(lines) - 2 * SHOWN_LINES} lines ..."]
    return "\n".join(lines)


def account_of(reports: Sequence[Report]) -> Iterator[str]:
    """How many commands were run, and each that was not, with the reason."""
    counts = Counter(report.verdict for report in reports)
    yield ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
    slowest = sorted(reports, key=lambda report: -report.seconds)[:SLOWEST_SHOWN]
    yield "the slowest: " + ", ".join(f"{each.command.place} {each.seconds:.0f} s" for each in slowest)
    for verdict in (Verdict.ELSEWHERE, Verdict.NOT_RUN):
        for report in reports:
            if report.verdict is verdict:
                bare = report.command.bare
                shown = bare if len(bare) <= SHOWN_CHARACTERS else f"{bare[: SHOWN_CHARACTERS - 3]}..."
                yield f"{verdict}: {report.command.place}: {shown}: {report.why}"


# Hooks and a fixture for the conftest of whoever types commands.


def pytest_configure(config: pytest.Config) -> None:
    config.stash.setdefault(REPORTS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if reports := config.stash[REPORTS]:
        terminalreporter.section("the commands of the pages")
        for line in account_of(reports):
            terminalreporter.write_line(line)


@pytest.fixture
def reports(pytestconfig: pytest.Config) -> list[Report]:
    """What became of the commands so far."""
    return pytestconfig.stash[REPORTS]
