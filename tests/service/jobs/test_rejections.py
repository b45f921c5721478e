from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import NotFound
from shared.ids import JobId
from shared.jobs.rejections import list_rejections
from tests.service.jobs.past import TEXTS, live


async def test_a_refused_candidate_is_listed_with_what_it_repeats(engine: AsyncEngine, job_id: JobId) -> None:
    await live(engine, job_id)
    repeat, odd = await list_rejections(engine, job_id, reason=None, before=None, limit=10)
    assert (repeat["reason"], repeat["text"], repeat["question"]) == ("exact", TEXTS[0], TEXTS[0])
    assert repeat["similarity"] in {None, 1.0}
    assert (odd["reason"], odd["question_id"], odd["question"]) == ("control character", None, None)
    assert await list_rejections(engine, job_id, reason=None, before=repeat["id"], limit=10) == [odd]
    assert await list_rejections(engine, job_id, reason="exact", before=None, limit=10) == [repeat]
    with pytest.raises(NotFound):
        await list_rejections(engine, JobId(uuid4()), reason=None, before=None, limit=10)
