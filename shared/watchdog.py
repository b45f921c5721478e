"""Ends a process whose event loop no longer turns, so that whoever keeps it alive starts a new one."""

import asyncio
import faulthandler
import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import structlog

log = structlog.get_logger()

STEP_SECONDS = 1.0
# Enough of them that the one step after a SIGCONT never counts for much, however small the patience.
LEAST_STEPS = 6
SPEAK_SECONDS = 2.0
# By number: sys.stderr may have been replaced, and its lock may be what the loop waits for.
STDERR = 2


class Watchdog:
    """Watches a loop, from when the loop's own thread enters it until it is left; one per process.

    A thread asks the loop for a sign of life and counts its own steps until one comes. It compares no clocks: a process
    that was stopped or suspended makes one step when it wakes, and lives on to record what it has paid for (FAULTS 5).
    After a third of the patience it logs where the loop is, after the whole it logs all stacks and ends the process
    with EX_SOFTWARE (70).

    A C call that keeps the GIL, such as a runaway regular expression, stops this thread too. Against it a timer of CPU
    time runs, set anew at each step: after twice the patience SIGPROF has the stacks written in C and ends the process.
    What keeps the GIL and uses no CPU is not noticed here; whoever watches the age of the `heartbeat`, a file that is
    touched with each sign of life, notices that too.
    """

    def __init__(
        self,
        name: str,
        loop: asyncio.AbstractEventLoop,
        *,
        patience_seconds: float,
        heartbeat: Path | None = None,
    ) -> None:
        self._name = name
        self._loop = loop
        self._patience_seconds = patience_seconds
        self._heartbeat = heartbeat
        self._step_seconds = min(STEP_SECONDS, patience_seconds / LEAST_STEPS)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="questmill-watchdog", daemon=True)
        self._loop_thread: int

    def __enter__(self) -> None:
        self._loop_thread = threading.get_ident()
        if self._heartbeat is not None:
            # Here, so that a file that cannot be written stops the process with its name.
            self._heartbeat.touch()
        faulthandler.register(signal.SIGPROF, file=STDERR, all_threads=True, chain=True)
        self._wind_up()
        self._thread.start()

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.unregister(signal.SIGPROF)

    def _watch(self) -> None:
        warn_at = math.ceil(self._patience_seconds / 3 / self._step_seconds)
        end_at = math.ceil(self._patience_seconds / self._step_seconds)
        missed = 0
        answered = self._ask()
        while not self._over.wait(self._step_seconds):
            self._wind_up()
            if answered.is_set():
                missed = 0
                self._beat()
                answered = self._ask()
                continue
            missed += 1
            if missed == warn_at:
                _speak(self._warn)
            elif missed == end_at:
                try:
                    _speak(self._say_why).join(SPEAK_SECONDS)
                finally:
                    os._exit(os.EX_SOFTWARE)

    def _ask(self) -> threading.Event:
        answered = threading.Event()
        self._loop.call_soon_threadsafe(answered.set)
        return answered

    def _beat(self) -> None:
        # The process is well even if the file is not: whoever looks at it decides.
        with suppress(OSError):
            if self._heartbeat is not None:
                self._heartbeat.touch()

    def _wind_up(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 2 * self._patience_seconds)

    def _warn(self) -> None:
        log.warning("event loop blocked", process=self._name, stack=_stacks()[self._loop_thread])

    def _say_why(self) -> None:
        stacks = _stacks()
        with open(STDERR, "w", closefd=False) as stderr:
            stderr.write("\n".join(stacks.values()))
        log.critical(
            "event loop blocked for too long: the process ends, to be started again",
            process=self._name,
            patience_seconds=self._patience_seconds,
            exit_code=os.EX_SOFTWARE,
            stack=stacks[self._loop_thread],
        )


def _speak(words: Callable[[], None]) -> threading.Thread:
    # What blocks the loop may be the log itself, a pipe that nobody reads: the watchdog must not end up there too.
    speaker = threading.Thread(target=words, name="questmill-watchdog-speaks", daemon=True)
    speaker.start()
    return speaker


def _stacks() -> dict[int, str]:
    """Where each thread is, innermost call last, by thread id."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return {
        ident: f"Thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()  # noqa: SLF001 - the documented way to another thread's stack
    }
