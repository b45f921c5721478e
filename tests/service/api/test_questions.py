"""Questions with all that is known of them, one by one and as a sample."""

from itertools import count
from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from api.question_shapes import ProvenanceShape, SampleShape
from shared.ids import QuestionId
from tests.service.api.documented import undocumented
from tests.service.corpus.test_samples import make_whole

names = (f"told-{number}" for number in count())


@pytest.fixture
async def whole(engine: AsyncEngine) -> tuple[str, QuestionId, QuestionId]:
    """A dataset of an answered question and a rejected one."""
    name = next(names)
    return name, *await make_whole(engine, name)


def test_a_question_is_told_with_its_provenance(http: httpx2.Client, whole: tuple[str, QuestionId, QuestionId]) -> None:
    answer = http.get(f"/v1/questions/{whole[1]}").raise_for_status()
    told = ProvenanceShape.model_validate(answer.json())
    assert undocumented(told) == set()
    assert told.call is not None
    assert (told.call.prompt["topic"], told.call.raw) == ("waves", "as it came")
    assert ([each.accepted for each in told.verdicts], [each.call_questions for each in told.answers]) == (
        [True, True], [1],
    )  # fmt: skip
    assert http.get("/v1/questions/999999999").status_code == 404
    assert http.get(f"/v1/questions/{2**63}").status_code == 422


def test_a_rejected_question_is_found_and_restored(
    http: httpx2.Client, whole: tuple[str, QuestionId, QuestionId]
) -> None:
    name, _, second = whole
    [item] = http.get(f"/v1/datasets/{name}/questions", params={"state": "rejected"}).json()["items"]
    assert (item["id"], item["reason"]) == (second, "not clear (2 of 2 judges): Why not what?")
    assert http.post(f"/v1/questions/{second}/restore").json()["validated"]
    assert http.post(f"/v1/questions/{second}/restore").status_code == 409
    assert http.get(f"/v1/datasets/{name}/questions", params={"state": "lost"}).status_code == 422


def test_a_sample_is_drawn(http: httpx2.Client, whole: tuple[str, QuestionId, QuestionId]) -> None:
    url = f"/v1/datasets/{whole[0]}/sample"
    drawn = SampleShape.model_validate(http.get(url, params={"n": 1, "domain": "Math"}).raise_for_status().json())
    assert undocumented(drawn) == set()
    assert (drawn.among, len(drawn.items)) == (2, 1)
    again = http.get(url, params={"n": 1, "seed": drawn.seed}).json()
    assert [item["id"] for item in again["items"]] == [item.id for item in drawn.items]
    wrong: tuple[dict[str, Any], ...] = ({"n": 0}, {"n": 1001}, {"seed": -1}, {"colour": "red"}, {"difficulty": "odd"})
    assert [http.get(url, params=params).status_code for params in wrong] == [422] * len(wrong)
    assert http.get("/v1/datasets/nowhere/sample").status_code == 404


def test_an_export_holds_every_answer_when_asked_for(
    http: httpx2.Client, whole: tuple[str, QuestionId, QuestionId]
) -> None:
    url = f"/v1/datasets/{whole[0]}/export"
    assert "answers" not in http.get(url).json()
    told = http.get(url, params={"answers": "all"}).json()
    assert [each["text"] for each in told["answers"]] == [told["answer"]]
    assert http.get(url, params={"answers": "some"}).status_code == 422
