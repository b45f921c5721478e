"""Verdicts and answers that today's parsers find in replies, where an older one found none."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.answers import NewAnswer, complete_questions, store_answers
from shared.corpus.at_hand import Origin, Outcome, lock_questions
from shared.corpus.stages import Slot, StageTerms, terms_of
from shared.corpus.verdicts import count_votes, store_verdicts
from shared.database.states import Stage
from shared.ids import QuestionId
from shared.jobs.stored_calls import CallGain, StoredCall, add_gains, lock_calls
from shared.llm.provider import Outcome as CallOutcome
from shared.questions.answer_checks import check_answer
from shared.questions.answering import parse_answers
from shared.questions.judging import Verdict, parse_verdicts
from shared.questions.tokens import count_tokens

TEXTS = text("SELECT id, text FROM question WHERE id = ANY (CAST(:ids AS bigint[]))")
STORED = {
    Stage.VALIDATE: text("""
        SELECT question_id, model, vote AS number FROM verdict WHERE question_id = ANY (CAST(:ids AS bigint[]))
    """),
    Stage.ANSWER: text("""
        SELECT question_id, model, sample AS number FROM answer WHERE question_id = ANY (CAST(:ids AS bigint[]))
    """),
}
# A person, or the judges of another job, may have accepted a question meanwhile.
OPEN = text("""
    SELECT id FROM question
    WHERE id = ANY (CAST(:ids AS bigint[])) AND NOT validated AND state IN ('selected', 'reserve')
""")
NOTHING = Outcome()


@dataclass(frozen=True, slots=True)
class Results:
    """What a reply says about the questions that it was about: verdicts or answers, by its stage."""

    call: StoredCall
    slot: Slot
    terms: StageTerms
    found: Mapping[QuestionId, Verdict | str]


@dataclass(frozen=True, slots=True)
class Missing:
    """Those of them that are stored nowhere; an answer has passed its check."""

    results: Results
    verdicts: Mapping[QuestionId, Verdict]
    answers: Mapping[QuestionId, NewAnswer]


@dataclass(frozen=True, slots=True)
class ResultGains:
    """Results that were stored, and what became of their questions by that."""

    verdicts: int = 0
    answers: int = 0
    outcome: Outcome = NOTHING


def read_results(calls: Sequence[StoredCall], spec: Mapping[str, Any]) -> list[Results]:
    """All results in the replies of these calls. Pure."""
    read: list[Results] = []
    for call in calls:
        reading = call.read()
        asked = call.prompt.get("question_ids")
        if not reading.outcome.usable or not isinstance(asked, list):
            continue
        terms = terms_of(spec, call.stage, call.cell.difficulty)
        count, cut = len(asked), reading.outcome is CallOutcome.CUT
        by_number: Mapping[int, Verdict | str]
        if call.stage is Stage.VALIDATE:
            by_number = parse_verdicts(reading.text, count=count, cut=cut).verdicts
        else:
            by_number = parse_answers(reading.text, count=count, cut=cut).answers
        found = {QuestionId(asked[number - 1]): each for number, each in by_number.items()}
        read.append(Results(call, _slot_of(call, terms), terms, found))
    return read


async def find_missing(conn: AsyncConnection, results: Sequence[Results]) -> list[Missing]:
    """What is missing of them: nothing is stored for the question of this model and number."""
    stored = {stage: await _stored(conn, stage, results) for stage in STORED}
    wanted = [(its, [each for each in its.found if (each, its.slot) not in stored[its.call.stage]]) for its in results]
    ids = sorted({each for _, missing in wanted for each in missing})
    if not ids:
        return []
    texts = {QuestionId(row.id): row.text for row in await conn.execute(TEXTS, {"ids": ids})}
    found = [_missing(its, [each for each in missing if each in texts], texts) for its, missing in wanted]
    return [each for each in found if each.verdicts or each.answers]


async def store_results(conn: AsyncConnection, results: Results, *, settle: bool) -> ResultGains:
    """Store those that are missing, with their call's provenance; with `settle` count what is whole by that.

    In a transaction that has locked the job. Once that has ended nothing is settled: its counts are exact, and by now
    another job may want other results. The next job that looks at a question counts what is there.
    """
    call, terms = results.call, results.terms
    # Somebody else may have read the same reply again meanwhile.
    if call.id not in await lock_calls(conn, [call]) or not (missing := await find_missing(conn, [results])):
        return ResultGains()
    [its] = missing
    await lock_questions(conn, {*its.verdicts, *its.answers})
    origin = Origin(call.hold, call.id, results.slot, call.version or "")
    outcome = NOTHING
    if its.verdicts:
        await store_verdicts(conn, [(origin, its.verdicts, terms.least)])
        if settle:
            still_open = await conn.execute(OPEN, {"ids": list(its.verdicts)})
            outcome = await count_votes(conn, [QuestionId(each) for each in still_open.scalars()], terms)
    else:
        await store_answers(conn, [(origin, its.answers)])
        if settle:
            outcome = await complete_questions(conn, list(its.answers), terms)
    rejected = Counter((outcome.rejected or {}).values())
    await add_gains(conn, [CallGain(call, len(outcome.settled), len(outcome.passed), rejected)])
    return ResultGains(len(its.verdicts), len(its.answers), outcome)


async def _stored(conn: AsyncConnection, stage: Stage, results: Sequence[Results]) -> set[tuple[QuestionId, Slot]]:
    ids = sorted({each for its in results if its.call.stage is stage for each in its.found})
    if not ids:
        return set()
    rows = await conn.execute(STORED[stage], {"ids": ids})
    return {(QuestionId(row.question_id), Slot(row.model, row.number)) for row in rows}


def _missing(results: Results, ids: Sequence[QuestionId], texts: Mapping[QuestionId, str]) -> Missing:
    verdicts: dict[QuestionId, Verdict] = {}
    answers: dict[QuestionId, NewAnswer] = {}
    for question_id in ids:
        found = results.found[question_id]
        if isinstance(found, Verdict):
            verdicts[question_id] = found
            continue
        check = None
        if results.terms.check:
            check = check_answer(texts[question_id], found, domain=results.call.cell.domain)
        # One that failed its check is no gain: it was refused before.
        if check is None or check.passed:
            answers[question_id] = NewAnswer(found, count_tokens(found), check)
    return Missing(results, verdicts, answers)


def _slot_of(call: StoredCall, terms: StageTerms) -> Slot:
    place = call.prompt.get("slot")
    return terms.slots[place if isinstance(place, int) and place < len(terms.slots) else 0]
