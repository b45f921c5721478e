import asyncio
import gc
import gzip
import io
import json
import socket
from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx2
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from api.dataset_shapes import DatasetShape, DatasetsShape
from api.live_shapes import DistributionsShape
from api.schemas import DuplicateShape, ImportShape, QuestionPage
from tests.service.api.documented import undocumented
from tests.service.api.test_problems import check_problem

_names = count(1)

ROWS: list[dict[str, Any]] = [
    {"question": "What is twelve plus five?", "domain": "Math", "difficulty": "easy", "tags": ["Sums"], "origin": 7},
    {"question": "Why do leaves turn red in autumn?", "domain": "Reading", "difficulty": "easy"},
    {"question": "Which tool lists the files of a folder?", "domain": "Tool_Use", "difficulty": "easy"},
]


@pytest.fixture
def name() -> str:
    return f"data-{next(_names)}"


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def upload(http: httpx2.Client, name: str, body: bytes | Iterator[bytes], **headers: str) -> httpx2.Response:
    return http.post(f"/v1/datasets/{name}/baseline", content=body, headers=headers)


def imported(http: httpx2.Client, name: str) -> ImportShape:
    return ImportShape.model_validate(upload(http, name, jsonl(ROWS)).raise_for_status().json())


def questions(http: httpx2.Client, name: str, **params: Any) -> list[dict[str, Any]]:
    answer = http.get(f"/v1/datasets/{name}/questions", params=params).raise_for_status()
    assert undocumented(QuestionPage.model_validate(answer.json())) == set()
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_a_baseline_is_imported_plain_packed_and_in_pieces(http: httpx2.Client, name: str) -> None:
    packed = gzip.compress(jsonl(ROWS))
    assert imported(http, name).imported == 3
    for body, headers in (
        (packed, {}),
        (packed, {"Content-Encoding": "gzip"}),
        (iter([packed[:1], packed[1:9], packed[9:]]), {"Content-Encoding": "gzip"}),
        (iter([jsonl(ROWS)[:50], jsonl(ROWS)[50:]]), {}),
    ):
        report = ImportShape.model_validate(upload(http, name, body, **headers).raise_for_status().json())
        assert (report.read, report.imported, report.duplicates) == (3, 0, 3)


def test_a_form_is_refused_whatever_is_in_it(http: httpx2.Client, name: str) -> None:
    for path in (f"/v1/datasets/{name}/baseline", f"/v1/datasets/{name}/decontaminate?benchmark=tests"):
        answer = http.post(path, files={"file": jsonl(ROWS)})
        assert check_problem(answer, 400)["type"] == "urn:questmill:bad-upload"
        assert "curl --data-binary @FILE" in answer.json()["detail"]
    assert http.get(f"/v1/datasets/{name}").status_code == 404


def test_bad_lines_are_told_and_nothing_else_is_lost(http: httpx2.Client, name: str) -> None:
    body = b"\n".join([b"{", b'{"question": "\xff"}', jsonl(ROWS[:1]), b'{"domain": "math"}', b"x" * 1_100_000])
    report = ImportShape.model_validate(upload(http, name, body).raise_for_status().json())
    assert (report.imported, report.invalid) == (1, 4)
    assert [problem.line for problem in report.problems][:2] == [1, 2]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (gzip.compress(jsonl(ROWS))[:-9], {}),
        (gzip.compress(jsonl(ROWS))[:40] + b"broken", {}),
        (jsonl(ROWS), {"Content-Encoding": "gzip"}),
        (jsonl(ROWS), {"Content-Encoding": "br"}),
        (gzip.compress(b"\0" * 300_000_000), {}),
    ],
    ids=["cut", "broken", "not gzip", "brotli", "bomb"],
)
def test_a_broken_upload_is_refused_and_nothing_is_kept(
    http: httpx2.Client, name: str, body: bytes, headers: dict[str, str]
) -> None:
    answer = upload(http, name, body, **headers)
    assert answer.status_code in {400, 413}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert http.get(f"/v1/datasets/{name}").status_code == 404


def test_an_aborted_upload_keeps_nothing(http: httpx2.Client, api_url: str, name: str) -> None:
    host, port = api_url.removeprefix("http://").split(":")
    body = jsonl(ROWS)
    head = f"POST /v1/datasets/{name}/baseline HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body) + 1}\r\n\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + body)
    # The import holds the dataset's row until it has rolled back, so this one sees what it left.
    assert imported(http, name).imported == 3


def test_datasets_are_listed_and_described(http: httpx2.Client, name: str) -> None:
    imported(http, name)
    listed = http.get("/v1/datasets").json()
    assert name in [item["name"] for item in listed["items"]]
    described = http.get(f"/v1/datasets/{name}").json()
    assert undocumented(DatasetsShape.model_validate(listed)) == set()
    assert undocumented(DatasetShape.model_validate(described)) == set()
    assert {(cell["domain"], cell["selected"]) for cell in described["cells"]} == {
        ("math", 1), ("reading", 1), ("tool use", 1),
    }  # fmt: skip


def test_questions_are_browsed_by_filter_and_page(http: httpx2.Client, name: str) -> None:
    imported(http, name)
    assert [item["question"] for item in questions(http, name, domain="Tool_Use")] == [ROWS[2]["question"]]
    assert [item["domain"] for item in questions(http, name, text="LEAVES")] == ["reading"]
    assert questions(http, name, selected=False) == []
    first = http.get(f"/v1/datasets/{name}/questions", params={"limit": 2}).json()
    rest = questions(http, name, limit=2, cursor=first["next_cursor"])
    assert len({item["id"] for item in first["items"] + rest}) == 3


def test_a_question_is_discarded_and_restored(http: httpx2.Client, name: str) -> None:
    imported(http, name)
    [item] = questions(http, name, domain="math")
    url = f"/v1/questions/{item['id']}"
    steps = [("discard", 200), ("discard", 409), ("restore", 200), ("restore", 409)]
    assert [http.post(f"{url}/{verb}").status_code for verb, _ in steps] == [status for _, status in steps]
    assert http.post("/v1/questions/999999999/discard").status_code == 404
    assert http.post(f"/v1/questions/{2**63}/discard").json()["errors"][0]["loc"] == "question_id"


def test_texts_are_compared_with_the_dataset_and_each_other(http: httpx2.Client, name: str) -> None:
    imported(http, name)
    texts = ["what is twelve plus five?", "Name a river.", "name a river.", "What is twelve plus six?"]
    answer = http.post(f"/v1/datasets/{name}/duplicates", json={"texts": texts})
    verdicts = [DuplicateShape.model_validate(each) for each in answer.json()]
    assert [each.verdict for each in verdicts] == ["exact", "new", "exact", "new"]


@pytest.mark.parametrize(
    "body", [{}, {"texts": "x"}, {"texts": [1]}, {"texts": [], "more": 1}, {"texts": ["x"] * 10_001}]
)
def test_odd_texts_are_refused(http: httpx2.Client, name: str, body: dict[str, Any]) -> None:
    imported(http, name)
    answer = http.post(f"/v1/datasets/{name}/duplicates", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_an_export_is_the_same_in_both_formats(http: httpx2.Client, name: str) -> None:
    imported(http, name)
    answer = http.get(f"/v1/datasets/{name}/export")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert sorted(row["question"] for row in rows) == sorted(row["question"] for row in ROWS)
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}.jsonl"'
    table = pq.read_table(io.BytesIO(http.get(f"/v1/datasets/{name}/export?format=parquet").content))
    assert table["question"].to_pylist() == [row["question"] for row in rows]


@pytest.mark.parametrize(("query", "loc"), [("format=csv", "format"), ("seed=-1", "seed"), ("shuffle=1", "shuffle")])
def test_an_odd_export_is_refused(http: httpx2.Client, name: str, query: str, loc: str) -> None:
    answer = http.get(f"/v1/datasets/{name}/export?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, loc)


def test_a_dataset_is_deleted_only_by_name_and_without_an_unfinished_job(
    http: httpx2.Client, spec: dict[str, Any]
) -> None:
    url = f"/v1/datasets/{spec['dataset']}"
    job = http.post("/v1/jobs", json=spec).headers["Location"]
    confirm = {"confirm": spec["dataset"]}
    assert http.delete(url).json()["errors"][0]["loc"] == "confirm"
    assert http.delete(url, params={"confirm": "other"}).status_code == 422
    assert http.delete(url, params=confirm).status_code == 409
    http.post(f"{job}/cancel").raise_for_status()
    assert http.delete(url, params=confirm).status_code == 204
    assert http.get(url).status_code == 404
    assert http.get(job).status_code == 404


@pytest.mark.parametrize("odd", ["UPPER", "-x", "x" * 65, "a%20b", "a%00b", "%C3%A9"])
@pytest.mark.parametrize("rest", ["", "/questions", "/export"])
def test_an_odd_name_is_refused_by_name(http: httpx2.Client, odd: str, rest: str) -> None:
    answer = http.get(f"/v1/datasets/{odd}{rest}")
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, "name")


def test_an_unknown_dataset_is_not_found(http: httpx2.Client) -> None:
    for rest in ("", "/questions", "/export", "/export?format=parquet"):
        assert http.get(f"/v1/datasets/nowhere{rest}").status_code == 404
    assert http.post("/v1/datasets/nowhere/duplicates", json={"texts": []}).status_code == 404


async def test_a_client_that_leaves_an_export_leaves_no_transaction(
    http: httpx2.Client, api_url: str, name: str, engine: AsyncEngine
) -> None:
    # More than the sockets' buffers hold: the API is in the middle of it when the client leaves.
    rows = [{**ROWS[0], "question": f"Who lives in house {n}?", "filler": "x" * 8_000} for n in range(2_100)]
    upload(http, name, jsonl(rows)).raise_for_status()
    left_open = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
    )
    host, port = api_url.removeprefix("http://").split(":")
    gc.disable()  # or it could close by chance what was left
    try:
        async with engine.connect() as conn:
            await conn.execution_options(isolation_level="AUTOCOMMIT")
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(f"GET /v1/datasets/{name}/export HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                assert connection.recv(100).startswith(b"HTTP/1.1 200")
                async with asyncio.timeout(5):
                    # The backends are other processes: there is no event to wait for. At first it is still reading.
                    while not (await conn.execute(left_open)).scalar_one():  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
            async with asyncio.timeout(5):
                while (await conn.execute(left_open)).scalar_one():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
    finally:
        gc.enable()


def test_a_datasets_distributions_have_the_documented_shape(http: httpx2.Client, name: str) -> None:
    imported(http, name)
    url = f"/v1/datasets/{name}/distributions"
    shaped = DistributionsShape.model_validate(http.get(url, params={"domain": "Tool_Use"}).json())
    assert (shaped.questions, shaped.looked_at, shaped.sampled) == (1, 1, False)
    assert shaped.prompt_tokens is not None
    assert sum(each.count for each in shaped.prompt_tokens.bins) == 1
    assert http.get(url, params={"colour": "red"}).status_code == 422
    assert http.get("/v1/datasets/nowhere/distributions").status_code == 404
