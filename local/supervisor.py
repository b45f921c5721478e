"""Keeps a set of child processes alive and leaves none behind.

Single-threaded on purpose: children are tied to the life of the thread that starts them.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TypeVar

from local.process import Command, LocalProblem, start_tethered
from local.usage import Usage, usage_of

T = TypeVar("T")

TICK_SECONDS = 0.1
SAMPLE_SECONDS = 1.0
FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 10.0
SLOW_SECONDS = 30.0  # who waits longer for a start is told for whom
# A process that lives and still starts is not broken, however busy or slow the machine; one that hangs is told of then.
READY_SECONDS = 300.0
STEADY_SECONDS = 20.0  # a child that ran this long starts afresh with the first backoff
LARGEST_LOG_BYTES = 20 * 1024 * 1024
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """Somebody asked us to stop."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep alive. `may_start` and `is_ready` are asked often and must answer quickly."""

    name: str
    command: Command
    is_ready: Callable[[], bool] = lambda: True
    may_start: Callable[[], bool] = lambda: True
    stop_signal: signal.Signals = signal.SIGTERM
    grace_seconds: float = 10.0


@dataclass(slots=True)
class Kept:
    """A child and what became of it so far."""

    child: Child
    process: subprocess.Popen[bytes] | None = None
    ready: bool = False
    was_ready: bool = False
    started_at: float = 0.0
    start_at: float = 0.0
    backoff_seconds: float = FIRST_BACKOFF_SECONDS
    ended_usage: Usage = field(default_factory=Usage)  # of processes of this child that are gone
    usage: Usage = field(default_factory=Usage)  # of the living one, last sampled


class Supervisor:
    """Starts children level by level, restarts what dies, stops the levels in reverse order.

    `say` takes one line per event. Each child writes to `logs`/NAME.log.
    """

    def __init__(self, logs: Path, say: Callable[[str], None]) -> None:
        self.logs = logs
        self.say = say
        self.levels: list[list[Kept]] = []
        self.asked_to_stop = 0
        self._sampled_at = 0.0
        self._log_starts: dict[str, int] = {}  # size of each child's log when it was last started

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP ask us to stop; explicit, since a background process inherits SIGINT ignored."""
        before = {number: signal.signal(number, self._on_signal) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def start(self, *children: Child) -> None:
        """Start children side by side as the next level and wait until all are ready.

        Raises LocalProblem when one ends before it is ready or takes too long, Stopped when asked to stop meanwhile.
        """
        level = [Kept(child) for child in children]
        self.levels.append(level)
        began, is_told = time.monotonic(), False
        while not all(kept.ready for kept in level):
            self._raise_if_stopped()
            self.tick()
            waited = time.monotonic() - began
            late = [kept for kept in level if not kept.ready]
            for kept in late:
                if kept.started_at and kept.process is None:
                    raise LocalProblem(f"{kept.child.name} ended before it was ready. {self._last_words(kept.child)}")
                if waited > READY_SECONDS:
                    raise LocalProblem(f"{kept.child.name} was not ready in time. {self._last_words(kept.child)}")
            if waited > SLOW_SECONDS and not is_told:
                is_told = True
                for kept in late:
                    self.say(f"{kept.child.name} is still starting; it writes to {self._log_of(kept.child)}")
            time.sleep(0.02)

    def run_once(self, child: Child) -> None:
        """Run a child to its end before anything else goes on. Raises LocalProblem unless it ends with 0."""
        process = start_tethered(child.command, self._open_log(child))
        try:
            while process.poll() is None:
                self._raise_if_stopped()
                self.tick()
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0:
            raise LocalProblem(f"{child.name} failed. {self._last_words(child)}")

    def watch(self, is_over: Callable[[], bool]) -> None:
        """Keep everything alive until `is_over` or until asked to stop (raises Stopped)."""
        while not is_over():
            self._raise_if_stopped()
            self.tick()
            time.sleep(TICK_SECONDS)

    def run_beside(self, work: Callable[[], T]) -> T:
        """Keep everything alive while `work` runs in a thread; its result or exception. Raises Stopped on request."""
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again in the main thread
                done.set_exception(error)

        # The work is the thread, not the supervising: children live no longer than the thread that starts them.
        threading.Thread(target=run, daemon=True).start()
        self.watch(done.done)
        return done.result()

    def tick(self) -> None:
        """Look after every child once."""
        now = time.monotonic()
        for kept in self._all():
            if kept.process is None:
                if now >= kept.start_at and kept.child.may_start():
                    kept.process = start_tethered(kept.child.command, self._open_log(kept.child))
                    kept.started_at = now
            elif kept.process.poll() is not None:
                self._bury(kept, now)
            elif not kept.ready and kept.child.is_ready():
                kept.ready = kept.was_ready = True
                self.say(f"{kept.child.name} is ready")
        if now - self._sampled_at >= SAMPLE_SECONDS:
            self._sampled_at = now
            self._sample()

    def usage(self) -> dict[str, Usage]:
        """What each child has used so far, over its restarts."""
        self._sample()
        return {kept.child.name: kept.ended_usage + kept.usage for kept in self._all()}

    def stop(self) -> None:
        """Stop every level, the last one first. A second request to stop, meanwhile, cuts the waiting short."""
        asked_before = self.asked_to_stop
        for level in reversed(self.levels):
            running = [kept for kept in level if kept.process is not None]
            for kept in running:
                self._signal(kept, kept.child.stop_signal)
            started = time.monotonic()
            while any(_is_alive(kept) for kept in running):
                waited = time.monotonic() - started
                hurried = self.asked_to_stop > asked_before
                for kept in running:
                    if _is_alive(kept) and (hurried or waited > kept.child.grace_seconds):
                        self._signal(kept, kept.child.command.death_signal)
                    if _is_alive(kept) and waited > kept.child.grace_seconds + 10:
                        self._signal(kept, signal.SIGKILL)
                time.sleep(0.02)
            for kept in running:
                kept.process = None
        self.levels.clear()

    def _all(self) -> Iterator[Kept]:
        return (kept for level in self.levels for kept in level)

    def _bury(self, kept: Kept, now: float) -> None:
        assert kept.process is not None
        code = kept.process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        # One that ends in order, as a rolling deploy asks it to, is not in a crash loop (FAULTS 9).
        if (code == 0 and kept.ready) or now - kept.started_at > STEADY_SECONDS:
            kept.backoff_seconds = FIRST_BACKOFF_SECONDS
        # One that was never ready is `start`'s to judge.
        again = f"; it starts again in {kept.backoff_seconds:g} s" if kept.was_ready else ""
        self.say(f"{kept.child.name} {how}{again}")
        kept.ended_usage += kept.usage
        kept.usage = Usage()
        kept.process = None
        kept.ready = False
        kept.start_at = now + kept.backoff_seconds
        kept.backoff_seconds = min(2 * kept.backoff_seconds, LONGEST_BACKOFF_SECONDS)

    def _sample(self) -> None:
        for kept in self._all():
            if kept.process is not None and kept.process.poll() is None:
                kept.usage = usage_of(kept.process.pid)

    def _log_of(self, child: Child) -> Path:
        return self.logs / f"{child.name.replace(' ', '-')}.log"

    def _open_log(self, child: Child) -> Path:
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self._log_of(child)
        if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        self._log_starts[child.name] = log.stat().st_size if log.exists() else 0
        return log

    def _last_words(self, child: Child) -> str:
        log = self._log_of(child)
        of_this_run = log.read_bytes()[self._log_starts[child.name] :].decode(errors="replace")
        return "\n  ".join([f"The end of {log}:", *of_this_run.splitlines()[-15:]])

    def _signal(self, kept: Kept, number: signal.Signals) -> None:
        if kept.process is not None and kept.process.poll() is None:
            kept.process.send_signal(number)

    def _raise_if_stopped(self) -> None:
        if self.asked_to_stop:
            raise Stopped

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.asked_to_stop += 1


def _is_alive(kept: Kept) -> bool:
    return kept.process is not None and kept.process.poll() is None
