"""The stage answer: models answer groups of easy questions, and hard ones alone."""

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.answers import NewAnswer, complete_questions, store_answers
from shared.corpus.at_hand import Outcome
from shared.corpus.stages import StageTerms
from shared.ids import QuestionId
from shared.questions.answer_checks import check_answer
from shared.questions.answering import parse_answers, write_answering_prompt
from shared.questions.prompts import Prompt
from shared.questions.tokens import count_tokens
from workers.later_work import Found, LaterWork
from workers.stage_work import Reply
from workers.taker import ReadResults, Taker

FAILED_CHECK = "answer failed its check"


class Answering(LaterWork[NewAnswer]):
    """StageWork of a batch that answers."""

    def write_prompt(self, questions: Sequence[str], *, tries: int) -> Prompt:
        """Ask for answers, with more room each time."""
        cell = self._batch.cell
        return write_answering_prompt(
            questions,
            domain=cell.domain,
            difficulty=cell.difficulty,
            answer_tokens=self._batch.answer_tokens,
            tries=tries,
        )

    def find(self, reply: Reply, questions: Mapping[QuestionId, str]) -> Found[NewAnswer]:
        """The whole answers; one that is plainly wrong is not taken."""
        parsed = parse_answers(reply.text, count=len(questions), cut=reply.cut)
        ids = list(questions)
        why_not = "the reply was cut" if reply.cut else parsed.problem or "left out"
        taken: dict[QuestionId, NewAnswer] = {}
        refused: Counter[str] = Counter()
        for number, answer in parsed.answers.items():
            question_id = ids[number - 1]
            check = None
            if self._terms.check:
                check = check_answer(questions[question_id], answer, domain=self._batch.cell.domain)
            if check is not None and not check.passed:
                refused[FAILED_CHECK] += 1
                why_not = f"{FAILED_CHECK}: {check.detail}"
            else:
                taken[question_id] = NewAnswer(answer, count_tokens(answer), check)
        return Found(taken, parsed.repairs, why_not, refused)


class AnswerTaker(Taker[NewAnswer]):
    """Takes answers in."""

    async def keep(self, conn: AsyncConnection, reads: Sequence[ReadResults[NewAnswer]]) -> None:
        """Write the answers."""
        await store_answers(conn, [(read.origin, read.results) for read in reads])

    async def settle(self, conn: AsyncConnection, question_ids: list[QuestionId], terms: StageTerms) -> Outcome:
        """Mark those that have all their answers."""
        return await complete_questions(conn, question_ids, terms)
