"""Questions, tags and names that are written to be taken for something else stay what they are: text."""

import io
import json

import httpx2
import pyarrow.parquet as pq
import pytest

DATASET = "injected"
TEXTS = (
    "'; DROP TABLE question; --",
    "Robert\\'); SELECT pg_sleep(60); --",
    "${jndi:ldap://127.0.0.1/a} {{7*7}} %(name)s :dataset_id",
    '=HYPERLINK("http://127.0.0.1/?"&A1, "click")',
    "+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "line one\r\n2026-01-01T00:00:00Z [error] forged=true",
    "100% of _ and \\ are literal",
    "\x1b]0;title\x07\x1b[31mred",
    "../../../etc/passwd",
    "\u202egnp.exe",
)
DOMAIN = "'; drop table dataset;"
TAG = '=1+1";<b>'


@pytest.fixture(scope="module")
def imported(api_url: str) -> str:
    rows = [{"question": text, "domain": DOMAIN, "difficulty": "easy", "tags": [TAG, text]} for text in TEXTS]
    body = "\n".join(map(json.dumps, rows)).encode()
    report = httpx2.post(f"{api_url}/v1/datasets/{DATASET}/baseline", content=body).raise_for_status().json()
    assert report["imported"] == len(TEXTS), report
    return f"/v1/datasets/{DATASET}"


def test_they_are_stored_and_exported_letter_by_letter(http: httpx2.Client, imported: str) -> None:
    lines = [json.loads(line) for line in http.get(f"{imported}/export").raise_for_status().iter_lines()]
    assert sorted(line["question"] for line in lines) == sorted(TEXTS)
    assert {line["domain"] for line in lines} == {DOMAIN}
    assert all(TAG in line["tags"] for line in lines)
    table = pq.read_table(io.BytesIO(http.get(f"{imported}/export", params={"format": "parquet"}).content))
    assert sorted(table["question"].to_pylist()) == sorted(TEXTS)


@pytest.mark.parametrize("text", TEXTS)
def test_a_search_for_one_finds_it_alone(http: httpx2.Client, imported: str, text: str) -> None:
    found = http.get(f"{imported}/questions", params={"text": text, "domain": DOMAIN}).raise_for_status().json()
    assert [item["question"] for item in found["items"]] == [text]


@pytest.mark.parametrize(("part", "times"), [("%", 2), ("_", 3), ("' OR '1'='1", 0), ("\\", 2)])
def test_signs_of_patterns_stand_for_themselves(http: httpx2.Client, imported: str, part: str, times: int) -> None:
    found = http.get(f"{imported}/questions", params={"text": part}).raise_for_status().json()
    assert len(found["items"]) == times == sum(part in text for text in TEXTS)


@pytest.mark.parametrize(
    "name", ["..%2f..%2fetc", "a%0d%0aSet-Cookie:x", 'a"b', "a%2fb", "%2e%2e", "a;b", ".hidden", "a%00"]
)
@pytest.mark.parametrize("what", ["export", "near-duplicates"])
def test_no_name_breaks_out_of_a_path_or_a_header(http: httpx2.Client, name: str, what: str) -> None:
    answer = http.get(f"/v1/datasets/{name}/{what}")
    assert answer.status_code in {404, 422}
    assert "content-disposition" not in answer.headers
    assert "set-cookie" not in answer.headers


def test_a_file_is_named_after_its_dataset_and_opened_by_no_browser(http: httpx2.Client, imported: str) -> None:
    answer = http.get(f"{imported}/export")
    assert answer.headers["content-disposition"] == f'attachment; filename="{DATASET}.jsonl"'
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_database_is_whole_afterwards(http: httpx2.Client, imported: str) -> None:
    assert http.get("/readyz").json()["database"] == "ok"
    assert http.get(imported).raise_for_status().json()["name"] == DATASET
