"""What a person who watches a job should know, and what to do next."""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.money import format_usd

PROGRAM = "./run questmill"
# As many stopped cells are named; of the others only the number is told.
MOST_NAMED = 3


def warnings_of(data: Mapping[str, Any]) -> list[str]:
    """A sentence for each thing that keeps a job from its target, or soon will."""
    return [*_stopped_cells(data["cells"]), *_parked(data.get("batches", {})), *_incidents(data), *_budget(data)]


def what_next(data: Mapping[str, Any]) -> str:
    """The command that a person wants next; nothing while the job runs."""
    job, dataset = data["id"], data["dataset"]
    after = {
        "paused": f"go on with: {PROGRAM} resume {job} [--budget USD]",
        "succeeded": f"export it with: {PROGRAM} export {dataset} --format jsonl --out {dataset}.jsonl",
        "failed": f"what it has can be exported: {PROGRAM} export {dataset} --out {dataset}.jsonl",
        "cancelled": f"what it has can be exported: {PROGRAM} export {dataset} --out {dataset}.jsonl",
    }
    return after.get(data["state"], "")


def _stopped_cells(cells: list[Mapping[str, Any]]) -> Iterator[str]:
    stopped = [cell for cell in cells if cell.get("stopped")]
    for cell in stopped[:MOST_NAMED]:
        yield f"{cell['domain']}/{cell['difficulty']} is stopped: {cell['stopped']}"
    if len(stopped) > MOST_NAMED:
        yield f"{len(stopped) - MOST_NAMED:,} more cells are stopped"


def _parked(batches: Mapping[str, int]) -> Iterator[str]:
    if parked := batches.get("parked", 0):
        told = "1 batch is" if parked == 1 else f"{parked:,} batches are"
        yield f"{told} parked after too many attempts; its work is given to a new one"


def _incidents(data: Mapping[str, Any]) -> Iterator[str]:
    incidents = data.get("incidents", {})
    if expired := incidents.get("lease_expired", 0):
        yield f"{expired:,} times a worker fell silent, and another one took its batch"
    if fenced := incidents.get("fenced_off", 0):
        yield f"{fenced:,} times a worker came back too late, and wrote nothing"


def _budget(data: Mapping[str, Any]) -> Iterator[str]:
    budget, left = data.get("budget_usd"), sum(float(each["left"]["cost_usd"]) for each in data.get("stages", []))
    if budget is not None and data["state"] in {"running", "paused"} and data["cost_usd"] + left > budget:
        short = round(data["cost_usd"] + left - budget, 2)
        yield f"the budget will not do: about {format_usd(short)} more are needed"
