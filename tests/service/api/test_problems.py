"""What no route asked for is answered in the same words as what they refuse."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from local.process import free_port
from tests.service.api.serving import api_settings, serving

MEGABYTE = 1_000_000


def check_problem(answer: httpx2.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:questmill:")
    assert problem["title"]
    assert problem["detail"]
    return problem


def test_an_unknown_path_is_a_problem(http: httpx2.Client) -> None:
    check_problem(http.get("/v2/jobs"), 404)


def test_a_wrong_method_is_a_problem_and_names_the_right_ones(http: httpx2.Client) -> None:
    answer = http.delete("/v1/plans")
    check_problem(answer, 405)
    assert answer.headers["allow"] == "POST"
    # Several routes share a path, of which the router looks at the first.
    assert http.patch("/v1/jobs").headers["allow"] == "GET, POST"
    assert http.options("/v1/datasets/some").headers["allow"] == "DELETE, GET"


def test_every_error_of_the_document_is_a_problem(http: httpx2.Client) -> None:
    document = http.get("/openapi.json").json()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for status, response in operation["responses"].items():
                if status >= "400" and path != "/readyz":
                    assert list(response["content"]) == ["application/problem+json"], (method, path, status)


@pytest.mark.parametrize("path", ["/v1/plans", "/v1/jobs"])
@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"dataset": "\xff"}', b"[]", b"null", b'"x"', b'{"dataset": "\\u0000"}', b"[" * 100_000]
)
def test_a_body_that_is_no_spec_is_a_problem(http: httpx2.Client, path: str, body: bytes) -> None:
    problem = check_problem(http.post(path, content=body), 422)
    assert problem["errors"]


@pytest.mark.parametrize("path", ["/v1/plans", "/v1/jobs"])
def test_a_spec_over_a_megabyte_is_too_large(http: httpx2.Client, path: str) -> None:
    body = json.dumps({"dataset": "x" * MEGABYTE}).encode()

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]

    check_problem(http.post(path, content=body), 413)
    check_problem(http.post(path, content=chunks()), 413)


def test_a_spec_of_a_megabyte_is_read(http: httpx2.Client) -> None:
    body = json.dumps({"dataset": "x"}).encode()
    check_problem(http.post("/v1/plans", content=body.ljust(MEGABYTE)), 422)


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}])
@pytest.mark.parametrize("path", ["/v1/jobs", "/healthz", "/nowhere"])
def test_a_foreign_page_is_refused(http: httpx2.Client, path: str, headers: dict[str, str]) -> None:
    check_problem(http.get(path, headers=headers), 403)
    check_problem(http.post(path, headers=headers, json={}), 403)


def test_an_absent_database_is_503_and_says_when_to_retry(redis_url: str) -> None:
    settings = api_settings(f"postgresql://nobody@127.0.0.1:{free_port()}/none", redis_url)
    with serving(settings) as url, httpx2.Client(base_url=url, timeout=20) as http:
        spec = {
            "dataset": "d",
            "mix": {"domains": {"math": 1}, "difficulties": {"easy": {"token_share": 1, "mean_tokens": 15}}},
        }
        for answer in (http.get("/v1/jobs"), http.post("/v1/jobs", json=spec), http.get("/v1/datasets")):
            check_problem(answer, 503)
            assert int(answer.headers["retry-after"]) > 0


def test_the_document_describes_what_is_served(http: httpx2.Client) -> None:
    document = http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.")
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    documented = {
        ("POST", "/v1/plans"),
        ("POST", "/v1/jobs"),
        ("GET", "/v1/jobs"),
        *(("GET", f"/v1/jobs/{{job_id}}{rest}") for rest in ("", "/events", "/batches", "/calls", "/submissions")),
        *(("POST", f"/v1/jobs/{{job_id}}/{verb}") for verb in ("pause", "resume", "cancel")),
        ("POST", "/v1/prune"),
        ("GET", "/v1/datasets"),
        ("GET", "/v1/datasets/{name}"),
        ("DELETE", "/v1/datasets/{name}"),
        *(("POST", f"/v1/datasets/{{name}}/{rest}") for rest in ("baseline", "duplicates")),
        *(("GET", f"/v1/datasets/{{name}}/{rest}") for rest in ("questions", "export")),
        *(("POST", f"/v1/questions/{{question_id}}/{verb}") for verb in ("discard", "restore")),
        *(("GET", f"/{name}") for name in ("healthz", "readyz", "metrics")),
    }
    assert documented <= described
    spec = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert spec == {"$ref": "#/components/schemas/JobSpec"}
    named = {ref.removeprefix("#/components/schemas/") for ref in _refs(document)}
    assert named <= set(document["components"]["schemas"])


def _refs(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from _refs(value)


def test_metrics_count_requests_by_route(http: httpx2.Client) -> None:
    http.get("/v1/jobs/nonsense")
    text = http.get("/metrics").text
    assert 'questmill_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"}' in text
    assert "nonsense" not in text
    assert "questmill_open_streams 0.0" in text
