import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import supervisor as module
from local.postgres import EmbeddedPostgres
from local.process import Command, LocalProblem
from local.supervisor import Child, Kept, Stopped, Supervisor
from tests.service.local.processes import wait_until_gone

ROOT = Path(__file__).parents[3]


class Watched(Supervisor):
    """A supervisor whose events a test can read."""

    def __init__(self, logs: Path) -> None:
        self.events: list[str] = []
        super().__init__(logs, self.events.append)

    def find(self, name: str) -> Kept:
        return next(kept for level in self.levels for kept in level if kept.child.name == name)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path / "logs")
    yield watched
    watched.stop()


def sleeper(name: str = "sleeper") -> Child:
    return Child(name, Command(["sleep", "1000"]))


def that_notes_its_end(name: str, notes: Path) -> Child:
    ready = notes.with_name(f"{name}.ready")
    script = f"trap 'echo {name} >> {notes}; exit' TERM; : > {ready}; while :; do sleep 0.02; done"
    return Child(name, Command(["sh", "-c", script]), is_ready=ready.exists)


def test_levels_stop_in_reverse_order(supervisor: Watched, tmp_path: Path) -> None:
    notes = tmp_path / "ends"
    for name in ("server", "service", "client"):
        supervisor.start(that_notes_its_end(name, notes))
    supervisor.stop()
    assert notes.read_text().split() == ["client", "service", "server"]


def test_dead_child_is_started_again_after_growing_pauses(supervisor: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_BACKOFF_SECONDS", 0.2)
    supervisor.start(sleeper())
    kept = supervisor.find("sleeper")
    kept.backoff_seconds = 0.1
    seen = set()
    for _ in range(3):
        assert kept.process is not None
        seen.add(kept.process.pid)
        kept.process.kill()
        kept.process.wait()
        supervisor.tick()
        supervisor.watch(lambda: kept.ready)
    assert len(seen) == 3
    assert [event for event in supervisor.events if "again" in event] == [
        f"sleeper was killed by SIGKILL; it starts again in {pause} s" for pause in ("0.1", "0.2", "0.2")
    ]


def test_child_that_ends_in_order_is_started_again_without_growing_pauses(supervisor: Watched, tmp_path: Path) -> None:
    """FAULTS 9: however often a deploy asks it to end."""
    supervisor.start(that_notes_its_end("worker", tmp_path / "ends"))
    kept = supervisor.find("worker")
    for _ in range(3):
        assert kept.process is not None
        kept.process.terminate()
        kept.process.wait()
        (tmp_path / "worker.ready").unlink()
        supervisor.tick()
        supervisor.watch(lambda: kept.ready)
    assert [event for event in supervisor.events if "again" in event] == 3 * [
        "worker ended with 0; it starts again in 0.5 s"
    ]


def test_child_that_ends_before_it_is_ready_is_a_problem_with_its_last_words(supervisor: Watched) -> None:
    with pytest.raises(LocalProblem, match=r"broken ended before it was ready(?s:.*)no such mill"):
        supervisor.start(Child("broken", Command(["sh", "-c", "echo no such mill; exit 3"]), is_ready=lambda: False))


def test_child_that_takes_long_is_told_of_once_and_waited_for(
    supervisor: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.0)
    looks = iter(range(5))
    supervisor.start(Child("slow", Command(["sleep", "1000"]), is_ready=lambda: next(looks) == 4))
    assert supervisor.events == [
        f"slow is still starting; it writes to {supervisor.logs / 'slow.log'}",
        "slow is ready",
    ]


def test_child_that_hangs_at_its_start_is_a_problem_after_minutes(
    supervisor: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READY_SECONDS", 0.0)
    hangs = Command(["sh", "-c", "sleep 1000"])
    with pytest.raises(LocalProblem, match=r"hangs was not ready in time\. The end of .*hangs\.log"):
        supervisor.start(Child("hangs", hangs, is_ready=lambda: False))


def test_child_that_ignores_the_stop_signal_is_killed_after_its_grace(supervisor: Watched, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    stubborn = Command(["/bin/sh", "-c", f"trap '' TERM; : > {ready}; while :; do sleep 0.02; done"])
    supervisor.start(Child("stubborn", stubborn, is_ready=ready.exists, grace_seconds=0.1))
    process = supervisor.find("stubborn").process
    supervisor.stop()
    assert process is not None
    assert process.returncode == -signal.SIGKILL


def test_failing_step_is_a_problem(supervisor: Watched) -> None:
    with pytest.raises(LocalProblem, match="migrate failed"):
        supervisor.run_once(Child("migrate", Command(["false"])))


def test_request_to_stop_interrupts_the_start(supervisor: Watched) -> None:
    with supervisor.handling_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped):
            supervisor.start(Child("slow", Command(["sleep", "1000"]), is_ready=lambda: False))


def test_large_log_is_put_aside_at_the_start(supervisor: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_LOG_BYTES", 10)
    supervisor.logs.mkdir()
    (supervisor.logs / "sleeper.log").write_text("a long old story")
    supervisor.start(sleeper())
    assert (supervisor.logs / "sleeper.log.1").read_text() == "a long old story"
    assert (supervisor.logs / "sleeper.log").read_text() == ""


def test_usage_counts_ended_processes_too(supervisor: Watched) -> None:
    busy = "import time\nwhile time.process_time() < 0.2: pass\nprint('busy', flush=True)\ntime.sleep(1000)"
    log = supervisor.logs / "busy.log"
    for times in (1, 2):
        if times == 1:
            supervisor.start(Child("busy", Command([sys.executable, "-c", busy])))
        supervisor.watch(lambda: log.read_text().count("busy") == times)  # noqa: B023 - called at once
        assert supervisor.usage()["busy"].cpu_seconds >= 0.19 * times
        assert supervisor.usage()["busy"].peak_bytes > 1_000_000
        process = supervisor.find("busy").process
        assert process is not None
        process.kill()
        process.wait()


def test_killed_postmaster_comes_back_with_its_data(supervisor: Watched, tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    postgres.prepare()
    supervisor.start(Child("postgres", postgres.command(), postgres.is_ready, postgres.is_unused))
    postgres.create_database("kept")
    kept = supervisor.find("postgres")
    assert kept.process is not None
    kept.process.kill()
    kept.process.wait()
    supervisor.tick()
    supervisor.watch(lambda: kept.ready)
    postgres.create_database("kept")  # connects, and finds it
    assert "postgres is ready" in supervisor.events[-1]


@pytest.fixture(scope="module")
def stack_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_after(number: signal.Signals, stack_folder: Path) -> None:
    """Ctrl-C, a closed terminal, kill -9; also no child of a server. Each run starts on the last one's data."""
    with subprocess.Popen(
        # As a background job of a shell starts: with SIGINT ignored.
        ["/bin/sh", "-c", f"trap '' INT HUP; exec {sys.executable} -m tests.service.local.small_stack {stack_folder}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as stack:
        assert stack.stdout is not None
        assert stack.stdout.readline() == "ready\n"
        descendants = list(descendants_of(stack.pid))
        assert len(descendants) >= 5  # the program, Valkey, Postgres and what that starts
        stack.send_signal(number)
        assert stack.wait(20) == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    assert wait_until_gone(descendants, 10) == []


def descendants_of(pid: int) -> Iterator[int]:
    """Nobody's, of a process that has ended meanwhile."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield int(child)
        yield from descendants_of(int(child))
