"""One running system for the fault tests of a session, the seed of their random choices, and the report at the end."""

import secrets
from collections.abc import Generator, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.faults.strikes import Strikes
from tests.faults.system import RunningSystem, find_processes, running_system
from tests.faults.tally import Tally

TALLY = pytest.StashKey[Tally]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--seed", type=int, help="of all random choices; each run prints its own")
    group.addoption("--fault", type=int, action="append", help="only the tests of this fault; may be repeated")
    group.addoption("--minutes", type=float, default=0, help="only the random mode, for so long")
    group.addoption("--counts", type=Path, help="file to which the counts of the run are written, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    given = config.getoption("--seed")
    seed = getattr(config, "workerinput", {}).get("seed", given)
    config.stash[TALLY] = Tally(secrets.randbelow(10**6) if seed is None else seed)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        (wanted if _is_wanted(config, item) else others).append(item)
    items[:] = wanted
    if others:
        config.hook.pytest_deselected(items=others)


def _is_wanted(config: pytest.Config, item: pytest.Item) -> bool:
    is_random = item.name == "test_jobs_survive_whatever_is_drawn"
    if config.getoption("--minutes"):
        return is_random
    marker = item.get_closest_marker("fault")
    only = config.getoption("--fault")
    return not is_random and (not only or (marker is not None and marker.args[0] in only))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    marker = item.get_closest_marker("fault")
    if marker and (call.when == "call" or report.failed):
        tally = item.config.stash[TALLY]
        (tally.failed if report.failed else tally.passed).update(marker.args)
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["seed"] = node.config.stash[TALLY].seed


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tally"] = session.config.stash[TALLY].to_json()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    if "tally" in getattr(node, "workeroutput", {}):
        node.config.stash[TALLY].add(node.workeroutput["tally"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tally = config.stash[TALLY]
    if tally.injected or tally.failed:
        terminalreporter.section("faults")
        for line in tally.lines():
            terminalreporter.write_line(line)
    if path := config.getoption("--counts"):
        tally.write(path)


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    """The counts of this run."""
    return pytestconfig.stash[TALLY]


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """Two workers with few calls at once and a slow model, so that a run has a middle to strike in."""
    slow = {
        "QUESTMILL_CALLS_IN_FLIGHT": "6",
        "QUESTMILL_REHEARSAL_LATENCY": "0.5",
        "QUESTMILL_CALL_TIMEOUT_SECONDS": "60",
    }
    with running_system(tmp_path_factory.mktemp("home"), settings=slow) as running:
        yield running
    assert find_processes(running.home) == [], "Ctrl-C left processes behind"
    assert running.supervisor.returncode == 0


@pytest.fixture
def strikes(system: RunningSystem, tally: Tally, request: pytest.FixtureRequest) -> Strikes:
    """Strikes on that system; the choices of each test depend on the seed and its name alone."""
    return Strikes(system, Random(f"{tally.seed}/{request.node.name}"), tally)
