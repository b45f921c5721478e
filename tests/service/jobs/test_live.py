from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import NotFound
from shared.ids import JobId
from shared.jobs.hint_names import task_id_of
from shared.jobs.live import read_live
from tests.service.jobs.past import TEXTS, judged, paid
from tests.service.jobs.world import Broker, add_questions, execute, held_batch, tick

FLOWER = "https://flower.example"


async def test_a_held_batch_is_shown_with_its_task(
    engine: AsyncEngine, job_id: JobId, dataset: str, broker: Broker
) -> None:
    assert await read_live(engine, job_id, flower_address=FLOWER) == {"batches": [], "questions": []}
    await tick(engine, job_id, broker)
    batch = await held_batch(engine, job_id)
    [hint] = [each for each in broker.hints if each.batch_id == batch.hold.batch_id]
    [shown] = (await read_live(engine, job_id, flower_address=FLOWER))["batches"]
    assert (shown["id"], shown["label"]) == (hint.batch_id, hint.label), "as it was published"
    assert shown["flower_url"] == f"{FLOWER}/task/{task_id_of(hint.batch_id, hint.label)}"
    assert (shown["cell"], shown["stage"], shown["worker"]) == ("math/easy", "generate", "w")
    assert (shown["calls"], shown["calls_parsed"]) == (20, 0)
    assert shown["label"].startswith(f"{dataset} math/easy #")


async def test_a_task_of_an_oddly_named_domain_is_linked_whole(engine: AsyncEngine, job_id: JobId) -> None:
    batch = await held_batch(engine, job_id)
    await execute(engine, "UPDATE batch SET domain = 'what? 100% größe' WHERE id = :id", id=batch.hold.batch_id)
    [shown] = (await read_live(engine, job_id, flower_address=FLOWER))["batches"]
    task = urlsplit(shown["flower_url"])
    assert (task.query, unquote(task.path)) == ("", f"/task/{task_id_of(batch.hold.batch_id, shown['label'])}")


async def test_a_batch_that_is_with_a_provider_is_shown_too(engine: AsyncEngine, job_id: JobId) -> None:
    batch = "SELECT id FROM batch WHERE job_id = :id ORDER BY number LIMIT 1"
    await execute(engine, f"UPDATE batch SET in_bulk = true WHERE id = ({batch})", id=job_id)
    [shown] = (await read_live(engine, job_id, flower_address=FLOWER))["batches"]
    assert (shown["in_bulk"], shown["worker"], shown["lease_until"]) == (True, None, None)


async def test_the_last_questions_of_this_job_come_newest_first(
    engine: AsyncEngine, job_id: JobId, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_questions(engine, dataset, ["Does a baseline count as new?"])
    batch = await held_batch(engine, job_id)
    await judged(engine, batch, await paid(engine, batch.hold, 0), TEXTS)
    many = [f"How far is it from {name} to the sea?" for name in ("Ulm", "Bern", "Graz", "Prag", "Wien", "Kiel")]
    await judged(engine, batch, await paid(engine, batch.hold, 1), many)
    questions = (await read_live(engine, job_id, flower_address=FLOWER))["questions"]
    assert [each["question"] for each in questions] == [*reversed(many), *reversed(TEXTS)]
    assert {(each["domain"], each["difficulty"], each["state"]) for each in questions} == {("math", "easy", "selected")}
    monkeypatch.setattr("shared.jobs.live.LAST_QUESTIONS", 3)
    questions = (await read_live(engine, job_id, flower_address=FLOWER))["questions"]
    assert [each["question"] for each in questions] == [*reversed(many)][:3]


async def test_a_job_that_is_not_there_is_not_found(engine: AsyncEngine) -> None:
    with pytest.raises(NotFound):
        await read_live(engine, JobId(uuid4()), flower_address=FLOWER)
