from typing import Any

import pytest
from rich.console import Console

from cli.pruning import is_nothing, prune_view
from tests.unit.cli.conftest import Here

NOTHING: dict[str, Any] = {
    "dry_run": False,
    "raw": {"jobs": 0, "calls": 0, "bytes": 0, "unparsed": 0},
    "archived": {"jobs": 0, "calls": 0, "batches": 0},
    "skipped": [],
}
MUCH = {
    "raw": {"jobs": 1, "calls": 4000, "bytes": 12345, "unparsed": 2},
    "archived": {"jobs": 3, "calls": 900, "batches": 45},
    "skipped": [{"job_id": "0193", "reason": "its ledger adds up to $1"}],
}


def shown(pruned: dict[str, Any]) -> list[str]:
    console = Console(width=240)
    with console.capture() as captured:
        console.print(prune_view(pruned))
    return captured.get().splitlines()


@pytest.mark.parametrize(("dry_run", "would"), [(True, "would be "), (False, "")])
def test_a_prune_tells_of_both_ages_and_of_what_stays(dry_run: bool, would: str) -> None:
    lines = [line.rstrip() for line in shown({**MUCH, "dry_run": dry_run})]
    assert lines == [
        f"raw replies of 1 job {would}cleared: 4,000 (12,345 bytes), 2 of them paid for and never read",
        f"3 jobs {would}archived: 900 calls and 45 batches {would}deleted; questions, counts and costs stay",
        "job 0193 is not archived: its ledger adds up to $1",
    ]


@pytest.mark.parametrize("age", ["--raw-days", "--ledger-days"])
def test_an_age_below_nothing_is_refused_before_anything_is_asked(here: Here, age: str) -> None:
    assert f"Invalid value for '{age}': write a number greater than or equal to 0." in here.run(
        "prune", age, -1, status=2
    )


def test_a_prune_of_nothing_says_so() -> None:
    assert is_nothing(NOTHING)
    assert not is_nothing({**NOTHING, "raw": MUCH["raw"]})
    [line] = shown(NOTHING)
    assert line.startswith("nothing to prune")
