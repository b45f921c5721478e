"""The steps of smoke.sh that speak HTTP, each one run on its own inside the api container."""

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cli.client import ApiProblem, Client

QUESTIONS = 500
SPEC = {
    "dataset": f"smoke-{int(time.time())}",
    "mix": {
        "domains": {"coding": 150, "math": 150, "reading": 100, "common sense": 100},
        "difficulties": {
            "easy": {"token_share": 0.6, "mean_tokens": 15},
            "hard": {"token_share": 0.4, "mean_tokens": 60},
        },
    },
    "models": {"generate": {"easy": "openai/gpt-6-luna", "hard": "anthropic/claude-sonnet-5-5"}},
    "questions_per_call": {"easy": 4, "hard": 2},
}
MIDDLE = 100
WORKERS = 4
ANNOUNCED_SECONDS = 60
END_SECONDS = 300


def say(text: str) -> None:
    """Tell the person; standard output is for smoke.sh."""
    print(f"smoke: {text}", file=sys.stderr, flush=True)


def submit(client: Client) -> str:
    """Post the job, once the workers have said which providers they can call."""
    deadline = time.monotonic() + ANNOUNCED_SECONDS
    while True:
        try:
            job = client.submit(SPEC)
        except ApiProblem as problem:
            if "no worker runs" not in str(problem) or time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            totals = job["plan"]["totals"]
            say(f"job {job['id']} of {totals['questions']} questions accepted, {totals['generate']} to generate")
            return str(job["id"])


def find_victim(client: Client, job_id: str) -> str:
    """Wait for the middle of the job, with every worker at work; the container that then holds the most batches."""
    for event in client.events(job_id):
        batches = client.batches(job_id)
        held = Counter(_container(batch) for batch in batches if batch["state"] == "leased")
        if event.kind == "end" or (event.data["admitted"] >= MIDDLE and len(held) == WORKERS):
            break
    progress = client.job(job_id)["progress"]
    say(f"{progress['admitted']} admitted, {progress['calls']['in_flight']} calls in flight, batches: {dict(held)}")
    assert len(held) == WORKERS, "the workers were never all at work"
    assert progress["admitted"] < QUESTIONS, "the job was too quick"
    return held.most_common(1)[0][0]


def check_end(client: Client, job_id: str, victim: str) -> None:
    """Wait for the end; every cell of the export holds exactly its target, each text once."""
    after = [batch["state"] for batch in client.batches(job_id) if batch["worker"] and _container(batch) == victim]
    say(f"it holds {len(after)} batches; {client.job(job_id)['progress']['admitted']} questions are admitted")
    assert after == [], "a stopped worker must have given its batches back"
    deadline = time.monotonic() + END_SECONDS
    for event in client.events(job_id):
        if event.kind == "end":
            break
        assert time.monotonic() < deadline, f"no end after {END_SECONDS} s: {event.data}"
    job = client.job(job_id)
    progress = job["progress"]
    say(f"{job['state']}; calls {progress['calls']}, rejected {progress['rejected']}")
    assert job["state"] == "succeeded", job["reason"]
    assert "lost" not in progress["calls"]["outcomes"], "a paid reply was lost by stopping in order"

    path = Path("/tmp/smoke.jsonl")
    client.export(job["dataset"], "jsonl", path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    targets = {(cell["domain"], cell["difficulty"]): cell["target"] for cell in job["plan"]["cells"]}
    found = Counter((row["domain"], row["difficulty"]) for row in rows)
    for cell, target in targets.items():
        say(f"{'/'.join(cell):<18} target {target:>3}  exported {found[cell]:>3}")
    assert len(rows) == QUESTIONS
    assert found == Counter(targets), "the export is not exact"
    assert len({row["question"] for row in rows}) == QUESTIONS, "a text was exported twice"


def _container(batch: dict[str, Any]) -> str:
    """The host name of the worker that holds a batch, which is its container's short id."""
    return str(batch["worker"]).partition(":")[0]


def main() -> None:
    """`submit`, `middle JOB` or `end JOB VICTIM`."""
    step, *arguments = sys.argv[1:]
    with Client("http://127.0.0.1:8000") as client:
        match step:
            case "submit":
                print(submit(client))
            case "middle":
                print(find_victim(client, *arguments))
            case "end":
                check_end(client, *arguments)


if __name__ == "__main__":
    main()
