"""The stage validate: judges score groups of questions."""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.at_hand import Outcome
from shared.corpus.stages import StageTerms
from shared.corpus.verdicts import count_votes, store_verdicts
from shared.ids import QuestionId
from shared.questions.judging import Verdict, parse_verdicts, write_judging_prompt
from shared.questions.prompts import Prompt
from workers.later_work import Found, LaterWork
from workers.stage_work import Reply
from workers.taker import ReadResults, Taker


class Validation(LaterWork[Verdict]):
    """StageWork of a batch that validates."""

    def write_prompt(self, questions: Sequence[str], *, tries: int) -> Prompt:  # noqa: ARG002 - fewer are asked about
        """Ask for scores."""
        cell = self._batch.cell
        return write_judging_prompt(
            questions, domain=cell.domain, difficulty=cell.difficulty, mean_tokens=self._batch.mean_tokens
        )

    def find(self, reply: Reply, questions: Mapping[QuestionId, str]) -> Found[Verdict]:
        """The whole verdicts."""
        parsed = parse_verdicts(reply.text, count=len(questions), cut=reply.cut)
        ids = list(questions)
        verdicts = {ids[number - 1]: verdict for number, verdict in parsed.verdicts.items()}
        return Found(verdicts, parsed.repairs, "the reply was cut" if reply.cut else parsed.problem or "left out")


class VerdictTaker(Taker[Verdict]):
    """Takes verdicts in."""

    async def keep(self, conn: AsyncConnection, reads: Sequence[ReadResults[Verdict]]) -> None:
        """Write the verdicts."""
        await store_verdicts(conn, [(read.origin, read.results, read.terms.least) for read in reads])

    async def settle(self, conn: AsyncConnection, question_ids: list[QuestionId], terms: StageTerms) -> Outcome:
        """Count the votes where all are in."""
        return await count_votes(conn, question_ids, terms)
