"""The questions of a batch of a later stage: which of them still need what, and what became of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.stages import Slot, StageTerms
from shared.database.fence import Hold
from shared.database.parameters import json_rows
from shared.database.states import Stage
from shared.ids import CallId, QuestionId

# What no longer counts, or is done with, is not asked about.
WAITING = {
    Stage.VALIDATE: text("""
        SELECT question.id, question.text, question.tries,
            ARRAY(SELECT (model, vote)::text FROM verdict WHERE question_id = question.id) AS results
        FROM question WHERE id = ANY (CAST(:ids AS bigint[])) AND state = 'selected' AND NOT validated
    """),
    Stage.ANSWER: text("""
        SELECT question.id, question.text, question.tries,
            ARRAY(SELECT (model, sample)::text FROM answer WHERE question_id = question.id) AS results
        FROM question WHERE id = ANY (CAST(:ids AS bigint[])) AND state = 'selected' AND NOT answered
    """),
}
NO_USE = {
    stage: text(f"""
        UPDATE question SET tries = tries + 1
        WHERE id = ANY (CAST(:ids AS bigint[])) AND state IN ('selected', 'reserve') AND NOT {done}
        RETURNING id, tries
    """)  # noqa: S608 - the two names are constants
    for stage, done in ((Stage.VALIDATE, "validated"), (Stage.ANSWER, "answered"))
}
TEXTS = text("SELECT id, text FROM question WHERE id = ANY (CAST(:ids AS bigint[]))")
# In the order of their ids, like everybody who changes several: two that lock the same rows never wait in a circle.
LOCK = text("SELECT FROM question WHERE id = ANY (CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE")
REJECT = text("""
UPDATE question SET state = 'rejected', reason = told.reason, tries = 0
FROM json_to_recordset(CAST(:rejected AS json)) AS told (id bigint, reason text)
WHERE question.id = told.id AND question.state IN ('selected', 'reserve') RETURNING question.id
""")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where results come from: the hold and the call, the slot that they fill, and the version of the prompt."""

    hold: Hold
    call_id: CallId
    slot: Slot
    prompt_version: str

    def values(self) -> dict[str, object]:
        """As the parameters of a statement."""
        return {
            "model": self.slot.model,
            "number": self.slot.number,
            "prompt_version": self.prompt_version,
            "job_id": self.hold.job_id,
            "batch_id": self.hold.batch_id,
            "call_id": self.call_id,
            "fence": self.hold.fence,
        }


@dataclass(frozen=True, slots=True)
class Waiting:
    """A question, how many calls were no use to it, and the slots that it still needs a result for."""

    id: QuestionId
    text: str
    tries: int
    slots: frozenset[int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one reply changed: questions that passed the stage, and those rejected, with the reason they count under.

    `no_use` are those that it brought nothing for and that may be asked about again.
    """

    passed: Collection[QuestionId] = ()
    rejected: Mapping[QuestionId, str] | None = None
    no_use: Collection[QuestionId] = ()

    @property
    def settled(self) -> set[QuestionId]:
        """Those that the stage is done with."""
        return {*self.passed, *(self.rejected or {})}


async def read_waiting(
    conn: AsyncConnection, question_ids: Sequence[QuestionId], terms: StageTerms
) -> dict[QuestionId, Waiting]:
    """Those of the questions that the stage is not done with.

    One whose results are all there, from a job before, still needs to be counted: its slots are empty.
    """
    rows = await conn.execute(WAITING[terms.stage], {"ids": list(question_ids)})
    return {
        QuestionId(row.id): Waiting(
            QuestionId(row.id),
            row.text,
            row.tries,
            frozenset(
                place for place, slot in enumerate(terms.slots) if f"({slot.model},{slot.number})" not in row.results
            ),
        )
        for row in rows
    }


async def read_texts(conn: AsyncConnection, question_ids: Collection[QuestionId]) -> dict[QuestionId, str]:
    """What the questions say, whatever became of them."""
    return {QuestionId(row.id): row.text for row in await conn.execute(TEXTS, {"ids": sorted(question_ids)})}


async def lock_questions(conn: AsyncConnection, question_ids: Collection[QuestionId]) -> None:
    """Let nobody else change these questions until the transaction ends."""
    await conn.execute(LOCK, {"ids": sorted(question_ids)})


async def note_no_use(
    conn: AsyncConnection, question_ids: Collection[QuestionId], terms: StageTerms, why: str
) -> Outcome:
    """Count a call that brought nothing for these questions; those that it was the last try of are rejected."""
    tries = {row.id: row.tries for row in await conn.execute(NO_USE[terms.stage], {"ids": sorted(question_ids)})}
    most = terms.tries * len(terms.slots)
    spent = {QuestionId(each): f"no {_RESULT[terms.stage]}" for each, count in tries.items() if count >= most}
    if spent:
        told = f"no {_RESULT[terms.stage]} in {most} calls: {why}"
        await reject(conn, dict.fromkeys(spent, told))
    return Outcome(rejected=spent, no_use=[each for each in question_ids if each in tries and each not in spent])


async def reject(conn: AsyncConnection, reasons: Mapping[QuestionId, str]) -> set[QuestionId]:
    """Take questions out, each with the reason that people read; returns those that counted or were in reserve."""
    rows = [{"id": each, "reason": reason} for each, reason in reasons.items()]
    return set((await conn.execute(REJECT, {"rejected": json_rows(rows)})).scalars())


def wanted_slots(slots: Sequence[Slot]) -> dict[str, list[object]]:
    """Slots as the parameters of a statement."""
    return {"models": [slot.model for slot in slots], "numbers": [slot.number for slot in slots]}


_RESULT = {Stage.VALIDATE: "verdict", Stage.ANSWER: "answer"}
