"""The reconciler's judgement of stages that look at what is there, alone: due, in hand, rejected, stuck and done."""

import random
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from shared.corpus.stages import Slot, StageTerms
from shared.database.states import BatchState, JobState, Stage
from shared.ids import BatchId, JobId, new_batch_id, new_job_id
from shared.jobs.actions import (
    Action,
    CreateBatch,
    DropFree,
    Fail,
    Hint,
    Park,
    Retarget,
    Select,
    StopCell,
    Succeed,
    TakeUp,
)
from shared.jobs.decide import decide
from shared.jobs.decide_later import CALLS_PER_BATCH, due_of, missing_of
from shared.jobs.evidence import EVIDENCE_CALLS, EVIDENCE_CANDIDATES
from shared.jobs.observed import CellStatus, EndedBatch, Observed, OpenBatch, StageStatus
from shared.planning.mix import Cell
from tests.unit.jobs.test_decide import EASY, HARD, LIMITS, NOW, created, observed, open_batch, status

VALIDATE = StageTerms(Stage.VALIDATE, 20, (Slot("openai/judge", 0),), tries=3)
ANSWER = StageTerms(Stage.ANSWER, 10, (Slot("openai/a", 0), Slot("openai/b", 0)), tries=3)
FULL_VALIDATION = CALLS_PER_BATCH * 20
FULL_ANSWERING = CALLS_PER_BATCH // 2 * 10


def validating(
    target: int = 1000, *, generates: bool = True, terms: StageTerms = VALIDATE, **counts: object
) -> CellStatus:
    """A cell with one later stage, the counts of which begin with `its_`."""
    of_stage = {name.removeprefix("its_"): value for name, value in counts.items() if name.startswith("its_")}
    of_cell = {name: value for name, value in counts.items() if not name.startswith("its_")}
    its = replace(StageStatus(terms), **of_stage)  # type: ignore[arg-type]
    return status(EASY, target, generates=generates, later=(its,), **of_cell)


def taken_up(actions: list[Action]) -> list[TakeUp]:
    return [action for action in actions if isinstance(action, TakeUp)]


def test_what_is_there_is_taken_up_in_whole_batches_while_more_comes() -> None:
    busy = validating(2000, selected=1000, coming=1000, open_batches=5)
    [take_up] = taken_up(decide(observed(busy), LIMITS))
    assert take_up == TakeUp(EASY, Stage.VALIDATE, 1, (400, 400), 20, (20, 20))


def test_a_part_of_a_batch_is_taken_up_only_when_nothing_more_comes_to_fill_it() -> None:
    coming = validating(2000, selected=399, coming=1601, open_batches=5)
    assert taken_up(decide(observed(coming), LIMITS)) == []
    # 381 questions of two models: ten calls of twenty are a batch of a hundred.
    all_there = validating(381, terms=ANSWER, selected=381)
    [take_up] = taken_up(decide(observed(all_there), LIMITS))
    assert take_up == TakeUp(EASY, Stage.ANSWER, 1, (100, 100, 100, 81), 10, (20, 20, 20, 18))


def test_what_is_in_hand_is_not_taken_up_again_and_numbers_go_on() -> None:
    busy = validating(1000, selected=1000, validated=100, its_in_hand=500, its_open_batches=2, its_batches=3)
    [take_up] = taken_up(decide(observed(busy), LIMITS))
    assert (take_up.number, take_up.sizes) == (4, (400,))
    in_hand = validating(1000, selected=1000, validated=100, its_in_hand=900, its_open_batches=3)
    assert taken_up(decide(observed(in_hand), LIMITS)) == []


def test_only_so_many_batches_exist_ahead_of_the_work() -> None:
    many = validating(100_000, selected=100_000, its_open_batches=2)
    [take_up] = taken_up(decide(observed(many), LIMITS))
    assert len(take_up.sizes) + 2 == 5


def test_an_answer_waits_for_the_verdict() -> None:
    both = replace(validating(300, selected=300, validated=200), later=(StageStatus(VALIDATE), StageStatus(ANSWER)))
    assert (due_of(both, Stage.VALIDATE), due_of(both, Stage.ANSWER)) == (100, 200)
    taken = {each.stage: each.sizes for each in taken_up(decide(observed(both), LIMITS))}
    assert taken == {Stage.VALIDATE: (100,), Stage.ANSWER: (100, 100)}
    assert due_of(replace(both, later=(StageStatus(ANSWER),)), Stage.ANSWER) == 300


@pytest.mark.parametrize(
    ("counts", "missing"),
    [
        ({}, 1000),
        ({"selected": 1000}, 0),
        ({"selected": 1000, "validated": 500, "its_judged": 500, "its_passed": 500}, 0),
        # 400 have to pass yet, of which at nine in ten 500 unseen ones bring enough.
        ({"selected": 1000, "validated": 600, "reserve": 100, "its_judged": 980, "its_passed": 880}, 0),
        ({"selected": 900, "validated": 900, "its_judged": 980, "its_passed": 880}, 112),
        # However much is rejected, no more than twice is made in advance.
        ({"selected": 0, "its_judged": 1_000_000, "its_passed": 0}, 2000),
    ],
)
def test_more_is_made_than_is_missing_because_some_will_be_rejected(counts: dict[str, object], missing: int) -> None:
    assert missing_of(validating(1000, **counts)) == missing  # type: ignore[arg-type]


def test_a_full_cell_with_questions_that_nobody_judged_is_not_the_end() -> None:
    waiting = validating(100, selected=100, its_in_hand=100, its_open_batches=1)
    batch = open_batch(stage=Stage.VALIDATE, state=BatchState.LEASED)
    assert decide(observed(waiting, batches=(batch,)), LIMITS) == []
    assert decide(observed(validating(100, selected=100, validated=100)), LIMITS) == [Succeed()]


def test_later_stages_are_hinted_first() -> None:
    generate = [open_batch(number, cell) for number in (1, 2) for cell in (EASY, HARD)]
    later = [open_batch(9, EASY, stage=stage) for stage in (Stage.VALIDATE, Stage.ANSWER)]
    stages = (StageStatus(VALIDATE, in_hand=500, open_batches=1), StageStatus(ANSWER, in_hand=200, open_batches=1))
    busy = [status(cell, 2000, selected=500, coming=1500, open_batches=2, later=stages) for cell in (EASY, HARD)]
    actions = decide(observed(*busy, batches=(*generate, *later)), LIMITS)
    hinted = [action.batch for action in actions if isinstance(action, Hint)]
    assert [(each.stage, each.number) for each in hinted] == [
        (Stage.ANSWER, 9),
        (Stage.VALIDATE, 9),
        (Stage.GENERATE, 1),
        (Stage.GENERATE, 1),
    ]


@pytest.mark.parametrize(
    ("ended", "enough", "word"),
    [
        (EndedBatch(BatchState.PARKED, 20, 0, 0), 3, "parked"),
        (EndedBatch(BatchState.DONE, 20, 0, 0), EVIDENCE_CALLS // 20, "usable"),
        (EndedBatch(BatchState.DONE, 20, 100, 4), EVIDENCE_CANDIDATES // 100, "4 of the last 200|8 of the last 200"),
        (EndedBatch(BatchState.DONE, 1, 2, 0), 12, "0 of the last 24"),
    ],
)
def test_a_stage_that_lets_nothing_pass_is_stopped_with_its_reason(ended: EndedBatch, enough: int, word: str) -> None:
    going_on = validating(1000, selected=1000, its_ended=(ended,) * (enough - 1))
    assert taken_up(decide(observed(going_on), LIMITS)) != []
    stuck = validating(1000, selected=1000, its_ended=(ended,) * enough)
    [stop] = [each for each in decide(observed(stuck), LIMITS) if isinstance(each, StopCell)]
    assert stop.stage is Stage.VALIDATE
    assert any(each in stop.reason for each in word.split("|"))
    assert taken_up(decide(observed(stuck), LIMITS)) == []


def test_batches_that_had_nothing_left_to_ask_say_nothing_against_their_stage() -> None:
    idle = EndedBatch(BatchState.DONE, 0, 0, 0)
    assert taken_up(decide(observed(validating(1000, selected=1000, its_ended=(idle,) * 12)), LIMITS)) != []


def test_of_a_stopped_stage_no_batch_is_made_or_hinted_and_the_free_are_dropped() -> None:
    stopped = validating(1000, selected=1000, stopped="stuck", stopped_stage=Stage.VALIDATE, its_open_batches=1)
    free = open_batch(stage=Stage.VALIDATE)
    assert decide(observed(stopped, batches=(free,)), LIMITS) == [
        DropFree(EASY, "the cell is stopped: stuck", Stage.VALIDATE)
    ]
    [fail] = decide(observed(replace(stopped, later=(StageStatus(VALIDATE),))), LIMITS)
    assert isinstance(fail, Fail)
    assert "math/easy: 0 of 1000 (stuck)" in fail.reason


def test_a_cell_that_generates_no_more_is_still_judged_and_answered() -> None:
    dry = validating(1000, selected=300, stopped="dry", stopped_stage=Stage.GENERATE)
    [take_up] = decide(observed(dry), LIMITS)
    assert isinstance(take_up, TakeUp)
    assert take_up.sizes == (300,)


def test_a_job_that_does_not_generate_asks_for_nothing_new() -> None:
    short = validating(500, generates=False, selected=300)
    assert created(decide(observed(short), LIMITS)) == []
    assert [each.sizes for each in taken_up(decide(observed(short), LIMITS))] == [(300,)]
    [stop] = decide(observed(replace(short, validated=300)), LIMITS)
    assert isinstance(stop, StopCell)


@dataclass
class Question:
    """In which state it is, and which stages are done with it."""

    state: str = "selected"
    done: set[Stage] = field(default_factory=set)
    # Whoever looks at it, by stage.
    hands: dict[Stage, BatchId] = field(default_factory=dict)


@dataclass
class ToyBatch:
    """A batch, and the questions that it deals with: those of a later stage are picked when it is made."""

    open: OpenBatch
    size: int
    calls: int
    questions: list[Question] = field(default_factory=list)


class Pipeline:
    """A toy database, broker and fleet of a job of several stages: batches run, die, lose their hints, reject."""

    def __init__(self, seed: int, targets: list[int], rates: dict[Stage, float], existing: int | None) -> None:
        self.rng = random.Random(seed)
        self.rates = rates
        self.generates = existing is None
        self.now = NOW
        self.cells = {Cell("d", str(n)): status(Cell("d", str(n)), target) for n, target in enumerate(targets)}
        self.questions: dict[Cell, list[Question]] = {cell: [] for cell in self.cells}
        self.batches: dict[BatchId, ToyBatch] = {}
        self.ended: dict[tuple[Cell, Stage], list[EndedBatch]] = {}
        self.numbers: dict[tuple[Cell, Stage], int] = {}
        self.hints: list[OpenBatch] = []
        self.terms = [terms for terms in (VALIDATE, ANSWER) if terms.stage in rates]
        if existing is not None:
            for cell, target in zip(self.cells, targets, strict=True):
                self.questions[cell] = [Question() for _ in range(target)]

    def look(self) -> Observed:
        return Observed(
            JobId(new_job_id()),
            JobState.RUNNING,
            self.now,
            tuple(self.see(cell) for cell in self.cells),
            tuple(batch.open for batch in self.batches.values()),
            follows=not self.generates,
        )

    def see(self, cell: Cell) -> CellStatus:
        mine = [batch for batch in self.batches.values() if batch.open.cell == cell]
        selected, reserve = self.of(cell, "selected"), self.of(cell, "reserve")
        generate = [batch for batch in mine if batch.open.stage is Stage.GENERATE]
        ended = self.ended.get((cell, Stage.GENERATE), [])
        return replace(
            self.cells[cell],
            generates=self.generates,
            selected=len(selected),
            reserve=len(reserve),
            generated=sum(each.generated for each in ended),
            admitted=sum(each.admitted for each in ended),
            coming=sum(batch.size for batch in generate),
            open_batches=len(generate),
            ended=tuple(reversed(ended)),
            batches=self.numbers.get((cell, Stage.GENERATE), 0),
            validated=sum(Stage.VALIDATE in each.done for each in selected),
            reserve_validated=sum(Stage.VALIDATE in each.done for each in reserve),
            answered=sum(Stage.ANSWER in each.done for each in selected),
            later=tuple(self.see_stage(cell, terms, mine) for terms in self.terms),
        )

    def see_stage(self, cell: Cell, terms: StageTerms, mine: list[ToyBatch]) -> StageStatus:
        its = [batch for batch in mine if batch.open.stage is terms.stage]
        ended = self.ended.get((cell, terms.stage), [])
        return StageStatus(
            terms,
            in_hand=sum(terms.stage in each.hands for each in self.of(cell, "selected")),
            judged=sum(each.generated for each in ended),
            passed=sum(each.admitted for each in ended),
            open_batches=len(its),
            ended=tuple(reversed(ended)),
            batches=self.numbers.get((cell, terms.stage), 0),
        )

    def of(self, cell: Cell, state: str) -> list[Question]:
        return [each for each in self.questions[cell] if each.state == state]

    def is_fit(self, question: Question, stage: Stage) -> bool:
        before = stage is Stage.ANSWER and Stage.VALIDATE in self.rates
        return stage not in question.done and (not before or Stage.VALIDATE in question.done)

    def apply(self, actions: list[Action]) -> Action | None:
        for action in actions:
            match action:
                case CreateBatch(cell, number, questions, _, ordinals):
                    assert self.generates
                    assert not self.cells[cell].is_stopped(Stage.GENERATE)
                    self.cells[cell] = replace(self.cells[cell], next_ordinal=ordinals[-1] + 1)
                    self.make(cell, Stage.GENERATE, number, questions, len(ordinals))
                case TakeUp():
                    self.take_up(action)
                case Hint(batch):
                    assert not self.cells[batch.cell].is_stopped(batch.stage)
                    self.batches[batch.id].open = replace(batch, hinted_at=self.now)
                    self.hints.append(batch)
                case DropFree(cell, _, stage):
                    self.drop(cell, stage)
                case Select(cell, target):
                    self.select(cell, target)
                case StopCell(cell, reason, stage):
                    self.cells[cell] = replace(self.cells[cell], stopped=reason, stopped_stage=stage)
                case Retarget(targets, _, _):
                    self.cells = {cell: replace(each, target=targets[cell]) for cell, each in self.cells.items()}
                case Park(batch_id, _):
                    self.end(self.batches[batch_id], EndedBatch(BatchState.PARKED, 0, 0, 0))
                case Succeed() | Fail():
                    return action
        return None

    def drop(self, cell: Cell, stage: Stage) -> None:
        for each in list(self.batches.values()):
            if (each.open.cell, each.open.stage) == (cell, stage):
                self.end(each, None)

    def select(self, cell: Cell, target: int) -> None:
        """What has passed comes first, as in the database."""
        kept = sorted(self.of(cell, "selected") + self.of(cell, "reserve"), key=lambda each: -len(each.done))
        for n, question in enumerate(kept):
            question.state = "selected" if n < target else "reserve"

    def take_up(self, action: TakeUp) -> None:
        cell, stage = action.cell, action.stage
        assert not self.cells[cell].is_stopped(stage)
        terms = next(terms for terms in self.terms if terms.stage is stage)
        full = max(1, CALLS_PER_BATCH // len(terms.slots)) * terms.questions_per_call
        waiting = [each for each in self.of(cell, "selected") if self.is_fit(each, stage) and stage not in each.hands]
        if action.sizes[-1] < full:
            assert not self.more_comes(cell, stage), "a part of a batch although more was to come"
        for number, (size, calls) in enumerate(zip(action.sizes, action.calls, strict=True), action.number):
            if not waiting:
                break  # what was counted as due has been unselected by now
            batch = self.make(cell, stage, number, size, calls)
            for _ in range(min(size, len(waiting))):
                question = waiting.pop()
                assert stage not in question.hands
                question.hands[stage] = batch.open.id
                batch.questions.append(question)

    def more_comes(self, cell: Cell, stage: Stage) -> bool:
        before = [each.open for each in self.batches.values() if each.open.cell == cell]
        return any(each.stage.position < stage.position for each in before)

    def make(self, cell: Cell, stage: Stage, number: int, size: int, calls: int) -> ToyBatch:
        assert number == self.numbers.get((cell, stage), 0) + 1
        self.numbers[cell, stage] = number
        batch = ToyBatch(OpenBatch(new_batch_id(), cell, stage, number, BatchState.PENDING, attempts=0), size, calls)
        self.batches[batch.open.id] = batch
        return batch

    def end(self, batch: ToyBatch, ended: EndedBatch | None) -> None:
        del self.batches[batch.open.id]
        for question in batch.questions:
            question.hands.pop(batch.open.stage, None)
        if ended is not None:
            self.ended.setdefault((batch.open.cell, batch.open.stage), []).append(ended)

    def work(self) -> None:
        """Some hints arrive; a batch runs to its end, or its worker dies and the lease expires, or the hint is lost."""
        self.now += timedelta(seconds=40)
        hints, self.hints = self.hints, []
        for hint in hints:
            if hint.id not in self.batches or self.rng.random() < 0.2:
                continue
            batch = self.batches[hint.id]
            attempts = batch.open.attempts + 1
            if self.rng.random() < 0.1:
                batch.open = replace(batch.open, state=BatchState.LEASED, expired=True, attempts=attempts)
            else:
                self.run(batch)

    def run(self, batch: ToyBatch) -> None:
        stage, rate = batch.open.stage, self.rates[batch.open.stage]
        if stage is Stage.GENERATE:
            admitted = sum(self.rng.random() < rate for _ in range(batch.size))
            self.questions[batch.open.cell] += [Question() for _ in range(admitted)]
            self.end(batch, EndedBatch(BatchState.DONE, batch.calls, batch.size, admitted))
            return
        judged = passed = 0
        for question in batch.questions:
            if self.rng.random() < 0.02:
                continue  # no usable reply on this one: it is due again
            judged += 1
            if self.rng.random() < rate:
                passed += 1
                question.done.add(stage)
            else:
                question.state = "rejected"
        self.end(batch, EndedBatch(BatchState.DONE, batch.calls, judged, passed))

    def until_it_ends(self) -> Action:
        for _ in range(600):
            if ending := self.apply(decide(self.look(), LIMITS)):
                return ending
            self.work()
        pytest.fail(f"the job does not end: {self.look()}")


def done_with_all(world: Pipeline) -> bool:
    stages = {terms.stage for terms in world.terms}
    return all(
        len(world.of(cell, "selected")) == each.target and all(q.done >= stages for q in world.of(cell, "selected"))
        for cell, each in world.cells.items()
    )


RATES = st.sampled_from([0.4, 0.8, 0.95, 1.0])
JOBS = settings(max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])


@JOBS
@given(
    seed=st.integers(0, 2**32),
    targets=st.lists(st.integers(0, 900), min_size=1, max_size=3),
    rates=st.tuples(RATES, RATES, RATES),
    stages=st.sampled_from([(Stage.VALIDATE,), (Stage.ANSWER,), (Stage.VALIDATE, Stage.ANSWER)]),
)
def test_every_job_ends_exact_with_every_stage_done(
    seed: int, targets: list[int], rates: tuple[float, float, float], stages: tuple[Stage, ...]
) -> None:
    by_stage = {stage: rate for stage, rate in zip(Stage, rates, strict=True) if stage in {Stage.GENERATE, *stages}}
    world = Pipeline(seed, targets, by_stage, existing=None)
    assert world.until_it_ends() == Succeed()
    assert [each.target for each in world.cells.values()] == targets
    assert done_with_all(world)
    assert not world.batches


@JOBS
@given(
    seed=st.integers(0, 2**32),
    there=st.lists(st.integers(1, 900), min_size=1, max_size=3),
    rates=st.tuples(RATES, RATES),
)
def test_a_job_on_what_is_there_ends_with_what_has_passed(
    seed: int, there: list[int], rates: tuple[float, float]
) -> None:
    world = Pipeline(seed, there, dict(zip((Stage.VALIDATE, Stage.ANSWER), rates, strict=True)), existing=0)
    assert world.until_it_ends() == Succeed()
    assert done_with_all(world)
    for cell, count in zip(world.cells, there, strict=True):
        assert len(world.of(cell, "selected")) + len(world.of(cell, "rejected")) == count


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32), stage=st.sampled_from([Stage.VALIDATE, Stage.ANSWER]))
def test_judges_that_let_nothing_pass_end_the_job_before_much_is_spent(seed: int, stage: Stage) -> None:
    rates = {Stage.GENERATE: 1.0, Stage.VALIDATE: 1.0, Stage.ANSWER: 1.0} | {stage: 0.0}
    world = Pipeline(seed, [5_000], rates, existing=None)
    ending = world.until_it_ends()
    assert isinstance(ending, Fail)
    assert f"{stage}: 0 of the last" in ending.reason
    [questions] = world.questions.values()
    assert sum(each.state == "rejected" for each in questions) <= 400 * (1 + LIMITS.window_batches)
