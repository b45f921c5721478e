"""Stored replies read again: what an older parser got nothing from is taken in once, with its own provenance."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.by_hand import restore_question
from shared.database.fence import Hold, confirm_hold
from shared.database.states import Stage
from shared.errors import Conflict, NotFound
from shared.ids import CallId, JobId, QuestionId, new_call_id, new_job_id
from shared.jobs.agreement import read_agreement
from shared.jobs.claim import Judged, record_judged
from shared.jobs.control import cancel_job
from shared.jobs.raw_replies import clear_replies
from shared.jobs.reparse import reparse_job
from shared.jobs.retention import Ages, prune
from shared.llm.ledger import NewCall, Settlement, mark_parsed, open_call, settle_calls
from shared.questions.judging import CRITERIA
from shared.settings import Settings
from tests.recount import COUNTS
from tests.service.factories import MODEL, admit_reply, lease_batch, make_batch
from tests.service.jobs.world import MATH, Broker, batches_of, execute, fetch, held_batch, make_spec, submit, tick
from tests.service.workers.scripted import reply_of

ICE, CANAL, BEES, RIVERS = "Why is ice slippery?", "Who dug the canal?", "What do bees eat?", "Where do rivers end?"
STAGES = {"stages": ["generate", "validate", "answer"]}
RECORD: dict[str, Any] = {
    "topic": "waves",
    "subtopic": "height",
    "form": "a riddle",
    "version": "generate-1-x",
    "mean_tokens": 15,
}


async def stored(engine: AsyncEngine, hold: Hold, content: Any, *, model: str = MODEL, **prompt: object) -> CallId:
    """A paid call whose reply has this content, parsed by an older parser that found nothing in it."""
    call_id = new_call_id()
    reply = reply_of()
    raw = orjson.loads(reply.raw or "")
    raw["choices"][0]["message"]["content"] = content if isinstance(content, str) else orjson.dumps(content).decode()
    settled = type(reply)(
        reply.outcome, raw=orjson.dumps(raw).decode(), usage=reply.usage, finish_reason="stop", http_status=200
    )
    [(calls,)] = await fetch(engine, "SELECT COUNT(*) FROM call WHERE batch_id = :id", id=hold.batch_id)
    async with engine.begin() as conn:
        new = NewCall(hold, call_id=call_id, ordinal=calls, model=model, prompt=prompt, worst_usd=Decimal("0.01"))
        await open_call(conn, new)
        await settle_calls(conn, [Settlement(call_id, settled, Decimal("0.001"))])
        await mark_parsed(conn, [call_id])
        await record_judged(conn, [Judged(hold, call_id, parsed=1)])
    return call_id


async def admitted(
    engine: AsyncEngine, hold: Hold, call_id: CallId, *texts: str, flawed: Sequence[tuple[str, str]] = ()
) -> tuple[QuestionId, ...]:
    """What the older parser did find."""
    async with engine.begin() as conn:
        await confirm_hold(conn, hold)
        admission = await admit_reply(conn, hold, *texts, call_id=call_id, flawed=flawed)
        rejected = dict.fromkeys((reason for reason, _ in flawed), 1)
        generated = len(texts) + len(flawed)
        new = len(admission.admitted)
        await record_judged(conn, [Judged(hold, call_id, generated=generated, admitted=new, rejected=rejected)])
    return admission.admitted


async def later_hold(engine: AsyncEngine, job_id: JobId, stage: Stage, question_ids: Sequence[QuestionId]) -> Hold:
    """A held batch of a later stage about these questions."""
    async with engine.begin() as conn:
        batch_id = await make_batch(conn, job_id, questions=len(question_ids), questions_per_call=len(question_ids))
    change = "UPDATE batch SET stage = :stage, question_ids = :ids WHERE id = :id"
    await execute(engine, change, stage=stage.value, ids=list(question_ids), id=batch_id)
    async with engine.begin() as conn:
        return await lease_batch(conn, batch_id)


async def reparse(engine: AsyncEngine, job_id: JobId, *, dry_run: bool = False) -> dict[str, Any]:
    return (await reparse_job(engine, job_id, template_cap=5, dry_run=dry_run)).to_json()


async def questions(engine: AsyncEngine, job_id: JobId) -> list[tuple[Any, ...]]:
    columns = "text, state, call_id, batch_id, fence, model, tags, prompt_version"
    return await fetch(engine, f"SELECT {columns} FROM question WHERE job_id = :id ORDER BY id", id=job_id)


async def check_counts(engine: AsyncEngine, job_id: JobId) -> None:
    """Batches, calls, questions and refusals say the same, and so do the sums."""
    for told, recounted in COUNTS.values():
        assert sorted(map(str, await fetch(engine, told))) == sorted(map(str, await fetch(engine, recounted)))
    wrong = await fetch(
        engine,
        """SELECT batch.generated, batch.admitted, rows.* FROM batch CROSS JOIN LATERAL (
               SELECT COALESCE(SUM(call.generated), 0) AS generated, COALESCE(SUM(call.admitted), 0) AS admitted,
                   (SELECT COUNT(*) FROM question WHERE question.batch_id = batch.id) AS written,
                   (SELECT COUNT(*) FROM rejection JOIN call ON call.id = rejection.call_id
                    WHERE call.batch_id = batch.id) AS refused
               FROM call WHERE call.batch_id = batch.id) AS rows
           WHERE batch.job_id = :id AND batch.stage = 'generate' AND NOT (
               batch.generated = rows.generated AND batch.admitted = rows.admitted AND rows.admitted = written
               AND rows.generated = written + refused)""",
        id=job_id,
    )
    assert wrong == []


def verdicts(*numbers: int, **scores: int) -> dict[str, Any]:
    whole = dict.fromkeys(CRITERIA, 5) | scores
    return {"verdicts": [{"number": number, **whole, "reason": ""} for number in numbers]}


async def test_questions_that_an_older_parser_missed_come_into_the_reserve(engine: AsyncEngine, job_id: JobId) -> None:
    hold = (await held_batch(engine, job_id)).hold
    call_id = await stored(engine, hold, {"questions": [ICE, "why is ICE slippery", CANAL, BEES, "  ", "?!"]}, **RECORD)
    await admitted(engine, hold, call_id, ICE, flawed=[("no words", "?!")])
    await stored(engine, hold, {"questions": [CANAL]}, **RECORD)
    await cancel_job(engine, job_id)

    told = await reparse(engine, job_id)
    assert told == {
        "dry_run": False, "read": 2, "unchanged": 0, "pruned": 0,
        "gained": {"questions": 4, "verdicts": 0, "answers": 0}, "admitted": 2, "refused": {"empty": 1, "exact": 1},
        "settled": {"validated": 0, "answered": 0, "rejected": 0},
    }  # fmt: skip
    origin = (call_id, hold.batch_id, hold.fence, MODEL)
    tags = ["waves", "height", "a riddle"]
    assert (await questions(engine, job_id))[1:] == [
        (CANAL, "reserve", *origin, tags, "generate-1-x"), (BEES, "reserve", *origin, tags, "generate-1-x"),
    ]  # fmt: skip
    [row] = [row for row in await batches_of(engine, job_id) if row.id == hold.batch_id]
    assert (row.generated, row.admitted, row.rejected) == (6, 3, {"no words": 1, "empty": 1, "exact": 1})
    await check_counts(engine, job_id)

    again = await reparse(engine, job_id)
    assert (again["read"], again["unchanged"], again["admitted"], again["refused"]) == (2, 2, 0, {})
    assert not any(again["gained"].values())
    await check_counts(engine, job_id)


async def test_what_is_gained_of_a_running_job_is_selected_by_its_reconciler(
    engine: AsyncEngine, job_id: JobId, broker: Broker
) -> None:
    hold = (await held_batch(engine, job_id)).hold
    await stored(engine, hold, {"questions": [RIVERS]}, **RECORD)
    assert (await reparse(engine, job_id))["admitted"] == 1
    assert [row[:2] for row in await questions(engine, job_id)] == [(RIVERS, "reserve")]
    async with engine.begin() as conn:
        await confirm_hold(conn, hold)  # the worker still has its batch
    await tick(engine, job_id, broker)
    assert [row[:2] for row in await questions(engine, job_id)] == [(RIVERS, "selected")]


async def test_a_dry_run_tells_and_changes_nothing(engine: AsyncEngine, job_id: JobId) -> None:
    hold = (await held_batch(engine, job_id)).hold
    await stored(engine, hold, {"questions": [RIVERS, "?!"]}, **RECORD)
    before = await batches_of(engine, job_id)
    planned = await reparse(engine, job_id, dry_run=True)
    assert (planned["dry_run"], planned["admitted"], planned["refused"]) == (True, 1, {"no words": 1})
    assert await questions(engine, job_id) == []
    assert await batches_of(engine, job_id) == before
    done = await reparse(engine, job_id)
    assert {**done, "dry_run": True} == planned


async def test_two_at_once_gain_once(engine: AsyncEngine, job_id: JobId) -> None:
    hold = (await held_batch(engine, job_id)).hold
    for asked in (ICE, CANAL, BEES, RIVERS):
        await stored(engine, hold, {"questions": [asked]}, **RECORD)
    told = await asyncio.gather(*(reparse(engine, job_id) for _ in range(3)))
    assert sum(each["gained"]["questions"] for each in told) == sum(each["admitted"] for each in told) == 4
    await check_counts(engine, job_id)


async def test_replies_that_were_never_parsed_are_left_to_the_workers(engine: AsyncEngine, job_id: JobId) -> None:
    hold = (await held_batch(engine, job_id)).hold
    call_id = await stored(engine, hold, {"questions": [RIVERS]}, **RECORD)
    await execute(engine, "UPDATE call SET parsed_at = NULL WHERE id = :id", id=call_id)
    assert (await reparse(engine, job_id))["read"] == 0


async def test_replies_that_no_worker_will_parse_any_more_are_read(engine: AsyncEngine, job_id: JobId) -> None:
    # Promise 4: they were paid for when the job was cancelled (FAULTS 8), and a person may still want them.
    hold = (await held_batch(engine, job_id)).hold
    call_id = await stored(engine, hold, {"questions": [RIVERS]}, **RECORD)
    await execute(engine, "UPDATE call SET parsed_at = NULL WHERE id = :id", id=call_id)
    await cancel_job(engine, job_id)
    told = await reparse(engine, job_id)
    assert (told["read"], told["admitted"]) == (1, 1)
    assert await fetch(engine, "SELECT parsed_at IS NOT NULL FROM call WHERE id = :id", id=call_id) == [(True,)]
    assert (await reparse(engine, job_id))["admitted"] == 0
    await check_counts(engine, job_id)


@pytest.fixture
async def staged(engine: AsyncEngine, settings: Settings, dataset: str) -> tuple[JobId, QuestionId, QuestionId]:
    """A job that validates with two votes and answers, with two questions."""
    spec = make_spec(dataset, **STAGES, judging={"votes": 2}, answering={"check": True})
    job_id = await submit(engine, settings, spec)
    hold = (await held_batch(engine, job_id)).hold
    call_id = await stored(engine, hold, {"questions": [ICE, CANAL]}, **RECORD)
    first, second = await admitted(engine, hold, call_id, ICE, CANAL)
    return job_id, first, second


async def judge_of(engine: AsyncEngine, job_id: JobId, stage: Stage) -> str:
    [(model,)] = await fetch(
        engine, "SELECT spec #>> ARRAY['models', :stage, 'easy'] FROM job WHERE id = :id", id=job_id, stage=stage.value
    )
    return str(model)


async def test_verdicts_and_answers_are_gained_with_the_provenance_of_their_call(
    engine: AsyncEngine, staged: tuple[JobId, QuestionId, QuestionId]
) -> None:
    job_id, *ids = staged
    first, second = ids
    hold = await later_hold(engine, job_id, Stage.VALIDATE, ids)
    asked: dict[str, Any] = {
        "question_ids": ids,
        "version": "validate-1-x",
        "model": await judge_of(engine, job_id, Stage.VALIDATE),
    }
    await stored(engine, hold, verdicts(1, 2), slot=0, **asked)
    judged = await stored(engine, hold, verdicts(2, clear=1) | {"x": 1}, slot=1, **asked)
    telling = await later_hold(engine, job_id, Stage.ANSWER, ids)
    content = {"answers": [{"number": 2, "answer": "Many people."}]}
    model = await judge_of(engine, job_id, Stage.ANSWER)
    answered = await stored(engine, telling, content, slot=0, question_ids=ids, version="answer-1-x", model=model)

    told = await reparse(engine, job_id)
    assert told["gained"] == {"questions": 0, "verdicts": 3, "answers": 1}
    # Of two votes one is not more than half.
    assert told["settled"] == {"validated": 0, "answered": 0, "rejected": 1}
    assert (told["read"], told["unchanged"]) == (4, 1)
    columns = "question_id, vote, call_id, batch_id, fence, prompt_version, accepted"
    rows = await fetch(engine, f"SELECT {columns} FROM verdict WHERE vote = 1 AND job_id = :id", id=job_id)
    assert rows == [(second, 1, judged, hold.batch_id, hold.fence, "validate-1-x", False)]
    rows = await fetch(
        engine, "SELECT question_id, model, sample, text, call_id FROM answer WHERE job_id = :id", id=job_id
    )
    assert rows == [(second, model, 0, "Many people.", answered)]
    found = await read_agreement(engine, job_id)
    assert (found["judged"], found["rejected"], found["open"]) == (2, 1, 1)
    assert await fetch(engine, "SELECT state, validated FROM question WHERE id = :id", id=first) == [
        ("selected", False)
    ]
    await check_counts(engine, job_id)

    again = await reparse(engine, job_id)
    assert (again["unchanged"], again["gained"]) == (4, {"questions": 0, "verdicts": 0, "answers": 0})


async def test_a_gained_answer_completes_its_question_while_the_job_runs(
    engine: AsyncEngine, staged: tuple[JobId, QuestionId, QuestionId]
) -> None:
    job_id, *ids = staged
    hold = await later_hold(engine, job_id, Stage.ANSWER, ids)
    model = await judge_of(engine, job_id, Stage.ANSWER)
    content = {"answers": [{"number": 1, "answer": "A film of water."}, {"number": 3, "answer": "Of what?"}]}
    await stored(engine, hold, content, slot=0, question_ids=ids, version="answer-1-x", model=model)
    told = await reparse(engine, job_id)
    assert (told["gained"]["answers"], told["settled"]["answered"]) == (1, 1)
    state = "SELECT answered, completion_tokens FROM question WHERE id = :id"
    assert await fetch(engine, state, id=ids[0]) == [(True, 5)]
    assert await fetch(engine, state, id=ids[1]) == [(False, None)]


async def test_once_the_job_has_ended_results_are_kept_and_nothing_is_decided(
    engine: AsyncEngine, staged: tuple[JobId, QuestionId, QuestionId]
) -> None:
    job_id, *ids = staged
    hold = await later_hold(engine, job_id, Stage.VALIDATE, ids)
    asked: dict[str, Any] = {
        "question_ids": ids,
        "version": "validate-1-x",
        "model": await judge_of(engine, job_id, Stage.VALIDATE),
    }
    for slot in range(2):
        await stored(engine, hold, verdicts(1, 2, safe=1), slot=slot, **asked)
    await cancel_job(engine, job_id)
    told = await reparse(engine, job_id)
    assert (told["gained"]["verdicts"], told["settled"]["rejected"]) == (4, 0)
    states = await fetch(engine, "SELECT state FROM question WHERE job_id = :id", id=job_id)
    assert states == [("selected",)] * 2


async def test_who_overruled_the_judges_is_not_overruled_by_an_old_reply(
    engine: AsyncEngine, staged: tuple[JobId, QuestionId, QuestionId]
) -> None:
    job_id, *ids = staged
    rejected = "UPDATE question SET state = 'rejected', reason = 'not clear' WHERE id = :id"
    await execute(engine, rejected, id=ids[0])
    await restore_question(engine, ids[0])
    hold = await later_hold(engine, job_id, Stage.VALIDATE, ids[:1])
    asked: dict[str, Any] = {
        "question_ids": ids[:1],
        "version": "v",
        "model": await judge_of(engine, job_id, Stage.VALIDATE),
    }
    for slot in range(2):
        await stored(engine, hold, verdicts(1, safe=1), slot=slot, **asked)
    assert (await reparse(engine, job_id))["gained"]["verdicts"] == 2
    assert await fetch(engine, "SELECT state, validated FROM question WHERE id = :id", id=ids[0]) == [
        ("selected", True)
    ]


async def test_pruned_replies_are_counted_and_an_archived_ledger_is_a_conflict(
    engine: AsyncEngine, job_id: JobId
) -> None:
    hold = (await held_batch(engine, job_id)).hold
    await stored(engine, hold, {"questions": [RIVERS]}, **RECORD)
    await cancel_job(engine, job_id)
    await clear_replies(engine, job_id)
    told = await reparse(engine, job_id)
    assert (told["read"], told["pruned"], told["admitted"]) == (0, 1, 0)
    await execute(engine, "UPDATE job SET finished_at = finished_at - interval '9 d' WHERE id = :id", id=job_id)
    await prune(engine, Ages(0, 1))
    with pytest.raises(Conflict, match="archived"):
        await reparse(engine, job_id)
    with pytest.raises(NotFound):
        await reparse(engine, new_job_id())


async def test_the_reply_of_another_cell_keeps_its_cell(engine: AsyncEngine, job_id: JobId) -> None:
    hold = (await held_batch(engine, job_id)).hold
    await stored(engine, hold, {"questions": [RIVERS]}, **RECORD)
    await reparse(engine, job_id)
    cells = await fetch(engine, "SELECT domain, difficulty FROM question WHERE job_id = :id", id=job_id)
    assert cells == [(MATH.domain, MATH.difficulty)]
