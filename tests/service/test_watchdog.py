import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@contextmanager
def watched(scene: str, patience_seconds: float, *rest: str) -> Iterator[subprocess.Popen[str]]:
    """The scene in a process of its own, once it is ready."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "tests.service.watched", scene, str(patience_seconds), *rest]
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_a_blocked_loop_ends_the_process_and_the_log_says_where() -> None:
    with watched("sleep_for_ever", 1) as process:
        _, log = process.communicate(timeout=10)
    assert process.returncode == os.EX_SOFTWARE
    assert "event loop blocked for too long" in log
    warning, _, last_words = log.partition("Thread questmill-watchdog")
    assert "in sleep_for_ever" in warning
    assert "in sleep_for_ever" in last_words


@pytest.mark.parametrize("scene", ["run_away", "run_away_elsewhere"])
def test_a_c_call_that_keeps_the_gil_ends_the_process_and_the_log_says_where(scene: str) -> None:
    with watched(scene, 0.5) as process:
        _, log = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGPROF
    assert "in run_away" in log


def test_a_short_block_is_only_logged() -> None:
    with watched("sleep_a_little", 2.4) as process:
        _, log = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "event loop blocked" in log
    assert "in sleep_a_little" in log
    assert "too long" not in log


def test_a_stopped_process_lives_on_when_it_wakes() -> None:
    """FAULTS 5: it still has paid replies to record."""
    patience_seconds = 0.5
    with watched("live_until_told", patience_seconds) as process:
        process.send_signal(signal.SIGSTOP)
        time.sleep(3 * patience_seconds)
        process.send_signal(signal.SIGCONT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5 * patience_seconds)
        process.communicate("end", timeout=10)
    assert process.returncode == 0


def test_a_log_that_nobody_reads_does_not_save_a_blocked_process() -> None:
    with watched("write_to_nobody", 0.6) as process:
        assert process.wait(10) == os.EX_SOFTWARE


def test_long_work_in_other_threads_is_no_alarm() -> None:
    with watched("compute_beside", 0.8) as process:
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_heartbeat_goes_on_as_long_as_the_loop_turns_and_stops_with_it(tmp_path: Path) -> None:
    heartbeat = tmp_path / "alive"
    with watched("live_until_told", 0.6, str(heartbeat)):
        seen = {heartbeat.stat().st_mtime_ns}
        deadline = time.monotonic() + 10
        while len(seen) < 4 and time.monotonic() < deadline:
            seen.add(heartbeat.stat().st_mtime_ns)
        assert len(seen) == 4
    with watched("sleep_for_ever", 3, str(heartbeat)) as process:
        began = time.time()
        process.wait(timeout=10)
    assert heartbeat.stat().st_mtime < began + 1.5
