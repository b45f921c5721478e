import gzip
import json
from itertools import count
from typing import Any

import httpx2
import pytest

from api.contamination_shapes import ContaminatedPage, ContaminatedShape, ContaminationShape, DecontaminatedShape

_names = count(1)

ASKED = ["What is 3 + 400?", "Why do leaves turn red in autumn?", "What is 12 - 5?", "How far is it to the moon?"]
TESTS = [
    {"task_id": "s/1", "prompt": "What is 12 + 5?"},
    {"task_id": "s/2", "prompt": "Tell me: how far is it to the moon?"},
]


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


FILE = jsonl(TESTS)


@pytest.fixture
def name(http: httpx2.Client) -> str:
    """A dataset with the questions asked above."""
    name = f"guarded-{next(_names)}"
    rows = [{"question": each, "domain": "Math", "difficulty": "easy"} for each in ASKED]
    http.post(f"/v1/datasets/{name}/baseline", content=jsonl(rows)).raise_for_status()
    return name


def load(http: httpx2.Client, name: str, body: bytes = FILE, **params: str) -> httpx2.Response:
    return http.post(f"/v1/datasets/{name}/decontaminate", params={"benchmark": "tests", **params}, content=body)


def contaminated(http: httpx2.Client, name: str, **params: Any) -> list[dict[str, Any]]:
    page = http.get(f"/v1/datasets/{name}/contamination", params=params).raise_for_status().json()
    ContaminatedPage.model_validate(page)
    items: list[dict[str, Any]] = page["items"]
    return items


def exported(http: httpx2.Client, name: str, **params: str) -> dict[str, Any]:
    lines = http.get(f"/v1/datasets/{name}/export", params=params).raise_for_status().text.splitlines()
    return {row["question"]: row.get("contaminated", "no such field") for row in map(json.loads, lines)}


def test_a_benchmark_is_loaded_and_what_is_like_it_is_left_out(http: httpx2.Client, name: str) -> None:
    body = gzip.compress(jsonl(TESTS) + b"{\n")
    answer = load(http, name, body, source="tests.jsonl.gz").raise_for_status().json()
    report = DecontaminatedShape.model_validate(answer)
    assert (report.items, report.invalid, report.fields, report.compared) == (2, 1, {"prompt": 2}, 4)
    assert [(problem.line, problem.error[:8]) for problem in report.problems] == [(3, "not JSON")]
    assert sum(report.flagged.values()) == report.left_out == len(report.matches) == 2
    assert {match.question: (match.item, match.kind) for match in report.matches} == {
        ASKED[0]: ("s/1", "numbers"),
        ASKED[3]: ("s/2", "short"),
    }
    assert exported(http, name) == dict.fromkeys([ASKED[1], ASKED[2]], "no such field")
    told = exported(http, name, contaminated="include")
    assert told[ASKED[1]] is None
    assert told[ASKED[0]][0]["item"] == "s/1"
    described = http.get(f"/v1/datasets/{name}").json()["contamination"]
    assert ContaminationShape.model_validate(described).benchmarks[0].source == "tests.jsonl.gz"


def test_the_flagged_are_paged_cleared_and_flagged_again(http: httpx2.Client, name: str) -> None:
    load(http, name).raise_for_status()
    first = http.get(f"/v1/datasets/{name}/contamination", params={"limit": 1}).json()
    [second] = contaminated(http, name, limit=1, cursor=first["next_cursor"])
    assert [first["items"][0]["question"], second["question"]] == [ASKED[0], ASKED[3]]
    assert contaminated(http, name, benchmark="other") == []
    url = f"/v1/questions/{second['id']}"
    ContaminatedShape.model_validate(http.post(f"{url}/clear").raise_for_status().json())
    assert [http.post(f"{url}/{verb}").status_code for verb in ("clear", "flag", "flag", "clear")] == [
        409,
        200,
        409,
        200,
    ]
    assert [each["id"] for each in contaminated(http, name, cleared=True)] == [second["id"]]
    assert ASKED[3] in exported(http, name)
    assert load(http, name).json()["cleared"] == 1
    assert http.post("/v1/questions/999999999/clear").status_code == 404


def test_a_benchmark_is_taken_off_again(http: httpx2.Client, name: str) -> None:
    load(http, name).raise_for_status()
    url = f"/v1/datasets/{name}/benchmarks/tests"
    assert [http.delete(url).status_code, http.delete(url).status_code] == [204, 404]
    assert contaminated(http, name) == []
    assert set(exported(http, name)) == set(ASKED)


def test_a_benchmark_may_come_before_the_dataset(http: httpx2.Client) -> None:
    name = f"guarded-{next(_names)}"
    assert load(http, name).raise_for_status().json()["compared"] == 0
    rows = [{"question": each, "domain": "math", "difficulty": "easy"} for each in ASKED]
    answer = http.post(f"/v1/datasets/{name}/baseline", content=jsonl(rows)).json()
    assert (answer["imported"], answer["contaminated"]) == (4, 2)


def test_it_may_be_loaded_while_a_job_runs(http: httpx2.Client, spec: dict[str, Any]) -> None:
    http.post("/v1/jobs", json=spec).raise_for_status()
    assert load(http, spec["dataset"]).raise_for_status().json()["items"] == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{\n", 400), (gzip.compress(jsonl(TESTS))[:-9], 400)],
    ids=["empty", "bad", "cut"],
)
def test_a_file_without_a_question_is_refused_and_changes_nothing(
    http: httpx2.Client, name: str, body: bytes, status: int
) -> None:
    load(http, name).raise_for_status()
    answer = load(http, name, body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert len(contaminated(http, name)) == 2


@pytest.mark.parametrize("params", [{"benchmark": "UPPER"}, {"benchmark": ""}, {"discard": "perhaps"}, {"more": "1"}])
def test_odd_parameters_are_refused_by_name(http: httpx2.Client, name: str, params: dict[str, str]) -> None:
    url = f"/v1/datasets/{name}/decontaminate"
    answer = http.post(url, params={"benchmark": "tests", **params}, content=jsonl(TESTS))
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, next(iter(params)))


def test_what_is_not_there_is_not_found(http: httpx2.Client) -> None:
    assert http.get("/v1/datasets/nowhere/contamination").status_code == 404
    assert http.delete("/v1/datasets/nowhere/benchmarks/tests").status_code == 404
