import httpx2
from sqlalchemy.ext.asyncio import AsyncEngine

from api.agreement_shapes import AgreementShape
from shared.ids import new_job_id
from tests.service.factories import add_verdict
from tests.service.jobs.test_agreement import judged_job


async def test_what_judges_said_is_answered_and_by_cell_when_asked_for(
    http: httpx2.Client, engine: AsyncEngine
) -> None:
    hold, (good, poor, *_) = await judged_job(engine, "answered-for", votes=2)
    async with engine.begin() as conn:
        for vote in range(2):
            await add_verdict(conn, hold, good, vote=vote)
            await add_verdict(conn, hold, poor, vote=vote, safe=1)
    url = f"/v1/jobs/{hold.job_id}/verdicts"
    told = AgreementShape.model_validate(http.get(url).raise_for_status().json())
    assert (told.job_id, told.accepted, told.rejected, told.kappa, told.cells) == (hold.job_id, 1, 1, 1, None)
    by_cell = AgreementShape.model_validate(http.get(url, params={"by": "cell"}).json())
    assert [(each.domain, each.judged) for each in by_cell.cells or []] == [("math", 2)]
    assert http.get(url, params={"by": "topic"}).status_code == 422
    assert http.get(f"/v1/jobs/{new_job_id()}/verdicts").status_code == 404
