"""POST /v1/datasets/{name}/duplicates over HTTP: 100 texts against 1,000,000 questions.

Of the texts half are new, the others equal, near or of a template that the dataset is full of; one in ten is long.
"""

import time
from random import Random
from statistics import quantiles
from typing import Any

import httpx2
from matplotlib.figure import Figure

from bench.corpus import make_questions
from bench.perturbed import draw_questions
from bench.report import Report, draw_bars, medians
from bench.signed_questions import OF_ONE_TEMPLATE, stock_questions, template_question
from bench.stocked import empty_database
from tests.service.api.serving import serving_process

CLAIM = "POST of 100 texts to compare with 1,000,000 questions: p99 at most 1 s"
BOUND_MS = 1000.0
SIZES = {"small": 100_000, "large": 1_000_000}
REQUESTS = 50
# new, new long, equal, equal long, near, near long, of the template
EACH = (40, 4, 20, 3, 20, 3, 10)
LONG_CHARACTERS = 1500
NOBODY = "redis://127.0.0.1:1"


def measure(rounds: int) -> Report:
    """Small, large, small, large ...: each time 50 requests one after the other on one connection."""
    found = []
    with empty_database() as url:
        texts = {size: stock_questions(url, size, rows) for size, rows in SIZES.items()}
        with serving_process(url, NOBODY) as (address, _), httpx2.Client(base_url=address, timeout=60) as client:
            for number in range(rounds):
                numbers: dict[str, float] = {}
                for size, known in texts.items():
                    p50, p99 = _ask(client, size, make_requests(known, seed=number))
                    numbers |= {f"{size}_p50_ms": p50, f"{size}_p99_ms": p99}
                found.append(numbers)
    result = medians(found)

    def draw(figure: Figure) -> None:
        bars = {f"{SIZES[size]:,} questions, {p}": result[f"{size}_{p}_ms"] for size in SIZES for p in ("p50", "p99")}
        draw_bars(figure, bars, label="milliseconds for 100 texts", bound=BOUND_MS)

    return Report(CLAIM, found, result, result["large_p99_ms"] <= BOUND_MS, draw)


def make_requests(known: list[str], *, seed: int) -> list[list[tuple[str, str]]]:
    """The texts of each request, with the verdict that each should get."""
    random = Random(seed)
    new, new_long, equal, equal_long, near, near_long, template = EACH
    fresh = make_questions(REQUESTS * new, seed + 1)
    fresh_long = draw_questions(random, short=0, long=REQUESTS * new_long)
    short = [text for text in known if len(text) < LONG_CHARACTERS and "train" not in text]
    long = [text for text in known if len(text) >= LONG_CHARACTERS]
    requests = []
    for _ in range(REQUESTS):
        texts = [("new", next(fresh)) for _ in range(new)]
        texts += [("new", next(fresh_long)) for _ in range(new_long)]
        texts += [("exact", text) for text in (*random.sample(short, equal), *random.sample(long, equal_long))]
        texts += [
            ("near", f"{text[:-1]} really?") for text in (*random.sample(short, near), *random.sample(long, near_long))
        ]
        texts += [("new", template_question(OF_ONE_TEMPLATE + random.randrange(10**6))) for _ in range(template)]
        random.shuffle(texts)
        requests.append(texts)
    return requests


def _ask(client: httpx2.Client, name: str, requests: list[list[tuple[str, str]]]) -> tuple[float, float]:
    """The 50th and the 99th percentile, in milliseconds."""
    taken, right = [], 0
    for texts in requests:
        body = {"texts": [text for _, text in texts]}
        began = time.perf_counter()
        answer = client.post(f"/v1/datasets/{name}/duplicates", json=body).raise_for_status()
        taken.append((time.perf_counter() - began) * 1000)
        verdicts: list[dict[str, Any]] = answer.json()
        right += sum(each["verdict"] == wanted for each, (wanted, _) in zip(verdicts, texts, strict=True))
    assert right >= 0.95 * REQUESTS * sum(EACH), f"{right} verdicts are as they should be"
    cuts = quantiles(taken, n=100, method="inclusive")
    return cuts[49], cuts[98]
