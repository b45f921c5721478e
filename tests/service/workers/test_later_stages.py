"""Validate and answer as workers run them: whole jobs, with a caller whose judges and answerers are scripted."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.ids import JobId
from shared.jobs.control import cancel_job
from shared.jobs.progress import read_job
from shared.llm.provider import LLMReply, Outcome
from shared.llm.stop import Stop
from shared.questions.judging import CRITERIA
from shared.settings import Settings
from tests.service.jobs.world import (
    Broker,
    add_questions,
    batches_of,
    claim_as,
    execute,
    expire,
    fetch,
    make_spec,
    submit,
    tick,
)
from tests.service.workers.scripted import ScriptedCaller, new_question, reply_of, reply_with
from workers.batch import Ending, Workshop, run_batch

QUESTION = re.compile(r'<question number="(\d+)">\n(.*?)\n</question>', re.DOTALL)
ALL = ["generate", "validate", "answer"]
SMALL = {"domains": {"math": 60}}


class Models:
    """What every model says; tests replace one part. `asked` are the prompts, by what their schema asks for."""

    def __init__(self) -> None:
        self.asked: dict[str, list[Any]] = {"questions": [], "verdicts": [], "answers": []}
        self.is_bad: Callable[[str, int], bool] = lambda _, __: False
        self.answer_of: Callable[[str], str | None] = lambda question: f"About {question[:40]}: 7."
        self.outcome: Callable[[Any], Outcome] = lambda _: Outcome.OK

    def reply(self, prompt: Any, record: Mapping[str, Any]) -> LLMReply:
        kind = prompt.schema_name
        self.asked[kind].append(prompt)
        if kind == "questions":
            return reply_of(*(new_question() for _ in range(20)))
        shown = [(int(number), text) for number, text in QUESTION.findall(prompt.user)]
        if kind == "verdicts":
            return reply_with({"verdicts": [self._verdict(number, text, record["slot"]) for number, text in shown]})
        answers = [{"number": n, "answer": said} for n, text in shown if (said := self.answer_of(text)) is not None]
        return reply_with({"answers": answers}, outcome=self.outcome(prompt))

    def _verdict(self, number: int, text: str, vote: int) -> dict[str, object]:
        bad = self.is_bad(text, vote)
        scores = dict.fromkeys(CRITERIA, 5) | ({"answerable": 1} if bad else {})
        return {"number": number, **scores, "reason": "A number is missing." if bad else ""}


@pytest.fixture
def models(caller: ScriptedCaller) -> Models:
    said = Models()
    caller.answer_prompt = said.reply
    return said


async def run_to_end(
    engine: AsyncEngine, shop: Workshop, job_id: JobId, broker: Broker, *, rounds: int = 60
) -> dict[str, Any]:
    """Reconcile and run what is hinted until the job rests; the job as people see it."""
    for _ in range(rounds):
        await tick(engine, job_id, broker)
        job = await read_job(engine, job_id)
        if job["state"] != "running":
            return job
        for batch_id in broker.take():
            await run_batch(shop, batch_id, Stop())
    raise AssertionError(f"still running: {job['progress']}")


async def texts(engine: AsyncEngine, dataset: str, where: str) -> list[tuple[Any, ...]]:
    return await fetch(
        engine,
        f"""SELECT text, question.state, question.reason, validated, answered, completion_tokens, tries FROM question
            JOIN dataset ON dataset.id = dataset_id WHERE name = :name AND {where} ORDER BY question.id""",
        name=dataset,
    )


async def test_a_job_of_three_stages_ends_with_every_question_accepted_and_answered(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    job_id = await submit(engine, settings, make_spec(dataset, mix=SMALL, stages=ALL))
    job = await run_to_end(engine, shop, job_id, broker)
    assert job["state"] == "succeeded"
    chosen = await texts(engine, dataset, "question.state = 'selected'")
    assert len(chosen) == 60
    assert all(validated and answered and tokens > 0 for *_, validated, answered, tokens, _ in chosen)
    # Twenty questions a judge, ten an answerer, each of them once.
    assert [len(models.asked[kind]) for kind in ("questions", "verdicts", "answers")] == [3, 3, 6]
    progress = job["progress"]
    assert (progress["selected"], progress["validated"], progress["answered"]) == (60, 60, 60)
    assert [(each["stage"], each["actual"]["calls"], each["left"]["questions"]) for each in progress["stages"]] == [
        ("generate", 3, 0),
        ("validate", 3, 0),
        ("answer", 6, 0),
    ]
    assert progress["tokens"]["completion"] == sum(row[5] for row in chosen)


async def test_rejected_questions_free_their_place_and_keep_their_reason(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    models.is_bad = lambda text, _: "plums" in text
    job_id = await submit(engine, settings, make_spec(dataset, mix=SMALL, stages=ALL))
    job = await run_to_end(engine, shop, job_id, broker)
    assert job["state"] == "succeeded"
    rejected = await texts(engine, dataset, "question.state = 'rejected'")
    assert rejected
    assert {reason for _, _, reason, *_ in rejected} == {"not answerable: A number is missing."}
    assert all("plums" in text for text, *_ in rejected)
    chosen = await texts(engine, dataset, "question.state = 'selected'")
    assert len(chosen) == 60
    assert not any("plums" in text for text, *_ in chosen)
    assert job["progress"]["rejected"]["not answerable"] == len(rejected)
    answered = {text for prompt in models.asked["answers"] for _, text in QUESTION.findall(prompt.user)}
    assert not any("plums" in text for text in answered), "a rejected question was answered"


async def test_of_three_votes_the_majority_decides_and_all_are_kept(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    models.is_bad = lambda text, vote: ("plums" in text and vote > 0) or ("stars" in text and vote == 1)
    spec = make_spec(dataset, mix=SMALL, stages=["generate", "validate"], judging={"votes": 3})
    job = await run_to_end(engine, shop, await submit(engine, settings, spec), broker)
    assert job["state"] == "succeeded"
    votes = await fetch(
        engine,
        """SELECT question.state, count(*), count(*) FILTER (WHERE accepted) FROM verdict
           JOIN question ON question.id = question_id JOIN dataset ON dataset.id = dataset_id
           WHERE name = :name GROUP BY question.id ORDER BY 1""",
        name=dataset,
    )
    assert {count for _, count, _ in votes} == {3}
    assert {yes for state, _, yes in votes if state == "rejected"} == {1}
    assert {yes for state, _, yes in votes if state == "selected"} == {2, 3}
    reasons = await texts(engine, dataset, "question.state = 'rejected'")
    assert {reason for _, _, reason, *_ in reasons} == {"not answerable (2 of 3 judges): A number is missing."}


async def test_a_cut_answer_is_asked_for_again_with_more_room_and_never_counts(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    rooms: list[int] = []

    def outcome(prompt: Any) -> Outcome:
        rooms.append(prompt.max_output_tokens)
        return Outcome.NO_ROOM if prompt.max_output_tokens < 4000 else Outcome.OK

    models.outcome = outcome
    spec = make_spec(
        dataset,
        mix={"domains": {"math": 4}},
        stages=["generate", "answer"],
        answering={"questions_per_call": {"easy": 1}},
    )
    job = await run_to_end(engine, shop, await submit(engine, settings, spec), broker)
    assert job["state"] == "succeeded"
    assert sorted(set(rooms)) == [1254, 2508, 5016]
    assert len(rooms) == 12
    assert job["progress"]["repaired"]["asked again"] == 8


async def test_a_question_that_no_model_answers_is_replaced_and_says_why(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    models.answer_of = lambda text: None if "plums" in text else "7"
    job_id = await submit(engine, settings, make_spec(dataset, mix=SMALL, stages=ALL))
    job = await run_to_end(engine, shop, job_id, broker)
    assert job["state"] == "succeeded"
    without = await texts(engine, dataset, "question.state = 'rejected'")
    assert without
    assert all("plums" in text for text, *_ in without)
    assert {reason.split(": ")[0] for _, _, reason, *_ in without} == {"no answer in 3 calls"}
    chosen = await texts(engine, dataset, "question.state = 'selected'")
    assert len(chosen) == 60
    assert all(tokens for *_, tokens, _ in chosen)
    assert job["progress"]["rejected"]["no answer"] == len(without)


async def test_an_answer_that_fails_its_check_is_not_taken(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    await add_questions(engine, dataset, ["What is 12 + 5?", "What is 13 + 5?"])
    said = iter(["19", "17"])
    models.answer_of = lambda text: "18" if "13" in text else next(said)
    spec = make_spec(dataset, mix={"domains": {"math": 2}}, stages=["answer"])
    job = await run_to_end(engine, shop, await submit(engine, settings, spec), broker)
    assert job["state"] == "succeeded"
    answers = await fetch(
        engine, "SELECT text, checked ->> 'name' FROM answer WHERE job_id = :id ORDER BY 1", id=job["id"]
    )
    assert [text for text, _ in answers] == ["17", "18"]
    assert all(name for _, name in answers)
    assert job["progress"]["rejected"] == {"answer failed its check": 1}


async def test_a_dataset_without_answers_goes_through_the_later_stages_alone_and_needs_no_mix(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    await add_questions(engine, dataset, [f"Why are {n} plums blue?" for n in "abc"] + ["Why is the sky so?"])
    models.is_bad = lambda text, _: " b plums" in text
    spec = make_spec(dataset, stages=["validate", "answer"]).model_copy(update={"mix": None})
    job = await run_to_end(engine, shop, await submit(engine, settings, spec), broker)
    assert (job["state"], job["progress"]["target"], job["progress"]["answered"]) == ("succeeded", 3, 3)
    assert models.asked["questions"] == []
    assert job["plan_version"] == 2


async def test_with_a_mix_of_its_own_a_job_that_does_not_generate_fails_when_one_is_rejected(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    await add_questions(engine, dataset, ["Why are plums blue?", "Why is the sky so?"])
    models.is_bad = lambda text, _: "plums" in text
    spec = make_spec(dataset, mix={"domains": {"math": 2}}, stages=["validate", "answer"])
    job = await run_to_end(engine, shop, await submit(engine, settings, spec), broker)
    assert job["state"] == "failed"
    assert "math/easy: 1 of 2 (nothing is left to choose from, and this job does not generate)" in job["reason"]


async def test_several_models_and_samples_each_answer_every_question_once(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    await add_questions(engine, dataset, ["Why are plums blue?", "Why is the sky so?"])
    named = {"answer": {"easy": ["openai/gpt-6-luna", "anthropic/claude-haiku-5-5"]}}
    spec = make_spec(dataset, mix={"domains": {"math": 2}}, stages=["answer"], answering={"samples": 2}, models=named)
    job = await run_to_end(engine, shop, await submit(engine, settings, spec), broker)
    assert job["state"] == "succeeded"
    rows = await fetch(
        engine, "SELECT question_id, model, sample FROM answer WHERE job_id = :id ORDER BY 1, 2, 3", id=job["id"]
    )
    assert len(rows) == len(set(rows)) == 8
    # The same again costs nothing; one more sample costs only that.
    asked = len(models.asked["answers"])
    again = await run_to_end(engine, shop, await submit(engine, settings, spec), broker)
    assert (again["state"], len(models.asked["answers"])) == ("succeeded", asked)
    more = spec.model_copy(update={"answering": spec.answering.model_copy(update={"samples": 3})})
    await run_to_end(engine, shop, await submit(engine, settings, more), broker)
    assert len(models.asked["answers"]) == asked + 2


async def test_a_stage_that_lets_nothing_pass_stops_its_cells_and_says_so(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    models.is_bad = lambda _, __: True
    spec = make_spec(dataset, mix={"domains": {"math": 300}}, stages=ALL, novelty={"template_cap": 1000})
    job = await run_to_end(engine, shop, await submit(engine, settings, spec), broker, rounds=200)
    assert job["state"] == "failed"
    assert re.search(r"validate: 0 of the last \d+ questions passed", job["reason"])
    assert len(models.asked["questions"]) <= 60


async def test_what_a_lost_holder_was_paid_for_is_taken_in_by_the_next_one(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    await add_questions(engine, dataset, [f"Why are {n} plums blue?" for n in "abcd"])
    spec = make_spec(
        dataset, mix={"domains": {"math": 4}}, stages=["answer"], answering={"questions_per_call": {"easy": 1}}
    )
    job_id = await submit(engine, settings, spec)
    await tick(engine, job_id, broker)
    [batch_id] = broker.take()
    stop = Stop()
    paid: list[int] = []

    async def before(ordinal: int) -> None:
        paid.append(ordinal)

    shop.caller.before = before  # type: ignore[attr-defined]
    batch = await claim_as(engine, batch_id, "a worker that will be gone")
    assert batch is not None
    # Its calls are paid for and stored, and it is gone before it reads the replies.
    for ordinal, question_id in enumerate(batch.question_ids):
        record = {"version": "answer-1-x", "question_ids": [question_id], "slot": 0, "tries": 0}
        prompt = type("P", (), {"schema_name": "answers", "user": '<question number="1">\nplums\n</question>'})()
        await shop.caller.call(
            batch.hold, ordinal=ordinal, prompt=prompt, prompt_record=record, model="openai/gpt-6-luna", stop=stop
        )
    await expire(engine, batch_id)
    assert await run_batch(shop, batch_id, Stop()) is Ending.DONE
    assert len(paid) == 4
    assert (await run_to_end(engine, shop, job_id, broker))["state"] == "succeeded"


async def test_a_question_taken_out_meanwhile_is_not_asked_about(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    await add_questions(engine, dataset, ["Why are plums blue?", "Why is the sky so?"])
    spec = make_spec(dataset, mix={"domains": {"math": 1}}, stages=["answer"])
    job_id = await submit(engine, settings, spec)
    await tick(engine, job_id, broker)
    assert [row.questions for row in await batches_of(engine, job_id)] == [1]
    await execute(
        engine,
        """UPDATE question SET state = CASE state WHEN 'selected' THEN 'discarded' ELSE state END
           WHERE dataset_id = (SELECT dataset_id FROM job WHERE id = :id)""",
        id=job_id,
    )
    job = await run_to_end(engine, shop, job_id, broker)
    assert (job["state"], job["progress"]["answered"]) == ("succeeded", 1)
    assert len(models.asked["answers"]) == 1


async def test_a_cancelled_job_takes_no_verdict_in(
    engine: AsyncEngine, settings: Settings, shop: Workshop, models: Models, broker: Broker, dataset: str
) -> None:
    await add_questions(engine, dataset, ["Why are plums blue?", "Why is the sky so?"])
    spec = make_spec(dataset, mix={"domains": {"math": 2}}, stages=["validate"])
    job_id = await submit(engine, settings, spec)
    await tick(engine, job_id, broker)

    async def cancel(_: int) -> None:
        shop.caller.before = None  # type: ignore[attr-defined]
        models.is_bad = lambda _, __: True
        await cancel_job(engine, job_id)

    shop.caller.before = cancel  # type: ignore[attr-defined]
    [batch_id] = broker.take()
    assert await run_batch(shop, batch_id, Stop()) is Ending.LOST
    assert await fetch(engine, "SELECT FROM verdict WHERE job_id = :id", id=job_id) == []
    assert len(await texts(engine, dataset, "question.state = 'selected'")) == 2
