"""Import over HTTP: 304,000 rows, 85 % of them repeats, and 300,000 that all differ; the API's memory meanwhile."""

import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import orjson
from matplotlib.figure import Figure

from bench.corpus import SEED, make_questions
from bench.memory import PeakMemory
from bench.report import Report, draw_bars, medians
from bench.trial import trial
from tests.faults.system import Role, RunningSystem

CLAIM = "import of 304,000 rows, 85 % of them repeats: at most 30 s"
MOST_SECONDS = 30.0
ROWS = 304_000
DIFFERENT = 45_600
ALL_DIFFERENT_ROWS = 300_000


def measure(rounds: int) -> Report:
    """Both files a round, each into a new dataset."""
    found = []
    with TemporaryDirectory() as folder, trial() as system:
        repetitive, different = Path(folder, "repetitive.jsonl"), Path(folder, "different.jsonl")
        _write(repetitive, _repetitive())
        _write(different, list(make_questions(ALL_DIFFERENT_ROWS)))
        for number in range(rounds):
            seconds, answer, memory = _post(system, f"repetitive-{number}", repetitive)
            assert (answer["read"], answer["imported"]) == (ROWS, DIFFERENT), answer
            seconds_all, answer, memory_all = _post(system, f"different-{number}", different)
            assert answer["imported"] == ALL_DIFFERENT_ROWS, answer
            found.append(
                {
                    "seconds": seconds,
                    "api_growth_mb": memory.growth_mb,
                    "all_different_seconds": seconds_all,
                    "all_different_api_growth_mb": memory_all.growth_mb,
                    "api_peak_mb": max(memory.peak_mb, memory_all.peak_mb),
                }
            )
    result = medians(found)

    def draw(figure: Figure) -> None:
        bars = {
            f"{ROWS:,} rows, 85 % repeats": result["seconds"],
            f"{ALL_DIFFERENT_ROWS:,} rows, all different": result["all_different_seconds"],
        }
        draw_bars(figure, bars, label="seconds from POST to answer", bound=MOST_SECONDS)

    return Report(CLAIM, found, result, result["seconds"] <= MOST_SECONDS, draw)


def _repetitive() -> list[str]:
    random = Random(SEED)
    different = list(make_questions(DIFFERENT))
    rows = different + random.choices(different, k=ROWS - DIFFERENT)
    random.shuffle(rows)
    return rows


def _write(file: Path, questions: list[str]) -> None:
    with file.open("wb") as opened:
        for question in questions:
            row = {"question": question, "domain": "reading", "difficulty": "easy", "tags": ["bench"]}
            opened.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def _post(system: RunningSystem, dataset: str, file: Path) -> tuple[float, dict[str, Any], PeakMemory]:
    [api] = system.processes(Role.API)
    url = f"{system.addresses.api_url}/v1/datasets/{dataset}/baseline"
    started = time.monotonic()
    with PeakMemory(api) as memory:
        answer = httpx2.post(url, content=_pieces(file), timeout=600)
    seconds = time.monotonic() - started
    assert answer.status_code == 200, answer.text
    return seconds, answer.json(), memory


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(1 << 18):
            yield piece
