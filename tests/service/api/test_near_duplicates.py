import json
from typing import Any

import httpx2

from api.near_duplicate_shapes import NearLineShape
from tests.service.api.test_datasets import jsonl, upload

HEN = "Why would a grey hen cross the narrow road behind the mill at noon?"
ROWS: list[dict[str, Any]] = [
    {"question": f"{HEN[:-1]} {word}".strip() + "?", "domain": domain, "difficulty": "easy"}
    for domain, word in (("math", ""), ("math", "today"), ("reading", "again"), ("math", "without"))
]


def test_the_lines_are_as_documented_and_end(http: httpx2.Client) -> None:
    upload(http, "near-set", jsonl(ROWS)).raise_for_status()
    answer = http.get("/v1/datasets/near-set/near-duplicates").raise_for_status()
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [NearLineShape.model_validate(json.loads(line)) for line in answer.text.splitlines()]
    assert all(len(line.model_dump(exclude_none=True)) == 1 for line in lines)
    (report,) = (line.report for line in lines if line.report)
    assert (report.questions, report.clusters, report.largest) == (4, 1, 3)
    assert report.told_apart["polarity"] >= 1
    (cluster,) = (line.cluster for line in lines if line.cluster)
    assert [member.domain for member in cluster.members] == ["math", "math", "reading"]
    assert lines[0].progress is not None
    assert lines[-1].end is not None


def test_as_many_clusters_as_asked_are_shown_and_all_are_counted(http: httpx2.Client) -> None:
    upload(http, "near-few", jsonl(ROWS)).raise_for_status()
    answer = http.get("/v1/datasets/near-few/near-duplicates", params={"clusters": 0}).raise_for_status()
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line for line in lines if "cluster" in line] == []
    assert [line["report"]["clusters"] for line in lines if "report" in line] == [1]


def test_nobodys_dataset_and_nonsense_are_problems(http: httpx2.Client) -> None:
    assert http.get("/v1/datasets/nobodys/near-duplicates").status_code == 404
    for params in ({"clusters": -1}, {"cluster": 1}):
        answer = http.get("/v1/datasets/near-set/near-duplicates", params=params)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    schema = http.get("/openapi.json").json()
    answers = schema["paths"]["/v1/datasets/{name}/near-duplicates"]["get"]["responses"]["200"]["content"]
    assert answers["application/x-ndjson"]["schema"]["$ref"].rpartition("/")[2] in schema["components"]["schemas"]
