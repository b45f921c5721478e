"""Export over HTTP: 60,000 rows as JSONL and as Parquet, and the API's memory while it exports a million."""

import time

import httpx2
from matplotlib.figure import Figure

from bench.memory import PeakMemory
from bench.report import Report, draw_bars, medians
from bench.trial import trial
from tests.faults.system import Role, RunningSystem

CLAIM = "export of 60,000 rows: at most 3 s; of 1,000,000: at most 20 MB more memory than of 60,000"
MOST_SECONDS = 3.0
MOST_MORE_MB = 20.0
FEW, MANY = 60_000, 1_000_000
FORMATS = ("jsonl", "parquet")

# As an import would leave it, but for the bands, which an export does not read.
SEED_DATASET = "INSERT INTO dataset (name) VALUES (%s) RETURNING id"
SEED_QUESTIONS = """
    INSERT INTO question (dataset_id, domain, difficulty, text, text_hash, template_hash, signature_version,
        prompt_tokens, tokenizer, tags)
    SELECT %s, 'reading', 'easy', 'Why would ' || repeat(md5(n::text) || ' ', 3) || n || '?',
        decode(md5(n::text), 'hex'), n, 1, 20, 'o200k_base', ARRAY['bench']
    FROM generate_series(1, %s) AS n
"""


def measure(rounds: int) -> Report:
    """Every size and format a round."""
    found = []
    with trial() as system:
        for name, rows in (("few", FEW), ("many", MANY)):
            dataset_id = system.value(SEED_DATASET, [name])
            with system.database() as conn:
                conn.execute(SEED_QUESTIONS, [dataset_id, rows])
                conn.execute("ANALYZE question")
        for _ in range(rounds):
            numbers: dict[str, float] = {}
            for form in FORMATS:
                numbers[f"{form}_seconds"], few_mb = _get(system, "few", form)
                numbers[f"{form}_million_seconds"], many_mb = _get(system, "many", form)
                numbers[f"{form}_more_mb"] = many_mb - few_mb
            found.append(numbers)
    result = medians(found)
    holds = all(
        result[f"{form}_seconds"] <= MOST_SECONDS and result[f"{form}_more_mb"] <= MOST_MORE_MB for form in FORMATS
    )

    def draw(figure: Figure) -> None:
        bars = {f"{FEW:,} rows, {form}": result[f"{form}_seconds"] for form in FORMATS}
        draw_bars(figure, bars, label="seconds", bound=MOST_SECONDS)

    return Report(CLAIM, found, result, holds, draw)


def _get(system: RunningSystem, dataset: str, form: str) -> tuple[float, float]:
    """Seconds to the last byte, and the API's peak in MB."""
    [api] = system.processes(Role.API)
    url = f"{system.addresses.api_url}/v1/datasets/{dataset}/export"
    started, size = time.monotonic(), 0
    with PeakMemory(api) as memory, httpx2.stream("GET", url, params={"format": form}, timeout=600) as answer:
        assert answer.status_code == 200, answer.read()
        for piece in answer.iter_raw():
            size += len(piece)
    assert size > 1_000_000
    return time.monotonic() - started, memory.peak_mb
