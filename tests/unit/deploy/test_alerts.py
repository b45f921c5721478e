"""The alerting rules and the runbook belong together. What the rules do is for promtool: ./run test-alerts."""

import re
from typing import Any

import pytest
import yaml

from tests.unit.deploy.manifests import ROOT

RUNBOOK = ROOT / "docs/runbook.md"
FOLDER = ROOT / "deploy/prometheus"
# A number with a unit that promtool would take, and a person can read.
DURATION = re.compile(r"\d+[smh]")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def sections() -> dict[str, str]:
    """Text by heading, whatever the level."""
    parts = re.split(r"^#+ (.+)\n", RUNBOOK.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_tells_whom_it_wakes_and_what_to_do(rule: dict[str, Any]) -> None:
    name = rule["alert"]
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert DURATION.fullmatch(rule["for"])
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert annotations["runbook_url"] == f"docs/runbook.md#{name.lower()}"
    assert annotations["description"].endswith((".", "says which."))
    assert f"`{rule['labels']['severity']}`" in sections()[name], "the section names another severity"


def test_the_runbook_has_a_section_for_every_alert_and_for_no_other() -> None:
    headings = re.findall(r"^### (Questmill\w+)$", RUNBOOK.read_text(), flags=re.MULTILINE)
    names = [rule["alert"] for rule in rules()]
    assert headings == names  # also in their order
    assert len(set(names)) == len(names)
    named = set(re.findall(r"\bQuestmill[A-Z]\w+", RUNBOOK.read_text()))
    assert named <= set(names)


def test_every_alert_was_seen_to_fire() -> None:
    tests = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    fired = {
        re.sub(r'.*"(\w+)".*', r"\1", sample["labels"])
        for test in tests
        for check in test["promql_expr_test"]
        for sample in check["exp_samples"]
    }
    assert fired == {rule["alert"] for rule in rules()}
