import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from itertools import combinations, count

import pytest
from sqlalchemy import TextClause, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus import admission
from shared.corpus.admission import Admission
from shared.corpus.duplicates import NEAR_SIMILARITY, Known, Refusal
from shared.corpus.fingerprint import fingerprint
from shared.corpus.guards import guard_between
from shared.corpus.lookup import COUNT_TEMPLATES, QUESTIONS_PER_BAND
from shared.corpus.normalise import normalise, text_hash
from shared.database.fence import Hold, confirm_hold
from shared.database.states import QuestionState
from shared.database.tables import job, question, question_band, rejection
from shared.errors import FencedOff, JobNotRunning
from shared.ids import QuestionId
from tests.service.factories import CELL, MODEL, admit_reply, lease_batch, make_batch, make_hold

BOILED = "Why does an egg harden when it is boiled in water for several minutes?"
BOILED_TOO = "Why does an egg harden when it is boiled in water for several minutes then?"
NO_RIVER = "Name a planet that has no river."

names = (f"corpus-{number}" for number in count())


@pytest.fixture
async def conn(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that is rolled back."""
    async with engine.connect() as connection:
        yield connection


@pytest.fixture
async def hold(conn: AsyncConnection) -> Hold:
    return await make_hold(conn, next(names))


async def take(conn: AsyncConnection, hold: Hold, *texts: str, template_cap: int = 5) -> Admission:
    await confirm_hold(conn, hold)
    return await admit_reply(conn, hold, *texts, tags=("eggs",), template_cap=template_cap)


def reasons(outcome: Admission) -> list[tuple[str, Refusal, QuestionId | None]]:
    return [(each.candidate.text, each.reason, each.question_id) for each in outcome.refused]


async def test_templates_are_found_by_their_own_index_whatever_is_known_of_the_dataset(conn: AsyncConnection) -> None:
    # Without statistics of a dataset every index that begins with it seems equally good, and most are not.
    await conn.execute(text("SET LOCAL enable_seqscan = off"))
    values = {"dataset_id": 987_654, "templates": "{1,2,3}", "template_cap": 1_000_000}
    plan = "\n".join((await conn.execute(text(f"EXPLAIN {COUNT_TEMPLATES.text}"), values)).scalars())
    assert "ix_question_template" in plan
    assert "dataset_id = " not in plan.partition("Index Cond")[2].partition("\n")[0]


async def test_admitted_question_carries_its_provenance(conn: AsyncConnection, hold: Hold) -> None:
    outcome = await take(conn, hold, BOILED)
    row = (await conn.execute(select(question).where(question.c.id == outcome.admitted[0]))).one()
    assert (row.text, row.domain, row.difficulty, row.tags) == (BOILED, *CELL, ["eggs"])
    assert (row.job_id, row.batch_id, row.fence, row.model) == (hold.job_id, hold.batch_id, hold.fence, MODEL)
    assert (row.state, row.tokenizer, row.signature_version) == ("selected", "o200k_base", 1)
    assert row.text_hash == text_hash(BOILED)
    bands = select(func.count()).select_from(question_band).where(question_band.c.question_id == row.id)
    assert (await conn.execute(bands)).scalar_one() == 12


async def test_repeats_in_the_dataset_are_refused_and_recorded(conn: AsyncConnection, hold: Hold) -> None:
    first = (await take(conn, hold, BOILED)).admitted[0]
    outcome = await take(conn, hold, "Q: " + BOILED.upper(), BOILED_TOO, NO_RIVER)
    assert len(outcome.admitted) == 1
    assert reasons(outcome) == [("Q: " + BOILED.upper(), Refusal.EXACT, first), (BOILED_TOO, Refusal.NEAR, first)]
    rows = (await conn.execute(select(rejection).where(rejection.c.job_id == hold.job_id).order_by("id"))).all()
    assert [(row.reason, row.text, row.question_id) for row in rows] == [
        ("exact", "Q: " + BOILED.upper(), first),
        ("near", BOILED_TOO, first),
    ]
    assert rows[0].similarity == 1
    assert NEAR_SIMILARITY <= rows[1].similarity < 1


async def test_later_candidates_of_a_list_repeat_earlier_ones(conn: AsyncConnection, hold: Hold) -> None:
    outcome = await take(conn, hold, BOILED, NO_RIVER, BOILED + "?", BOILED_TOO)
    boiled = outcome.admitted[0]
    assert len(outcome.admitted) == 2
    assert reasons(outcome) == [(BOILED + "?", Refusal.EXACT, boiled), (BOILED_TOO, Refusal.NEAR, boiled)]


async def test_question_of_a_release_without_sketches_is_compared(conn: AsyncConnection, hold: Hold) -> None:
    [first] = (await take(conn, hold, BOILED)).admitted
    await conn.execute(update(question).values(sketch=None))
    assert reasons(await take(conn, hold, BOILED_TOO)) == [(BOILED_TOO, Refusal.NEAR, first)]


async def test_guards_let_similar_but_different_questions_in(conn: AsyncConnection, hold: Hold) -> None:
    outcome = await take(conn, hold, "What is 12 + 5?", "What is 12 + 7?", "What is 12 - 7?", "Which language is C?")
    assert len(outcome.admitted) == 4
    assert not outcome.refused


async def test_template_cap_counts_the_dataset_and_the_list(conn: AsyncConnection, hold: Hold) -> None:
    await take(conn, hold, "What is 12 + 5?", template_cap=2)
    outcome = await take(conn, hold, "What is 1 + 5?", "What is 8 + 8?", "What is 8 - 8?", template_cap=2)
    assert len(outcome.admitted) == 2
    assert reasons(outcome) == [("What is 8 + 8?", Refusal.TEMPLATE, None)]


async def test_discarded_question_blocks_its_repeats(conn: AsyncConnection, hold: Hold) -> None:
    first = (await take(conn, hold, BOILED)).admitted[0]
    await conn.execute(update(question).where(question.c.id == first).values(state=QuestionState.DISCARDED))
    outcome = await take(conn, hold, BOILED, BOILED_TOO)
    assert reasons(outcome) == [(BOILED, Refusal.EXACT, first), (BOILED_TOO, Refusal.NEAR, first)]


async def test_other_datasets_do_not_matter(conn: AsyncConnection, hold: Hold) -> None:
    await take(conn, hold, BOILED)
    assert len((await take(conn, await make_hold(conn, next(names)), BOILED)).admitted) == 1


async def test_question_that_came_past_the_lock_counts_as_exact(
    conn: AsyncConnection, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = (await take(conn, hold, BOILED)).admitted[0]

    async def find_nothing(*given: object, **named: object) -> Known:
        del given, named
        return Known()

    monkeypatch.setattr(admission, "find_known", find_nothing)
    outcome = await take(conn, hold, BOILED, BOILED_TOO, NO_RIVER)
    assert reasons(outcome) == [(BOILED, Refusal.EXACT, first), (BOILED_TOO, Refusal.NEAR, first)]
    assert len(outcome.admitted) == 1


async def test_repeat_is_found_in_a_band_that_boilerplate_fills(conn: AsyncConnection, hold: Hold) -> None:
    # All bands that the two share but one hold more questions than are looked at, all of them newer.
    oldest = (await take(conn, hold, BOILED)).admitted[0]
    full = sorted({*fingerprint(BOILED).bands} & {*fingerprint(BOILED_TOO).bands})[1:]
    newer = range(10_000_000, 10_000_000 + QUESTIONS_PER_BAND)
    rows = [{"dataset_id": hold.dataset_id, "band": band, "question_id": each} for band in full for each in newer]
    await conn.execute(insert(question_band), rows)
    assert reasons(await take(conn, hold, BOILED_TOO, BOILED)) == [
        (BOILED_TOO, Refusal.NEAR, oldest),
        (BOILED, Refusal.EXACT, oldest),
    ]


async def test_stale_holder_admits_nothing(conn: AsyncConnection, hold: Hold) -> None:
    await lease_batch(conn, hold.batch_id)
    with pytest.raises(FencedOff):
        await take(conn, hold, BOILED)
    found = select(func.count()).select_from(question).where(question.c.dataset_id == hold.dataset_id)
    assert (await conn.execute(found)).scalar_one() == 0


async def test_cancelled_job_takes_nothing(conn: AsyncConnection, hold: Hold) -> None:
    await conn.execute(update(job).where(job.c.id == hold.job_id).values(state="cancelled", finished_at=func.now()))
    with pytest.raises(JobNotRunning):
        await take(conn, hold, BOILED)


async def test_refused_texts_that_postgres_cannot_hold_are_recorded_all_the_same(
    conn: AsyncConnection, hold: Hold
) -> None:
    await admit_reply(conn, hold, flawed=[("control character", "a\0b \ud800"), ("empty", "")])
    recorded = select(rejection.c.reason, rejection.c.text).where(rejection.c.job_id == hold.job_id).order_by("id")
    assert (await conn.execute(recorded)).all() == [("control character", "a\ufffdb ?"), ("empty", "")]


# What they race for: questions, each in two wordings that are far more alike than the line between near and new asks,
# while two questions are far less.
WORDS = (
    *("ancient", "bridge", "copper", "desert", "engine", "forest", "garden", "harbour", "island", "jungle", "kitchen"),
    *("lantern", "meadow", "needle", "orchard", "pebble", "quarry", "rocket", "saddle", "temple", "umbrella", "valley"),
    *("window", "yellow", "zeppelin", "blanket", "candle", "dragon", "emerald", "feather", "glacier", "hammer"),
    *("insect", "jacket", "kettle", "ladder", "magnet", "nugget", "oyster", "parrot", "ribbon", "spider", "turtle"),
)


def questions_to_race_for(seed: int, distinct: int) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    pairs = []
    for _ in range(distinct):
        words = draw.sample(WORDS, 9)
        wording = f"Tell why the {' '.join(words[:5])} would ever need a {' '.join(words[5:])}"
        pairs.append((wording + " at last?", wording + " in the end?"))
    return pairs


async def race(engine: AsyncEngine, *, writers: int = 8, rounds: int = 6, distinct: int = 60) -> list[str]:
    """The texts that racing writers got into one dataset, each writer with its own batch and connection."""
    pairs = questions_to_race_for(seed=7, distinct=distinct)
    async with engine.begin() as conn:
        first = await make_hold(conn, next(names))
        holds = [first] + [await lease_batch(conn, await make_batch(conn, first.job_id)) for _ in range(writers - 1)]
    together = asyncio.Barrier(writers)

    async def write(hold: Hold, seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(rounds):
            # Sorted, or without the lock they would deadlock at the unique index instead of slipping in.
            chosen = sorted(draw.choice(pair) for pair in draw.sample(pairs, 20))
            await together.wait()
            async with engine.begin() as conn:
                await take(conn, hold, *chosen)

    await asyncio.gather(*(write(hold, seed) for seed, hold in enumerate(holds)))
    async with engine.connect() as conn:
        texts = await conn.execute(select(question.c.text).where(question.c.dataset_id == first.dataset_id))
        return list(texts.scalars())


def near_pairs(texts: Sequence[str]) -> list[tuple[str, str]]:
    """By brute force, without bands."""
    folded = {each: normalise(each) for each in texts}
    grams = {each: {it[at : at + 4] for at in range(len(it) - 3)} for each, it in folded.items()}
    return [
        (a, b)
        for a, b in combinations(texts, 2)
        if len(grams[a] & grams[b]) >= NEAR_SIMILARITY * len(grams[a] | grams[b]) and guard_between(a, b) is None
    ]


async def test_racing_writers_admit_no_repeat(engine: AsyncEngine) -> None:
    admitted = await race(engine)
    assert len({text_hash(each) for each in admitted}) == len(admitted) == 60
    assert near_pairs(admitted) == []


async def test_race_is_one_that_the_lock_decides(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    unlocked: TextClause = text("SELECT CAST(:lock_class AS int), CAST(:dataset_id AS int)")
    monkeypatch.setattr(admission, "LOCK_DATASET", unlocked)
    assert near_pairs(await race(engine)) != []
