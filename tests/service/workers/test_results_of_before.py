"""Later stages that meet what was there before: results of other jobs, late replies, questions that have left."""

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.by_hand import restore_question
from shared.jobs.progress import read_job
from shared.llm.stop import Stop
from shared.settings import Settings
from tests.service.jobs.world import (
    Broker,
    add_questions,
    batches_of,
    claim_as,
    execute,
    fetch,
    make_spec,
    submit,
    tick,
)
from tests.service.workers.test_later_stages import Models, models, run_to_end
from workers.batch import Workshop, run_batch, work_of
from workers.stage_work import Reply

__all__ = ["models"]

NAMES = "abcdefghijklmnopqrstuvwxyz"


async def test_tokens_of_answers_that_are_asked_for_again_do_not_count_as_measured(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    await add_questions(engine, dataset, ["Why are plums blue?", "Why is the sky so?"])
    spec = make_spec(dataset, mix={"domains": {"math": 2}}, stages=["answer"])
    first = await run_to_end(engine, shop, await submit(engine, settings, spec), broker)
    assert first["progress"]["tokens"]["completion"] > 0
    other = make_spec(
        dataset,
        mix={"domains": {"math": 2}},
        stages=["answer"],
        models={"answer": {"easy": "anthropic/claude-haiku-5-5"}},
    )
    job_id = await submit(engine, settings, other)
    progress = (await read_job(engine, job_id))["progress"]
    assert (progress["answered"], progress["tokens"]["completion"]) == (0, 0)
    again = await run_to_end(engine, shop, job_id, broker)
    assert again["progress"]["tokens"]["completion"] == first["progress"]["tokens"]["completion"]


async def test_a_verdict_that_comes_late_does_not_overrule_a_person(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    await add_questions(engine, dataset, ["Why are plums blue?", "Why is the sky so?"])
    models.is_bad = lambda text, _: "plums" in text
    spec = make_spec(dataset, mix={"domains": {"math": 2}}, stages=["validate"])
    job_id = await submit(engine, settings, spec)
    await tick(engine, job_id, broker)
    [batch_id] = broker.take()
    first = await claim_as(engine, batch_id)
    assert first is not None
    work = work_of(shop, first)
    async with engine.begin() as conn:
        await work.open(conn, set())
    ask = work.ask(0)
    assert ask is not None
    # Two holders, one after the other, are paid for the same verdicts; meanwhile a person looks at them.
    for late in (False, True):
        finished = await shop.caller.call(
            first.hold, ordinal=0, prompt=ask.prompt, prompt_record=ask.record, model=ask.model, stop=Stop()
        )
        await work.judge(Reply(finished.call_id, 0, finished.reply.text, cut=False, record=ask.record))
        [(question_id, state)] = await fetch(
            engine,
            """SELECT question.id, question.state FROM question JOIN dataset ON dataset.id = dataset_id
               WHERE name = :name AND text LIKE '%plums%'""",
            name=dataset,
        )
        if not late:
            assert state == "rejected"
            await restore_question(engine, question_id)
    assert state == "selected"


async def test_answers_that_are_there_already_are_counted_and_cost_nothing(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    await add_questions(engine, dataset, [f"Why are {n} plums {m}?" for n in NAMES for m in ("red", "blue", "dry")])
    asked_alone = {"answering": {"questions_per_call": {"easy": 1}}}
    answered = make_spec(dataset, stages=["answer"], **asked_alone).model_copy(update={"mix": None})
    assert (await run_to_end(engine, shop, await submit(engine, settings, answered), broker))["state"] == "succeeded"
    paid = len(models.asked["answers"])
    # Judged only now: of each batch of the stage answer there is nothing left to ask.
    judged = make_spec(dataset, stages=["validate", "answer"], **asked_alone).model_copy(update={"mix": None})
    job = await run_to_end(engine, shop, await submit(engine, settings, judged), broker)
    assert (job["state"], job["progress"]["answered"]) == ("succeeded", 78)
    assert len(models.asked["answers"]) == paid == 78
    assert {each["stage"]: each["passed"] for each in job["progress"]["stages"]} == {"validate": 78, "answer": 78}


async def test_rejections_by_verdicts_that_were_there_already_are_counted_by_reason(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    await add_questions(engine, dataset, ["Why are plums blue?", "Why is the sky so?"])
    models.is_bad = lambda text, _: "plums" in text
    spec = make_spec(dataset, stages=["validate"]).model_copy(update={"mix": None})
    first = await submit(engine, settings, spec)
    assert (await run_to_end(engine, shop, first, broker))["progress"]["rejected"] == {"not answerable": 1}
    # As a verdict does that was read of a stored reply after its job had ended.
    await execute(
        engine,
        """UPDATE question SET state = 'selected', validated = false, reason = NULL
           WHERE dataset_id = (SELECT dataset_id FROM job WHERE id = :id)""",
        id=first,
    )
    job = await run_to_end(engine, shop, await submit(engine, settings, spec), broker)
    assert (job["state"], job["progress"]["rejected"]) == ("succeeded", {"not answerable": 1})
    assert len(models.asked["verdicts"]) == 1


async def test_questions_that_left_their_batches_are_no_evidence_against_the_stage(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    await add_questions(engine, dataset, [f"Why are {n} plums {m}?" for n in NAMES for m in ("red", "blue", "dry")])
    spec = make_spec(dataset, stages=["validate"], judging={"questions_per_call": {"easy": 1}})
    job_id = await submit(engine, settings, spec.model_copy(update={"mix": None}))
    await tick(engine, job_id, broker)
    [first, second, *_] = await batches_of(engine, job_id)
    left = "UPDATE question SET state = 'discarded' WHERE id = ANY (CAST(:ids AS bigint[]))"
    await execute(engine, left, ids=[*first.question_ids, *second.question_ids])
    hinted = broker.take()
    for batch_id in hinted[:2]:
        await run_batch(shop, batch_id, Stop())
    await tick(engine, job_id, broker)
    for batch_id in hinted[2:]:
        await run_batch(shop, batch_id, Stop())
    job = await run_to_end(engine, shop, job_id, broker)
    assert (job["state"], job["progress"]["target"]) == ("succeeded", 38)


async def test_a_stage_is_judged_by_what_it_has_done_however_many_batches_wait(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    models.is_bad = lambda _, __: True
    await add_questions(engine, dataset, [f"Why are {n} {n}{m} plums?" for n in NAMES for m in NAMES[:20]])
    spec = make_spec(dataset, stages=["validate"], judging={"questions_per_call": {"easy": 1}})
    job_id = await submit(engine, settings, spec.model_copy(update={"mix": None}))
    await tick(engine, job_id, broker)
    for batch_id in broker.take()[:10]:
        await run_batch(shop, batch_id, Stop())
    # Of 26 batches 10 have judged 200 questions and let none pass.
    job = await run_to_end(engine, shop, job_id, broker)
    assert job["state"] == "failed"
    assert "validate: 0 of the last 200 questions passed" in job["reason"]
    assert len(models.asked["verdicts"]) == 200


async def test_verdicts_of_a_stricter_job_are_counted_by_the_present_ones_measure(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    await add_questions(engine, dataset, ["Why are plums blue?", "Why is the sky so?"])
    spec = make_spec(dataset, stages=["validate"], judging={"least": 5}).model_copy(update={"mix": None})
    models.is_bad = lambda text, _: "plums" in text
    first = await submit(engine, settings, spec)
    assert (await run_to_end(engine, shop, first, broker))["progress"]["rejected"] == {"not answerable": 1}
    # The judge had no great doubt; and its verdict came too late to be counted, as of a reply that is read again.
    await execute(
        engine,
        """UPDATE verdict SET scores = scores || '{"answerable": 4}' WHERE job_id = :id AND NOT accepted""",
        id=first,
    )
    await execute(
        engine,
        """UPDATE question SET state = 'selected', validated = false, reason = NULL
           WHERE dataset_id = (SELECT dataset_id FROM job WHERE id = :id)""",
        id=first,
    )
    lenient = make_spec(dataset, stages=["validate"], judging={"least": 3}).model_copy(update={"mix": None})
    job = await run_to_end(engine, shop, await submit(engine, settings, lenient), broker)
    assert (job["state"], job["progress"]["validated"], job["progress"]["rejected"]) == ("succeeded", 2, {})
    assert len(models.asked["verdicts"]) == 1
