import json
from pathlib import Path
from typing import Any

import pytest

from tests.service.cli.test_commands import Shell

HEN = "Why would a grey hen cross the narrow road behind the mill at noon"


@pytest.fixture
def shell(api_url: str, tmp_path: Path, spec: dict[str, Any]) -> Shell:
    return Shell(api_url, tmp_path, spec)


def test_near_duplicates_are_shown_and_written(shell: Shell, tmp_path: Path) -> None:
    baseline, page, data = tmp_path / "baseline.jsonl", tmp_path / "near.html", tmp_path / "near.json"
    rows = [{"question": f"{HEN}{end}?", "domain": "math", "difficulty": "easy"} for end in ("", " today", " 5", " 6")]
    baseline.write_text("\n".join(map(json.dumps, rows)))
    shell.run("import", "hens", baseline)
    printed = shell.run("dedup-report", "hens", "--out", page, "--out", data)
    assert "4 questions, 2 of them in 1 cluster " in printed
    assert "by numbers" in printed
    report = shell.json("dedup-report", "hens")
    assert report == json.loads(data.read_text())
    assert [len(each["members"]) for each in report["clusters_shown"]] == [2]
    assert HEN in page.read_text()
    assert "exists already" in shell.run("dedup-report", "hens", "--out", page, status=1)
    assert "there is no dataset" in shell.run("dedup-report", "nobodys", status=1)
