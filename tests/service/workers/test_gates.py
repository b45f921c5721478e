"""Poor replies of the rehearsal server on the way of every reply: parsed, judged, admitted or counted."""

from random import Random

from sqlalchemy.ext.asyncio import AsyncEngine

from local.rehearsal.ask import read_ask
from local.rehearsal.faults import Fault
from local.rehearsal.replies import Players, make_reply
from local.rehearsal.wire import Asked
from shared.ids import JobId
from shared.llm.provider import LLMReply
from shared.llm.stop import Stop
from shared.questions.atlas import atlas_for
from shared.questions.gates.table import GATES, gates_on
from shared.questions.parsing import parse_questions
from shared.questions.prompts import draw_tuple, write_prompt
from shared.questions.quality import find_flaw
from shared.questions.tokens import count_tokens
from shared.settings import Settings
from tests.service.jobs.world import MATH, fetch, first_batch, make_spec, submit
from tests.service.workers.scripted import ScriptedCaller, reply_of
from tests.service.workers.test_batch import questions_of, row_of
from tests.unit.questions.gates.asked import asked
from workers.batch import Ending, Workshop, run_batch

POOR = {
    "refusal", "prompt leak", "placeholder", "answer included", "unfinished", "open code fence", "broken latex",
    "language",
}  # fmt: skip


def poor_reply(ordinal: int) -> LLMReply:
    atlas = atlas_for(MATH.domain)
    user = write_prompt(atlas, draw_tuple(atlas, 2025, MATH, ordinal), questions=20, mean_tokens=15).user
    made = make_reply(Asked("m", user, 30, None, None), read_ask(user), Players(), Fault.POOR, Random(ordinal))
    return reply_of(*parse_questions(made.text, cut=False).questions)


async def test_poor_questions_are_counted_by_gate_and_only_good_ones_admitted(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, caller: ScriptedCaller
) -> None:
    caller.answer = poor_reply
    assert await run_batch(shop, await first_batch(engine, job_id), Stop()) is Ending.DONE
    row = await row_of(engine, job_id)
    assert row.generated == 400
    assert row.rejected.keys() >= POOR
    assert 190 <= sum(row.rejected.get(name, 0) for name in GATES) <= 210, "every second one is poor"
    refused = "SELECT reason, COUNT(*) FROM rejection WHERE job_id = :id GROUP BY 1"
    assert dict(await fetch(engine, refused, id=job_id)) == row.rejected
    admitted = await questions_of(engine, job_id)
    assert len(admitted) == row.admitted > 150
    for text in admitted:
        assert find_flaw(asked(text, "math", tokens=count_tokens(text)), gates_on({})) is None


async def test_a_gate_that_the_spec_switches_off_refuses_nothing(
    engine: AsyncEngine, settings: Settings, dataset: str, shop: Workshop, caller: ScriptedCaller
) -> None:
    job_id = await submit(engine, settings, make_spec(dataset, gates={"language": False, "answer included": False}))
    caller.answer = poor_reply
    assert await run_batch(shop, await first_batch(engine, job_id), Stop()) is Ending.DONE
    rejected = (await row_of(engine, job_id)).rejected
    assert POOR & rejected.keys() == POOR - {"language", "answer included"}
    assert any("Answer: " in text for text in await questions_of(engine, job_id))
