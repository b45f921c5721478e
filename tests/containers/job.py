"""The steps of smoke.sh and restarts.sh that speak HTTP, each one run on its own inside the api container."""

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cli.client import ApiProblem, Client

SHARES = {"coding": 0.3, "math": 0.3, "reading": 0.2, "common sense": 0.2}
MODELS = {"easy": "openai/gpt-6-luna", "hard": "anthropic/claude-sonnet-5-5"}
MIDDLE = 100
WORKERS = 4
ANNOUNCED_SECONDS = 60
END_SECONDS = 600


def spec_of(questions: int, stages: list[str]) -> dict[str, Any]:
    """A job of so many questions, a multiple of ten, with many small calls."""
    return {
        "dataset": f"smoke-{int(time.time())}",
        "mix": {
            "domains": {domain: round(share * questions) for domain, share in SHARES.items()},
            "difficulties": {
                "easy": {"token_share": 0.6, "mean_tokens": 15, "answer_tokens": 60},
                "hard": {"token_share": 0.4, "mean_tokens": 60, "answer_tokens": 900},
            },
        },
        "stages": stages,
        "models": dict.fromkeys(stages, MODELS),
        "questions_per_call": {"easy": 4, "hard": 2},
    }


def say(text: str) -> None:
    """Tell the person; standard output is for the script."""
    print(f"  {text}", file=sys.stderr, flush=True)


def submit(client: Client, questions: str, *stages: str) -> str:
    """Post the job, once the workers have said which providers they can call."""
    deadline = time.monotonic() + ANNOUNCED_SECONDS
    while True:
        try:
            job = client.submit(spec_of(int(questions), list(stages) or ["generate"]))
        except ApiProblem as problem:
            if "no worker is ready" not in str(problem) or time.monotonic() > deadline:
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
    assert progress["admitted"] < progress["target"], "the job was too quick"
    return held.most_common(1)[0][0]


def check_stopped(client: Client, job_id: str, victim: str) -> None:
    """A worker that was stopped in order has given its batches back."""
    after = [batch["state"] for batch in client.batches(job_id) if batch["worker"] and _container(batch) == victim]
    say(f"it holds {len(after)} batches; {client.job(job_id)['progress']['admitted']} questions are admitted")
    assert after == [], "a stopped worker must have given its batches back"


def check_running(client: Client, job_id: str) -> None:
    """There is something left to strike at."""
    job = client.job(job_id)
    progress = job["progress"]
    done = ", ".join(f"{progress[name]} {name}" for name in ("admitted", "validated", "answered"))
    say(f"{job['state']}: {done}, {progress['calls']['in_flight']} calls in flight")
    assert job["state"] == "running", "the job was too quick"


def check_end(client: Client, job_id: str, *how: str) -> None:
    """Wait for the end; every cell of the export holds exactly its target, each text once.

    `in-order`: nothing was killed, so no reply may be lost.
    """
    deadline = time.monotonic() + END_SECONDS
    for event in client.events(job_id):
        if event.kind == "end":
            break
        assert time.monotonic() < deadline, f"no end after {END_SECONDS} s: {event.data}"
    job = client.job(job_id)
    progress = job["progress"]
    say(f"{job['state']}; calls {progress['calls']}, rejected {progress['rejected']}")
    assert job["state"] == "succeeded", job["reason"]
    if "in-order" in how:
        assert "lost" not in progress["calls"]["outcomes"], "a paid reply was lost by stopping in order"

    path = Path("/tmp/smoke.jsonl")
    client.export(job["dataset"], "jsonl", path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    targets = {(cell["domain"], cell["difficulty"]): cell["target"] for cell in job["plan"]["cells"]}
    found = Counter((row["domain"], row["difficulty"]) for row in rows)
    for cell, target in targets.items():
        say(f"{'/'.join(cell):<18} target {target:>3}  exported {found[cell]:>3}")
    assert found == Counter(targets), "the export is not exact"
    assert len({row["question"] for row in rows}) == len(rows), "a text was exported twice"
    if "answer" in job["spec"]["stages"]:
        assert all(row["answer"] for row in rows), "a question has no answer"


def _container(batch: dict[str, Any]) -> str:
    """The host name of the worker that holds a batch, which is its container's short id."""
    return str(batch["worker"]).partition(":")[0]


def main() -> None:
    """`submit QUESTIONS STAGE ...`, `middle JOB`, `stopped JOB VICTIM`, `running JOB` or `end JOB [in-order]`."""
    step, *arguments = sys.argv[1:]
    with Client("http://127.0.0.1:8000") as client:
        match step:
            case "submit":
                print(submit(client, *arguments))
            case "middle":
                print(find_victim(client, *arguments))
            case "stopped":
                check_stopped(client, *arguments)
            case "running":
                check_running(client, *arguments)
            case "end":
                check_end(client, *arguments)


if __name__ == "__main__":
    main()
