"""POST of the 60,000-question job through the API process over HTTP, each for a dataset of its own."""

import asyncio
import time
from typing import Any

import httpx2
from matplotlib.figure import Figure

from bench.report import Report, draw_bars
from bench.stocked import empty_database
from shared.database.engine import engine_for
from shared.jobs.models import publish_providers
from tests.service.api.serving import serving_process

CLAIM = "POST /v1/jobs of 60,000 questions in 8 domains and 2 difficulties: at most 300 ms, the slowest of all"
BOUND_MS = 300.0
POSTS = 20
NOBODY = "redis://127.0.0.1:1"
LARGE = ["coding", "math", "tool use", "reasoning"]
SMALL = ["reading", "summarization", "common sense", "instruction"]
MIX: dict[str, Any] = {
    "domains": dict.fromkeys(LARGE, 10_000) | dict.fromkeys(SMALL, 5_000),
    "difficulties": {"easy": {"token_share": 0.6, "mean_tokens": 15}, "hard": {"token_share": 0.4, "mean_tokens": 750}},
}


def measure(rounds: int) -> Report:
    """A first POST, which finds the process cold, and then many."""
    found = []
    with empty_database() as url:
        asyncio.run(_publish(url))
        for round_number in range(rounds):
            with serving_process(url, NOBODY) as (address, _), httpx2.Client(base_url=address, timeout=60) as client:
                taken = [_post_ms(client, f"set-{round_number}-{number}") for number in range(1 + POSTS)]
            later = sorted(taken[1:])
            found.append({"first_ms": taken[0], "median_ms": later[POSTS // 2], "slowest_ms": later[-1]})
    result = {name: round(max(each[name] for each in found), 1) for name in found[0]}

    def draw(figure: Figure) -> None:
        names = {"first of a process": "first_ms", "median": "median_ms", "slowest of the others": "slowest_ms"}
        draw_bars(figure, {name: result[key] for name, key in names.items()}, label="milliseconds", bound=BOUND_MS)

    return Report(CLAIM, found, result, max(result.values()) <= BOUND_MS, draw)


async def _publish(url: str) -> None:
    async with engine_for(url, application="questmill-bench") as engine, engine.begin() as conn:
        await publish_providers(conn, ["openai", "anthropic"], rehearsal=True)


def _post_ms(client: httpx2.Client, dataset: str) -> float:
    spec = {"dataset": dataset, "mix": MIX, "seed": 2025}
    began = time.perf_counter()
    answer = client.post("/v1/jobs", json=spec)
    taken = (time.perf_counter() - began) * 1000
    assert answer.status_code == 202, answer.text
    return taken
