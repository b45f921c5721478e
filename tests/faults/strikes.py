"""The ways to strike a running system from outside: signals to its processes, statements to its servers."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psycopg
import redis

from tests.faults.system import Role, RunningSystem, wait_until
from tests.faults.tally import Tally

# Calls of a worker's holds, past and present, that are not settled; replies of theirs that nobody has read yet.
UNDER_WAY = """
SELECT count(*) FROM call JOIN witness.claim USING (batch_id, fence)
WHERE claim.worker LIKE %(worker)s AND (call.state = 'sent' OR call.state = 'ok' AND call.parsed_at IS NULL)
"""
HELD = "SELECT id, fence FROM batch WHERE state = 'leased' AND worker LIKE %(worker)s"
# Each transaction that waits for a standby that does not exist has committed already; its client does not know.
NOBODY = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'"
EVERYBODY = "ALTER SYSTEM RESET synchronous_standby_names"
RELOAD = "SELECT pg_reload_conf()"
CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE wait_event = 'SyncRep' AND application_name LIKE 'questmill-%'
"""
CUT_ANYWHERE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name LIKE 'questmill-%' AND state <> 'idle' AND pid <> pg_backend_pid()
"""
# So long cut_anywhere waits for somebody to be at work.
CATCH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Struck:
    """A worker that was struck: the holds it had, and how many of its calls had no read reply yet."""

    pid: int
    holds: dict[str, int]
    in_flight: int


class Strikes:
    """Strikes one system, counts each, and adds up the calls that were in flight in the workers that were struck."""

    def __init__(self, system: RunningSystem, random: Random, tally: Tally) -> None:
        self.system = system
        self.random = random
        self.tally = tally
        self.in_flight = 0

    def pick(self, role: Role) -> int:
        """One of the processes of a role, as soon as there is one."""
        return self.random.choice(sorted(self.system.wait_for_processes(role, 1)))

    def pick_busy_worker(self) -> int:
        """A worker with calls under way."""

        def look() -> int | None:
            workers = sorted(self.system.processes(Role.WORKER))
            self.random.shuffle(workers)
            return next((pid for pid in workers if self.under_way(pid)), None)

        return wait_until(look, "a worker with calls under way")

    def kill_worker(self, pid: int | None = None, *, fault: int = 1) -> Struck:
        """SIGKILL a worker. It is stopped first, so that what it had under way can be counted exactly."""
        pid = pid or self.pick_busy_worker()
        struck = self._freeze(pid)
        os.kill(pid, signal.SIGKILL)
        self.count(fault, "workers killed")
        self.tally.effects["calls in flight at kills"] += struck.in_flight
        return struck

    @contextmanager
    def stalled_worker(self, pid: int | None = None) -> Iterator[Struck]:
        """SIGSTOP a worker for the time of the block, then SIGCONT."""
        pid = pid or self.pick_busy_worker()
        struck = self._freeze(pid)
        self.count(5, "workers stalled")
        try:
            yield struck
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def stopped(self, pid: int) -> Iterator[None]:
        """SIGSTOP any process for the time of the block, then SIGCONT."""
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: _state_of(pid) in {"T", ""}, f"process {pid} to stop")
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def terminate_worker(self, pid: int | None = None) -> int:
        """SIGTERM a worker, as a deploy does; returns its id."""
        pid = pid or self.pick_busy_worker()
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            raise AssertionError(f"worker {pid} has ended by itself:\n{self.system.log[-2000:]}") from None
        self.count(9, "workers told to drain")
        return pid

    def strike_postgres(self, number: signal.Signals) -> None:
        """Signal the postmaster: SIGQUIT is its immediate shutdown, SIGKILL a crash. The supervisor starts it again."""
        [postmaster] = self.system.wait_for_processes(Role.POSTGRES, 1)
        os.kill(postmaster, number)
        self.count(2, f"Postgres {number.name}")
        wait_until(lambda: not _is_alive(postmaster), "the postmaster's end")

    def kill_redis(self) -> None:
        """SIGKILL Valkey, which keeps nothing on disk."""
        victim = self.pick(Role.VALKEY)
        os.kill(victim, signal.SIGKILL)
        self.count(3, "Redis killed")
        wait_until(lambda: not _is_alive(victim), "Valkey's end")

    def flush_redis(self) -> None:
        """FLUSHALL, once Valkey answers."""

        def flush() -> bool:
            try:
                with redis.Redis.from_url(self.system.addresses.redis_url, socket_timeout=2) as client:
                    return bool(client.flushall())
            except redis.RedisError:
                return False

        wait_until(flush, "Valkey")
        self.count(3, "Redis flushed")

    @contextmanager
    def frozen_redis(self) -> Iterator[None]:
        """SIGSTOP Valkey for the time of the block."""
        victim = self.pick(Role.VALKEY)
        os.kill(victim, signal.SIGSTOP)
        self.count(4, "Redis frozen")
        try:
            yield
        finally:
            os.kill(victim, signal.SIGCONT)

    def kill_api(self, *, fault: int = 10) -> None:
        """SIGKILL the API."""
        os.kill(self.pick(Role.API), signal.SIGKILL)
        self.count(fault, "API killed")

    def kill_reconciler(self) -> None:
        """SIGKILL the reconciler."""
        victim = self.pick(Role.RECONCILER)
        os.kill(victim, signal.SIGKILL)
        self.count(17, "reconcilers killed")
        wait_until(lambda: not _is_alive(victim), "the reconciler's end")

    def cut_at_commit(self, *, seconds: float) -> int:
        """Cut each connection of ours whose transaction has just committed, before it hears so; returns how many."""
        cut = 0
        with self.system.database() as conn:
            conn.execute(NOBODY)
            conn.execute(RELOAD)
            try:
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    cut += conn.execute(CUT).rowcount
                    time.sleep(0.05)
            finally:
                _reset(conn, EVERYBODY)
        self.count(18, "connections cut at COMMIT", cut)
        return cut

    def cut_anywhere(self) -> int:
        """Cut every connection of ours that is at work, wherever it is; returns how many."""
        with self.system.database() as conn:
            # Most transactions take milliseconds: look until one is caught at work, for a moment.
            until = time.monotonic() + CATCH_SECONDS
            while (cut := conn.execute(CUT_ANYWHERE).rowcount) == 0 and time.monotonic() < until:
                time.sleep(0.002)
        self.count(18, "connections cut", cut)
        return cut

    def count(self, fault: int, effect: str, times: int = 1) -> None:
        """Note so many injections of a fault, and what they are called among the effects."""
        self.tally.injected[fault] += times
        self.tally.effects[effect] += times

    def _freeze(self, pid: int) -> Struck:
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: _state_of(pid) in {"T", ""}, f"process {pid} to stop")
        worker = {"worker": f"%:{pid}"}
        holds = {str(row.id): row.fence for row in self.system.query(HELD, worker)}
        struck = Struck(pid, holds, self.under_way(pid))
        self.in_flight += struck.in_flight
        return struck

    def under_way(self, pid: int) -> int:
        """How many calls of a worker have no read reply yet."""
        return int(self.system.value(UNDER_WAY, {"worker": f"%:{pid}"}))


def _reset(conn: psycopg.Connection[object], statement: str) -> None:
    conn.execute(statement.encode())
    conn.execute(RELOAD)


def _is_alive(pid: int) -> bool:
    return _state_of(pid) not in {"", "Z"}


def _state_of(pid: int) -> str:
    """The kernel's letter for what a process does; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
