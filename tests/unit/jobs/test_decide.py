"""The reconciler's judgement, alone: first start, top-up, dead workers, full, stopped and impossible cells."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.database.states import BatchState, JobState, Stage
from shared.ids import JobId, new_batch_id, new_job_id
from shared.jobs.actions import Action, CreateBatch, DropFree, Fail, Hint, Park, Select, StopCell, Succeed
from shared.jobs.decide import Limits, decide
from shared.jobs.observed import BulkPlace, CellStatus, EndedBatch, Observed, OpenBatch
from shared.planning.mix import Cell

EASY = Cell("math", "easy")
HARD = Cell("math", "hard")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Limits(window_batches=4, hint_repeat=timedelta(seconds=30), max_attempts=3)


def status(cell: Cell = EASY, target: int = 1000, **counts: object) -> CellStatus:
    return replace(CellStatus(cell, target, mean_tokens=15, questions_per_call=20), **counts)  # type: ignore[arg-type]


def observed(*cells: CellStatus, batches: tuple[OpenBatch, ...] = (), state: JobState = JobState.RUNNING) -> Observed:
    return Observed(JobId(new_job_id()), state, NOW, cells, batches)


def open_batch(number: int = 1, cell: Cell = EASY, **changes: object) -> OpenBatch:
    return replace(OpenBatch(new_batch_id(), cell, Stage.GENERATE, number, BatchState.PENDING, attempts=0), **changes)  # type: ignore[arg-type]


def created(actions: list[Action]) -> list[CreateBatch]:
    return [action for action in actions if isinstance(action, CreateBatch)]


def test_first_start_asks_for_the_whole_deficit_in_batches_of_twenty_calls() -> None:
    actions = created(decide(observed(status(target=1000)), LIMITS))
    assert [(each.questions, each.number, each.ordinals) for each in actions] == [
        (400, 1, range(20)),
        (400, 2, range(20, 40)),
        (200, 3, range(40, 50)),
    ]


def test_existing_questions_and_reserve_count() -> None:
    actions = decide(observed(status(target=1000, selected=700, reserve=300)), LIMITS)
    assert actions == [Select(EASY, 1000)]


def test_a_small_shortfall_waits_for_the_open_batches() -> None:
    waiting = status(target=400, selected=100, coming=280, open_batches=3, generated=100, admitted=100)
    assert created(decide(observed(waiting, batches=(open_batch(),)), LIMITS)) == []
    tail = replace(waiting, open_batches=2)
    assert [each.questions for each in created(decide(observed(tail), LIMITS))] == [20]
    none_left = replace(waiting, coming=0, open_batches=0)
    assert sum(each.questions for each in created(decide(observed(none_left), LIMITS))) == 300


def test_a_top_up_asks_for_more_when_the_yield_is_low() -> None:
    half = status(target=1000, selected=480, generated=980, admitted=480)
    asked = sum(each.questions for each in created(decide(observed(half), LIMITS)))
    assert 1000 <= asked <= 1060


def test_hints_go_out_in_a_window_in_the_order_of_numbers() -> None:
    batches = tuple(open_batch(number, cell) for cell in (HARD, EASY) for number in (1, 2, 3))
    busy = observed(status(coming=1000, open_batches=3), status(HARD, coming=1000, open_batches=3), batches=batches)
    hinted = [action.batch for action in decide(busy, LIMITS) if isinstance(action, Hint)]
    assert [(each.cell, each.number) for each in hinted] == [(EASY, 1), (HARD, 1), (EASY, 2), (HARD, 2)]


def test_a_hint_is_repeated_only_after_its_time() -> None:
    fresh = open_batch(1, hinted_at=NOW - timedelta(seconds=29))
    stale = open_batch(2, hinted_at=NOW - timedelta(seconds=30))
    actions = decide(observed(status(target=800, coming=800, open_batches=2), batches=(fresh, stale)), LIMITS)
    assert actions == [Hint(stale)]


def test_the_batch_of_a_dead_worker_is_hinted_again() -> None:
    held = open_batch(1, state=BatchState.LEASED, attempts=1, hinted_at=NOW - timedelta(minutes=5))
    busy = status(target=400, coming=400, open_batches=1)
    assert decide(observed(busy, batches=(held,)), LIMITS) == []
    expired = replace(held, expired=True)
    assert decide(observed(busy, batches=(expired,)), LIMITS) == [Hint(expired)]
    # Just after an absence of the database nobody could have renewed it.
    assert decide(observed(busy, batches=(expired,)), replace(LIMITS, spare_expired=True)) == []


def test_a_batch_that_never_gets_anywhere_is_parked() -> None:
    batch = open_batch(1, state=BatchState.LEASED, attempts=3, expired=True)
    actions = decide(observed(status(target=400, coming=400, open_batches=1), batches=(batch,)), LIMITS)
    assert [action.batch_id for action in actions if isinstance(action, Park)] == [batch.id]
    assert not [action for action in actions if isinstance(action, Hint)]


@pytest.mark.parametrize(
    ("ended", "enough", "word"),
    [
        (EndedBatch(BatchState.PARKED, 20, 0, 0), 3, "parked"),
        (EndedBatch(BatchState.PARKED, 20, 0, 0, "it was refused"), 3, "parked, the last one: it was refused"),
        (EndedBatch(BatchState.DONE, 20, 0, 0), 2, "usable"),
        (EndedBatch(BatchState.DONE, 20, 400, 5), 2, "nothing new"),
        (EndedBatch(BatchState.DONE, 1, 0, 0), 40, "usable"),
        (EndedBatch(BatchState.DONE, 20, 40, 1), 5, "nothing new"),
    ],
)
def test_a_cell_that_can_yield_no_more_is_stopped_with_its_reason(ended: EndedBatch, enough: int, word: str) -> None:
    assert created(decide(observed(status(ended=(ended,) * (enough - 1))), LIMITS)) != []
    (stop,) = decide(observed(status(ended=(ended,) * enough)), LIMITS)
    assert isinstance(stop, StopCell)
    assert word in stop.reason


def test_a_few_unreadable_replies_do_not_stop_a_cell() -> None:
    unlucky = status(
        target=66, selected=61, generated=240, admitted=61, ended=(EndedBatch(BatchState.DONE, 1, 0, 0),) * 6
    )
    assert created(decide(observed(unlucky), LIMITS)) != []


def test_a_job_with_a_stopped_cell_fails_and_names_it_once_nothing_else_is_left() -> None:
    dry = status(stopped="dry", selected=10)
    busy = status(HARD, target=40, coming=40, open_batches=1)
    assert decide(observed(dry, busy, batches=(open_batch(cell=HARD, hinted_at=NOW),)), LIMITS) == []
    (fail,) = decide(observed(dry, status(HARD, target=40, selected=40)), LIMITS)
    assert isinstance(fail, Fail)
    assert "math/easy: 10 of 1000 (dry)" in fail.reason


def test_a_full_cell_drops_what_nobody_holds() -> None:
    full = status(target=100, selected=100, open_batches=1, coming=20)
    assert decide(observed(full, batches=(open_batch(),)), LIMITS) == [DropFree(EASY, "the cell is full")]


def test_a_job_succeeds_only_when_every_cell_is_exact_and_nobody_works() -> None:
    exact = status(target=100, selected=100)
    assert decide(observed(exact), LIMITS) == [Succeed()]
    assert decide(observed(replace(exact, selected=101)), LIMITS) == [Select(EASY, 100)]
    held = open_batch(state=BatchState.LEASED)
    assert Succeed() not in decide(observed(replace(exact, open_batches=1), batches=(held,)), LIMITS)


def test_a_paused_job_starts_nothing_and_an_ended_one_is_left_alone() -> None:
    assert decide(observed(status(), state=JobState.PAUSED), LIMITS) == []
    assert decide(observed(status(selected=1001), state=JobState.PAUSED), LIMITS) == [Select(EASY, 1000)]
    assert decide(observed(status(selected=1001), state=JobState.CANCELLED), LIMITS) == []


class World:
    """A toy database, broker and fleet: batches run, die, lose their hints and yield by chance."""

    def __init__(self, seed: int, targets: list[int], rate: float) -> None:
        self.rng = random.Random(seed)
        self.rate = rate
        self.now = NOW
        self.cells = {Cell("d", str(n)): status(Cell("d", str(n)), target) for n, target in enumerate(targets)}
        self.batches: dict[object, OpenBatch] = {}
        self.size: dict[object, int] = {}
        self.hints: list[OpenBatch] = []

    def look(self) -> Observed:
        statuses = []
        for cell, each in self.cells.items():
            mine = [batch for batch in self.batches.values() if batch.cell == cell]
            coming = sum(self.size[batch.id] for batch in mine)
            statuses.append(replace(each, open_batches=len(mine), coming=coming))
        return Observed(JobId(new_job_id()), JobState.RUNNING, self.now, tuple(statuses), tuple(self.batches.values()))

    def apply(self, actions: list[Action]) -> Action | None:
        for action in actions:
            match action:
                case CreateBatch(cell, number, questions, _, ordinals):
                    each = self.cells[cell]
                    assert number == each.batches + 1
                    assert ordinals[0] == each.next_ordinal
                    self.cells[cell] = replace(each, batches=number, next_ordinal=ordinals[-1] + 1)
                    batch = OpenBatch(new_batch_id(), cell, Stage.GENERATE, number, BatchState.PENDING, attempts=0)
                    self.batches[batch.id] = batch
                    self.size[batch.id] = questions
                case Hint(batch):
                    self.batches[batch.id] = replace(batch, hinted_at=self.now)
                    self.hints.append(batch)
                case DropFree(cell, _):
                    for batch in [each for each in self.batches.values() if each.cell == cell]:
                        del self.batches[batch.id]
                case Select(cell, target):
                    each = self.cells[cell]
                    have = each.selected + each.reserve
                    self.cells[cell] = replace(each, selected=min(have, target), reserve=max(0, have - target))
                case StopCell(cell, reason):
                    self.cells[cell] = replace(self.cells[cell], stopped=reason)
                case Park(batch_id, _):
                    del self.batches[batch_id]
                case Succeed() | Fail():
                    return action
        return None

    def work(self) -> None:
        """Some hints arrive; a batch runs to its end, or its worker dies and the lease expires, or the hint is lost."""
        self.now += timedelta(seconds=40)
        hints, self.hints = self.hints, []
        for hint in hints:
            if hint.id not in self.batches or self.rng.random() < 0.2:
                continue
            if self.rng.random() < 0.1:
                batch = self.batches[hint.id]
                self.batches[hint.id] = replace(batch, state=BatchState.LEASED, expired=True)
                continue
            size = self.size[hint.id]
            admitted = sum(self.rng.random() < self.rate for _ in range(size))
            each = self.cells[hint.cell]
            self.cells[hint.cell] = replace(
                each,
                selected=each.selected + admitted,
                generated=each.generated + size,
                admitted=each.admitted + admitted,
                ended=(EndedBatch(BatchState.DONE, size // 20, size, admitted), *each.ended)[:40],
            )
            del self.batches[hint.id]


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    targets=st.lists(st.integers(0, 2500), min_size=1, max_size=4),
    rate=st.sampled_from([0.15, 0.5, 0.93, 1.0]),
)
def test_every_job_ends_exact_whatever_dies_or_gets_lost(seed: int, targets: list[int], rate: float) -> None:
    world = World(seed, targets, rate)
    for _ in range(500):
        ending = world.apply(decide(world.look(), LIMITS))
        if ending is not None:
            break
        world.work()
    assert ending == Succeed()
    assert [each.selected for each in world.cells.values()] == targets
    bought = sum(each.generated for each in world.cells.values())
    # What the yield makes necessary, its misjudgement, and per cell a window of batches that were under way at the end.
    assert bought <= 1.15 * sum(targets) / rate + len(targets) * 400 * (1 + LIMITS.window_batches)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), target=st.integers(500, 5000))
def test_a_dry_model_does_not_burn_money_for_ever(seed: int, target: int) -> None:
    world = World(seed, [target], 0.0)
    for _ in range(100):
        ending = world.apply(decide(world.look(), LIMITS))
        if ending is not None:
            break
        world.work()
    assert isinstance(ending, Fail)
    # The evidence, and the windows that were already at work when it came in.
    assert world.cells[Cell("d", "0")].generated <= 400 * (3 + 2 * LIMITS.window_batches)


def test_in_bulk_a_batch_has_up_to_500_calls_and_a_small_shortfall_waits_for_all_of_them() -> None:
    actions = created(decide(observed(status(target=20_000, bulk=True)), LIMITS))
    assert [(len(each.ordinals), each.bulk) for each in actions] == [(500, True), (500, True)]
    short = status(target=400, coming=200, open_batches=1, bulk=True)
    assert created(decide(observed(short, batches=(open_batch(bulk=BulkPlace.OUT),)), LIMITS)) == []
    assert created(decide(observed(replace(short, bulk=False), batches=(open_batch(),)), LIMITS))


def test_what_is_with_a_provider_or_on_its_way_is_neither_hinted_nor_parked_nor_taken_for_nothing() -> None:
    for place in (BulkPlace.WAITING, BulkPlace.OUT):
        batch = open_batch(bulk=place, attempts=3)
        cell = status(target=400, coming=400, open_batches=1, bulk=True)
        assert decide(observed(cell, batches=(batch,)), LIMITS) == []


def test_of_a_full_cell_what_waits_is_dropped_what_is_out_stays_and_what_is_back_is_read() -> None:
    full = status(target=400, selected=400, open_batches=1, bulk=True)
    waiting, out, back = (open_batch(bulk=place) for place in BulkPlace)
    assert [type(each) for each in decide(observed(full, batches=(waiting,)), LIMITS)] == [DropFree]
    assert decide(observed(full, batches=(out,)), LIMITS) == []
    assert decide(observed(full, batches=(back,)), LIMITS) == [Hint(back)]
    stopped = replace(full, selected=0, stopped="dry", stopped_stage=Stage.GENERATE)
    assert decide(observed(stopped, batches=(back,)), LIMITS) == [Hint(back)]


def test_a_batch_that_came_back_and_kills_its_workers_is_parked() -> None:
    batch = open_batch(bulk=BulkPlace.BACK, attempts=3)
    cell = status(target=400, coming=400, open_batches=1, bulk=True)
    assert [type(each) for each in decide(observed(cell, batches=(batch,)), LIMITS)] == [Park]
