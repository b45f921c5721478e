import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.demo import BASELINE, make_spec, scale
from local.demo_report import check_export
from local.stack import common_environment, rehearsal_environment
from shared.settings import Settings


@given(
    st.dictionaries(st.text(min_size=1), st.integers(1, 100_000), min_size=1, max_size=12),
    st.integers(1, 1_000_000),
)
def test_scaled_totals_have_the_sum_and_the_proportions(totals: dict[str, int], questions: int) -> None:
    scaled = scale(totals, questions)
    assert sum(scaled.values()) == questions
    whole = sum(totals.values())
    assert all(abs(scaled.get(name, 0) - total * questions / whole) < 1 for name, total in totals.items())


def test_full_demo_is_the_whole_mix() -> None:
    assert sum(make_spec("demo", None)["mix"]["domains"].values()) == 60_000
    assert make_spec("demo-2", 60_000) == make_spec("demo", None) | {"dataset": "demo-2"}


def test_baseline_shows_each_kind_of_row_that_a_report_counts() -> None:
    rows, broken = [], 0
    for line in BASELINE.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            broken += 1
    assert broken == 1
    assert sum("difficulty" not in row for row in rows) == 1
    texts = Counter(" ".join(row["question"].split()).casefold() for row in rows)
    assert any(count > 1 for count in texts.values())
    cells = {(row["domain"].strip().lower().replace("_", " ").replace("-", " "), row.get("difficulty")) for row in rows}
    assert {domain for domain, _ in cells} == set(make_spec("demo", None)["mix"]["domains"])


def _write(folder: Path, rows: list[dict[str, Any]], parquet_ids: list[int]) -> tuple[Path, Path]:
    jsonl, parquet = folder / "x.jsonl", folder / "x.parquet"
    jsonl.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.table({"id": parquet_ids}), parquet)
    return jsonl, parquet


def _row(number: int, question: str, domain: str = "math") -> dict[str, Any]:
    return {"id": number, "question": question, "domain": domain, "difficulty": "easy", "prompt_tokens": 5}


PLANNED = [{"domain": "math", "difficulty": "easy", "target": 2}]


def test_export_as_planned_has_no_problems(tmp_path: Path) -> None:
    files = _write(tmp_path, [_row(1, "What is 1 + 1?"), _row(2, "What is 1 + 2?")], [1, 2])
    check = check_export(*files, PLANNED)
    assert (check.rows, check.duplicates, check.longest_run, check.problems) == (2, 0, 2, ())


@pytest.mark.parametrize(
    ("rows", "ids", "problem"),
    [
        ([_row(1, "One?")], [1], "math/easy: 2 planned, 1 exported"),
        ([_row(1, "Why \u201cso\u201d?"), _row(2, 'WHY  "so"? ')], [1, 2], "1 questions repeat another one"),
        ([_row(1, "One?"), _row(2, "Two?")], [2, 1], "x.parquet does not hold the same questions in the same order"),
    ],
)
def test_second_look_finds(rows: list[dict[str, Any]], ids: list[int], problem: str, tmp_path: Path) -> None:
    assert check_export(*_write(tmp_path, rows, ids), PLANNED).problems == (problem,)


def test_only_workers_are_told_provider_keys() -> None:
    told = common_environment({"OPENAI_API_KEY": "a", "anthropic_api_key": "b", "LANG": "C", "no_proxy": "example.org"})
    assert not {name for name in told if "KEY" in name.upper()}
    assert told["LANG"] == "C"
    assert told["NO_PROXY"] == told["no_proxy"] == "example.org,127.0.0.1,localhost"


def test_compose_file_and_embedded_stack_rehearse_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (BASELINE.parent / "rehearsal.env").read_text().splitlines()
    containers = dict(line.split("=", 1) for line in text if line and not line.startswith("#"))
    assert containers.keys() == rehearsal_environment(1).keys()
    for name, value in rehearsal_environment(1).items():
        monkeypatch.setenv(name, value)
    assert Settings().rehearsal
