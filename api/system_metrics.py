"""The whole system's sums as Prometheus metrics, read anew for a scrape and at most once in some seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from shared.database.trouble import first_line
from shared.jobs.system_health import SystemHealth
from shared.jobs.system_sums import SystemSums

log = structlog.get_logger()

# Several Prometheus servers, or one that scrapes too often, cost the database one reading in this time.
FRESH_SECONDS = 3.0
# Prometheus gives up after ten seconds by default, and the process's own metrics are there anyway.
READ_SECONDS = 5.0

Samples = Iterable[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class Servers(Collector):
    """Whether the database and the broker can be used."""

    database_up: bool
    broker_up: bool

    def collect(self) -> Iterator[Metric]:
        """The two."""
        for name, help_text, is_up in (
            ("database", "Whether the sums below could be read.", self.database_up),
            ("broker", "Whether Redis answered the API.", self.broker_up),
        ):
            yield _gauge(f"questmill_{name}_up", help_text, (), [((), float(is_up))])


class SystemCollector(Collector):
    """Holds the newest sums for the registry; `refresh` reads them."""

    def __init__(
        self, read: Callable[[], Awaitable[SystemSums]], is_broker_up: Callable[[], Coroutine[Any, Any, bool]]
    ) -> None:
        self._read = read
        self.is_broker_up = is_broker_up
        self._broker_up = False
        self._lock = asyncio.Lock()
        self._read_at = -FRESH_SECONDS
        self._sums: SystemSums | None = None
        self._seconds = 0.0
        self._rising: dict[tuple[str, tuple[str, ...]], _Rising] = {}

    async def refresh(self) -> None:
        """Read the sums, unless that was just done. A database that is away leaves none: no old number is shown."""
        async with self._lock:
            started = time.monotonic()
            if started - self._read_at < FRESH_SECONDS:
                return
            broker = asyncio.create_task(self.is_broker_up())
            try:
                async with asyncio.timeout(READ_SECONDS):
                    self._sums = await self._read()
            except Exception as error:  # noqa: BLE001 - it is told by questmill_database_up, and the rest is scraped
                log.warning("sums not read", error=first_line(error))
                self._sums = None
            self._read_at = time.monotonic()
            self._seconds = self._read_at - started
            self._broker_up = await broker

    def describe(self) -> Iterable[Metric]:
        """Nothing is read when the collector is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics of the newest sums."""
        yield from Servers(self._sums is not None, self._broker_up).collect()
        yield _gauge("questmill_sums_read_seconds", "How long reading the sums took.", (), [((), self._seconds)])
        if self._sums is not None:
            yield from self._gauges(self._sums)
            yield from self._counters(self._sums)
            yield from self._of_workers(self._sums)
            yield from _of_health(self._sums.health)

    def _gauges(self, sums: SystemSums) -> Iterator[Metric]:
        yield _gauge("questmill_jobs", "Jobs by state.", ("state",), _by_one(sums.jobs))
        yield _gauge(
            "questmill_batches",
            "Open batches: pending, in_bulk (with a provider, or to be submitted), leased, or expired.",
            ("stage", "state"),
            _counted(sums.open_batches),
        )
        # Also where none is: a line falls to 0 then, and does not break off.
        in_flight = [((each.model, each.stage), float(each.calls * each.in_flight)) for each in sums.calls]
        yield _gauge(
            "questmill_calls_in_flight", "Ledger rows that wait for an answer.", ("model", "stage"), _added(in_flight)
        )
        yield _gauge("questmill_questions", "Questions by state.", ("state",), _by_one(sums.questions))
        yield _gauge("questmill_questions_validated", "Questions that are validated.", (), [((), sums.validated)])
        yield _gauge("questmill_questions_answered", "Questions that are answered.", (), [((), sums.answered)])
        for name, what in (("budget", "may cost"), ("spent", "have cost"), ("held", "hold for calls under way")):
            help_text = f"US dollars that unfinished jobs {what}."
            yield _gauge(f"questmill_unfinished_{name}_usd", help_text, (), [((), float(sums.money[name]))])
        yield _gauge(
            "questmill_bulk_submissions", "Unfinished bulk submissions.", ("state",), _by_one(sums.submissions)
        )
        yield _gauge("questmill_notifications", "Webhook calls by state.", ("state",), _by_one(sums.notifications))

    def _counters(self, sums: SystemSums) -> Iterator[Metric]:
        settled = [each for each in sums.calls if not each.in_flight]
        yield self._counter(
            "questmill_calls",
            "Settled calls by how they ended.",
            ("model", "stage", "outcome"),
            _added(((each.model, each.stage, each.outcome), each.calls) for each in settled),
        )
        yield self._counter(
            "questmill_tokens",
            "Tokens of calls, as the providers counted them.",
            ("model", "stage", "direction"),
            _added(
                ((each.model, each.stage, direction), float(tokens * (not each.in_flight)))
                for each in sums.calls
                for direction, tokens in (("input", each.input_tokens), ("output", each.output_tokens))
            ),
        )
        yield self._counter(
            "questmill_cost_usd",
            "US dollars that calls have cost; a lost call counts as its worst case.",
            ("model", "stage"),
            _added(((each.model, each.stage), float(each.usd * (not each.in_flight))) for each in sums.calls),
        )
        yield self._counter(
            "questmill_batches_ended", "Ended batches.", ("stage", "state"), _counted(sums.ended_batches)
        )
        yield self._counter(
            "questmill_candidates", "Candidates or questions judged.", ("stage",), _by_one(sums.generated)
        )
        yield self._counter("questmill_admitted", "Those that passed.", ("stage",), _by_one(sums.admitted))
        yield self._counter(
            "questmill_rejected", "Those that did not, by reason.", ("stage", "reason"), _counted(sums.rejected)
        )
        kinds = (
            ("questmill_lease_expiries", "lease_expired", "Batches taken over from a holder that fell silent."),
            ("questmill_fenced_writes", "fenced_off", "Writes of stale holders that were refused."),
        )
        for name, kind, help_text in kinds:
            yield self._counter(name, help_text, (), [((), sums.incidents[kind])])

    def _of_workers(self, sums: SystemSums) -> Iterator[Metric]:
        def told(of_report: Callable[[Any], float]) -> Samples:
            return [((each.report.name,), of_report(each.report)) for each in sums.workers]

        label = ("worker",)
        seen = [((each.report.name,), each.seen_at.timestamp()) for each in sums.workers]
        yield _gauge("questmill_worker_seen_timestamp_seconds", "When the worker last reported.", label, seen)
        yield _gauge("questmill_worker_batches", "Batches that it works on.", label, told(lambda its: its.batches))
        yield _gauge(
            "questmill_worker_calls_in_flight",
            "Requests without an answer.",
            label,
            told(lambda its: its.calls_in_flight),
        )
        counters: tuple[tuple[str, str, Callable[[Any], float]], ...] = (
            ("calls_started", "Requests that it sent.", lambda its: its.calls_started),
            ("turn_wait_seconds", "Its calls' waits for others to the same model.", lambda its: its.turn_wait_seconds),
            ("rate_wait_seconds", "Its calls' waits for the rate limiter.", lambda its: its.rate_wait_seconds),
            ("limiter_failures", "How often Redis did not answer the limiter.", lambda its: its.limiter_failures),
        )
        for name, help_text, of_report in counters:
            # They begin again with the process, as Prometheus expects.
            family = CounterMetricFamily(f"questmill_worker_{name}", help_text, labels=label)
            for values, value in told(of_report):
                family.add_metric(values, value)
            yield family

    def _counter(self, name: str, help_text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
        family = CounterMetricFamily(name, help_text, labels=labels)
        for values, value in samples:
            family.add_metric(values, self._rising.setdefault((name, values), _Rising()).to(value))
        return family


class _Rising:
    """A sum of rows as a counter: what goes away (a deleted dataset, a pruned ledger, a correction) is not taken off.

    Prometheus would take any fall for a restart, and all that is left for new.
    """

    def __init__(self) -> None:
        self._last = self._gone = 0.0

    def to(self, value: float) -> float:
        """The counter when the sum is `value`."""
        self._gone += max(0.0, self._last - value)
        self._last = value
        return value + self._gone


def _of_health(its: SystemHealth) -> Iterator[Metric]:
    now, seen = its.database_now.timestamp(), its.reconciler_seen_at
    yield _gauge("questmill_database_timestamp_seconds", "The database's clock.", (), [((), now)])
    yield _gauge(
        "questmill_reconciler_seen_timestamp_seconds",
        "When a reconciler last used its connection, by the database's clock.",
        (),
        [] if seen is None else [((), seen.timestamp())],
    )
    yield _gauge("questmill_paused_jobs", "Paused jobs by who paused them.", ("by",), _by_one(its.paused))
    yield _gauge(
        "questmill_standstill_seconds",
        "For how long running jobs have sent no call and ended no batch, those in bulk aside.",
        ("which",),
        _by_one(its.standstill_seconds),
    )
    yield _gauge(
        "questmill_budget_used_ratio",
        "The largest share of its budget that a running job has spent.",
        (),
        [((), its.budget_used)],
    )
    yield _gauge("questmill_stopped_cells", "Stopped cells of unfinished jobs.", (), [((), its.stopped_cells)])
    yield _gauge(
        "questmill_oldest_submission_seconds",
        "The age of the oldest unfinished bulk submission.",
        ("state",),
        _by_one(its.oldest_submission_seconds),
    )


def _gauge(name: str, help_text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _by_one(counts: Mapping[str, float]) -> Samples:
    return [((name,), float(count)) for name, count in counts.items()]


def _counted(counts: Mapping[tuple[str, str], int]) -> Samples:
    return [(names, float(count)) for names, count in counts.items()]


def _added(samples: Iterable[tuple[tuple[str, ...], float]]) -> Samples:
    """Sums of the samples that have the same labels."""
    sums: dict[tuple[str, ...], float] = {}
    for values, value in samples:
        sums[values] = sums.get(values, 0.0) + value
    return sums.items()
