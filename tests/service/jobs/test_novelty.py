"""Topics that run dry rest, batches are drawn again when their work begins, and users bring atlases of their own."""

import asyncio
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.topic_yields import Harvest, read_topic_yields, record_harvests
from shared.errors import InvalidInput, NotFound
from shared.ids import DatasetId, JobId, new_job_id
from shared.jobs.actions import CreateBatch
from shared.jobs.claim import claim
from shared.jobs.decide import decide
from shared.jobs.novelty import read_novelty, read_topics
from shared.jobs.observe import observe
from shared.jobs.plan import plan_job
from shared.jobs.progress import read_job
from shared.questions.atlas import atlas_for
from shared.questions.prompts import topic_at
from shared.settings import Settings
from tests.service.jobs.world import (
    LIMITS,
    MATH,
    Broker,
    batches_of,
    claim_as,
    execute,
    fetch,
    make_spec,
    pid_of,
    submit,
    tick,
    until_blocked_by,
)

TOPICS = list(atlas_for("math").topics)
SAILING = {"topics": {"knots": ["bowline", "clove hitch"], "weather": ["fog", "squalls"]}, "settings": ["a harbour"]}


async def dataset_of(engine: AsyncEngine, job_id: JobId) -> DatasetId:
    return DatasetId((await fetch(engine, "SELECT dataset_id FROM job WHERE id = :id", id=job_id))[0][0])


async def harvest(engine: AsyncEngine, job_id: JobId, *harvests: Harvest) -> None:
    dataset_id = await dataset_of(engine, job_id)
    async with engine.begin() as conn:
        await record_harvests(conn, dataset_id, harvests)


def of_topic(topic: str, generated: int, admitted: int) -> Harvest:
    return Harvest(MATH, topic, generated, admitted, generated - admitted)


async def test_replies_add_up_to_a_topics_yield(engine: AsyncEngine, job_id: JobId) -> None:
    await harvest(engine, job_id, of_topic("sets", 20, 20), of_topic("sets", 10, 10), of_topic("proof", 20, 0))
    await harvest(engine, job_id, of_topic("sets", 30, 15), of_topic("vectors", 0, 0))
    async with engine.connect() as conn:
        yields = (await read_topic_yields(conn, await dataset_of(engine, job_id)))[MATH]
    assert set(yields) == {"sets", "proof"}
    sets, proof = yields["sets"], yields["proof"]
    assert (sets.generated, sets.admitted, sets.recaptured) == (60, 45, 15)
    assert sets.marked == 30 * 30, "thirty were caught while thirty were known"
    # Half of what it knew is forgotten over sixty candidates: 1 -> 1, then 30 candidates of yield 0.5.
    assert sets.recent == pytest.approx(0.5**0.5 + (1 - 0.5**0.5) * 0.5)
    assert proof.recent == pytest.approx(0.5 ** (1 / 3))


async def test_a_topic_that_ran_dry_is_passed_over_by_new_batches(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    job_id = await submit(engine, settings, make_spec(dataset, mix={"domains": {"math": 4_000}}))
    await harvest(engine, job_id, *(of_topic(topic, 400, 400) for topic in TOPICS[1:]), of_topic(TOPICS[0], 400, 8))
    await harvest(engine, job_id, of_topic(TOPICS[1], 20, 15))
    await execute(engine, "UPDATE batch SET state = 'dropped', reason = 'a test', finished_at = now()")
    async with engine.connect() as conn:
        actions = decide(await observe(conn, job_id), LIMITS)
    ordinals = [ordinal for action in actions if isinstance(action, CreateBatch) for ordinal in action.ordinals]
    asked = [topic_at(atlas_for("math"), 2025, MATH, ordinal) for ordinal in ordinals]
    assert len(ordinals) >= 200
    assert set(asked) == set(TOPICS[1:])
    [cell] = (await read_novelty(engine, job_id))["cells"]
    assert cell["topics"] == {"open": len(TOPICS) - 1, "resting": 0, "dry": 1}
    assert cell["pool"]["left"] >= 0
    topics = await read_topics(engine, job_id, domain="Math", difficulty="easy")
    assert topics[0]["topic"] == TOPICS[0]
    assert (topics[0]["state"], topics[0]["generated"], topics[0]["admitted"]) == ("dry", 400, 8)


async def test_a_batch_made_ahead_is_drawn_again_when_it_is_first_claimed(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    job_id = await submit(engine, settings, make_spec(dataset))
    first, second = await batches_of(engine, job_id)
    dry = topic_at(atlas_for("math"), 2025, MATH, 3)
    await harvest(engine, job_id, of_topic(dry, 400, 0), *(of_topic(each, 400, 399) for each in TOPICS if each != dry))
    batch = await claim_as(engine, first.id)
    assert batch is not None
    stale = [each for each in range(20) if topic_at(batch.atlas, 2025, MATH, each) == dry]
    assert stale
    kept = [each for each in range(20) if each not in stale]
    assert list(batch.ordinals[: len(kept)]) == kept
    fresh = list(batch.ordinals[len(kept) :])
    assert min(fresh) >= 40, "nobody else has these"
    assert dry not in {topic_at(batch.atlas, 2025, MATH, each) for each in batch.ordinals}
    cursor = await fetch(
        engine, "SELECT next_ordinal FROM prompt_cursor WHERE dataset_id = :id", id=first_dataset(batch)
    )
    assert cursor == [(max(fresh) + 1,)]
    # A second holder finds the calls of the first: its prompts stay.
    await execute(engine, "UPDATE batch SET lease_until = now() - interval '1 s' WHERE id = :id", id=first.id)
    await harvest(engine, job_id, *(of_topic(each, 400, 0) for each in TOPICS[:10]))
    again = await claim_as(engine, first.id)
    assert again is not None
    assert list(again.ordinals) == list(batch.ordinals)
    other = await claim_as(engine, second.id)
    assert other is not None
    assert not set(other.ordinals) & set(batch.ordinals)


def first_dataset(batch: Any) -> int:
    return int(batch.hold.dataset_id)


async def test_a_claim_and_the_reconciler_draw_no_prompt_both(
    engine: AsyncEngine, settings: Settings, dataset: str, broker: Broker
) -> None:
    # Promise 6: between the reconciler's look at the cursor and its new batches a claim takes some of the same pool.
    mix = {"domains": {"math": 4_000, "code": 400}}
    job_id = await submit(engine, settings, make_spec(dataset, mix=mix))
    made = await batches_of(engine, job_id)
    first = next(each for each in made if each.domain == "math")
    dry = topic_at(atlas_for("math"), 2025, MATH, 3)
    await harvest(engine, job_id, of_topic(dry, 400, 0), *(of_topic(each, 400, 399) for each in TOPICS if each != dry))
    ended = "state = 'done', finished_at = now(), generated = 400, admitted = 300, calls_parsed = 20"
    await execute(engine, f"UPDATE batch SET {ended} WHERE job_id = :id AND id <> :first", id=job_id, first=first.id)
    async with engine.connect() as worker:
        batch = await claim(worker, first.id, worker="w", lease_seconds=60, max_attempts=3)
        pass_ = asyncio.create_task(tick(engine, job_id, broker))
        await until_blocked_by(engine, await pid_of(worker))
        await worker.commit()
    await pass_
    assert batch is not None
    assert max(batch.ordinals) >= 200, "the claim drew again"
    known = {each.id for each in made}
    fresh = [each for each in await batches_of(engine, job_id) if each.id not in known]
    in_math = [each for each in fresh if each.domain == "math"]
    assert in_math, "the next pass has made them"
    assert {each.domain for each in fresh} == {"math", "code"}
    drawn = [
        ordinal for each in in_math for ordinal in each.ordinals or range(each.first_ordinal, each.first_ordinal + 20)
    ]
    assert not set(drawn) & set(batch.ordinals)
    assert len(drawn) == len(set(drawn))
    assert {each.id for each in fresh} <= set(broker.take()), "and the one after that has hinted them"


async def test_a_job_that_is_not_steered_keeps_its_prompts(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    job_id = await submit(engine, settings, make_spec(dataset, novelty={"steer": False}))
    await harvest(engine, job_id, *(of_topic(topic, 400, 0) for topic in TOPICS[:10]))
    batch = await claim_as(engine, (await batches_of(engine, job_id))[0].id)
    assert batch is not None
    assert batch.ordinals == range(20)
    found = await read_novelty(engine, job_id)
    assert (found["steered"], found["cells"][0]["topics"]) == (False, None)
    assert await read_topics(engine, job_id, domain="math", difficulty="easy") == []


async def test_a_dry_cell_says_what_its_topics_say(engine: AsyncEngine, settings: Settings, dataset: str) -> None:
    job_id = await submit(engine, settings, make_spec(dataset))
    for admitted in (4, 1):
        await harvest(engine, job_id, *(of_topic(topic, 400, admitted) for topic in TOPICS))
    await execute(
        engine,
        "UPDATE batch SET state = 'done', finished_at = now(), generated = 400, admitted = 2, calls_parsed = 20"
        " WHERE job_id = :id",
        id=job_id,
    )
    async with engine.connect() as conn:
        [action] = decide(await observe(conn, job_id), LIMITS)
    told = str(action)
    assert "the model yields nothing new" in told
    assert f"{len(TOPICS)} of {len(TOPICS)} topics are dry, and of an estimated" in told


async def test_an_atlas_is_stored_once_and_found_again_by_its_digest(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    spec = make_spec(dataset, mix={"domains": {"sailing": 400}}, atlas={"Sailing": SAILING})
    planned = await plan_job(engine, settings, spec)
    assert not [warning for warning in planned.warnings if "no atlas" in warning]
    assert planned.to_json()["cells"][0]["distinct_prompts"] == 4 * 12 * 1  # type: ignore[index]
    job_id = await submit(engine, settings, spec)
    shown = (await read_job(engine, job_id))["spec"]["atlas"]
    [(batch_id,)] = await fetch(engine, "SELECT id FROM batch WHERE job_id = :id", id=job_id)
    batch = await claim_as(engine, batch_id)
    assert batch is not None
    assert set(batch.atlas.topics) == {"knots", "weather"}
    assert shown == {"sailing": batch.atlas.digest}
    again = await submit(
        engine, settings, make_spec(f"{dataset}-again", mix={"domains": {"sailing": 400}}, atlas=shown)
    )
    assert (await read_job(engine, again))["spec"]["atlas"] == shown
    assert await fetch(engine, "SELECT count(*) FROM atlas WHERE digest = :d", d=batch.atlas.digest) == [(1,)]


async def test_an_unknown_digest_and_a_domain_outside_the_mix_are_refused(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    with pytest.raises(InvalidInput, match=r"atlas.math: no atlas 0{32} is stored here; post its content"):
        await submit(engine, settings, make_spec(dataset, atlas={"math": "0" * 32}))
    with pytest.raises(InvalidInput, match="'sailing' is not a domain of this mix"):
        make_spec(dataset, atlas={"sailing": SAILING})
    assert await fetch(engine, "SELECT count(*) FROM dataset WHERE name = :name", name=dataset) == [(0,)]


async def test_a_small_atlas_is_warned_about(engine: AsyncEngine, settings: Settings, dataset: str) -> None:
    spec = make_spec(dataset, mix={"domains": {"sailing": 4_000}}, atlas={"sailing": SAILING})
    warnings = (await plan_job(engine, settings, spec)).warnings
    assert any("200 calls draw on 48 distinct prompts" in warning for warning in warnings)


async def test_a_cell_or_job_that_is_not_there_is_named(engine: AsyncEngine, job_id: JobId) -> None:
    with pytest.raises(InvalidInput, match="this job has no cell sailing/easy; it has math/easy"):
        await read_topics(engine, job_id, domain="sailing", difficulty="easy")
    with pytest.raises(NotFound):
        await read_novelty(engine, new_job_id())
