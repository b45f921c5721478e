"""GET of a job and of its dataset through the API process over HTTP: 1,000,000 questions against 10,000."""

import time
from collections.abc import Sequence
from statistics import quantiles

import httpx2
from matplotlib.figure import Figure

from bench.report import Report, draw_bars, medians
from bench.stocked import empty_database, stocking
from tests.service.api.serving import serving_process

CLAIM = "GET /v1/jobs/{id} of a running job with 1,000,000 questions: p99 at most 50 ms"
BOUND_MS = 50.0
DOMAINS = [f"domain {n}" for n in range(8)]
DIFFICULTIES = ["easy", "hard"]
CELLS = len(DOMAINS) * len(DIFFICULTIES)
SIZES = {"small": 10_000, "large": 1_000_000}
REQUESTS = 200
# A million questions in batches of 400 and 40.
BATCHES_PER_CELL = {"small": 12, "large": 180}
NOBODY = "redis://127.0.0.1:1"


def measure(rounds: int) -> Report:
    """Small, large, small, large ...: each time some hundred requests one after the other on one connection."""
    found = []
    with empty_database() as url, stocking(url) as stock:
        jobs = {}
        for size, questions in SIZES.items():
            jobs[size] = stock.add_jobs([size], DOMAINS, DIFFICULTIES)
            stock.add_questions(jobs[size], 1, questions // CELLS)
            for state, each in {"done": BATCHES_PER_CELL[size], "leased": 2, "pending": 48}.items():
                stock.add_batches(jobs[size], state, each)
            stock.settle(jobs[size], questions_per_cell=questions // CELLS, busy=True)
        with serving_process(url, NOBODY) as (address, _), httpx2.Client(base_url=address, timeout=60) as client:
            asked = {
                "job": {size: f"/v1/jobs/{jobs[size][0]}" for size in SIZES},
                "dataset": {size: f"/v1/datasets/{size}" for size in SIZES},
            }
            for size, questions in SIZES.items():
                shown = client.get(asked["job"][size]).raise_for_status().json()["progress"]
                assert shown["selected"] == questions, "the database holds what was written"
                assert shown["per_minute"] > 0, "the job is at work"
            for _ in range(rounds):
                numbers: dict[str, float] = {}
                for what, paths in asked.items():
                    for size, path in paths.items():
                        p50, p99 = _percentiles(client, path)
                        numbers |= {f"{what}_{size}_p50_ms": p50, f"{what}_{size}_p99_ms": p99}
                    numbers[f"{what}_ratio"] = numbers[f"{what}_large_p50_ms"] / numbers[f"{what}_small_p50_ms"]
                numbers["datasets_p50_ms"], numbers["datasets_p99_ms"] = _percentiles(client, "/v1/datasets")
                found.append(numbers)
    result = medians(found)

    def draw(figure: Figure) -> None:
        bars = {
            "job, 10,000 questions": result["job_small_p99_ms"],
            "job, 1,000,000 questions": result["job_large_p99_ms"],
            "dataset, 10,000": result["dataset_small_p99_ms"],
            "dataset, 1,000,000": result["dataset_large_p99_ms"],
            "list of datasets": result["datasets_p99_ms"],
        }
        draw_bars(figure, bars, label="p99, milliseconds", bound=BOUND_MS)

    slowest = max(result[name] for name in result if name.endswith("_p99_ms"))
    return Report(CLAIM, found, result, slowest <= BOUND_MS, draw)


def _percentiles(client: httpx2.Client, path: str) -> Sequence[float]:
    """The 50th and the 99th percentile, in milliseconds."""
    taken = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        client.get(path).raise_for_status()
        taken.append((time.perf_counter() - began) * 1000)
    cuts = quantiles(taken, n=100)
    return cuts[49], cuts[98]
