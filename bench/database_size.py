"""What an admitted question of 100 characters takes in the database, by table, indexes included."""

from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import orjson
from matplotlib.figure import Figure

from bench.corpus import make_questions
from bench.report import Report, draw_bars, medians
from bench.trial import make_spec, model_server, run_job, trial

CLAIM = "database size per admitted question of 100 characters, indexes included: at most 2 KB"
MOST_BYTES = 2048
CALLS = 5000
QUESTIONS = 10
# Grows by the question, by the call, and by the refusal.
TABLES = ("question", "question_band", "call", "rejection")

SIZES = """
    SELECT relname AS name, pg_total_relation_size(oid) AS bytes FROM pg_class
    WHERE relkind = 'r' AND relname = ANY(%s)
"""


def measure(rounds: int) -> Report:
    """A job in a database of its own each round."""
    found = []
    questions = list(make_questions((CALLS + 500) * QUESTIONS))
    replies = [
        orjson.dumps({"questions": questions[at : at + QUESTIONS]}).decode()
        for at in range(0, len(questions), QUESTIONS)
    ]
    settings = {
        "QUESTMILL_CALLS_IN_FLIGHT": "64",
        "QUESTMILL_RATE_LIMITS": '{"openai/bench": {"requests_per_minute": 1e6, "tokens_per_minute": 1e9}}',
    }
    difficulties = {"easy": {"token_share": 1, "mean_tokens": 45}}
    for _ in range(rounds):
        with (
            TemporaryDirectory() as folder,
            model_server(Path(folder), replies, latency_seconds=0.05) as model,
            trial(model, settings=settings) as system,
        ):
            spec = make_spec(calls=CALLS, questions_per_call=QUESTIONS)
            spec["mix"]["difficulties"] = difficulties
            run_job(system, spec)
            admitted = int(system.value("SELECT count(*) FROM question"))
            sizes = {row.name: row.bytes / admitted for row in system.query(SIZES, [list(TABLES)])}
            found.append(
                {
                    "characters": float(system.value("SELECT avg(length(text)) FROM question")),
                    "admitted": admitted,
                    "refused": int(system.value("SELECT count(*) FROM rejection")),
                    **{f"{name}_bytes": sizes[name] for name in TABLES},
                    "bytes": sizes["question"] + sizes["question_band"],
                    "bytes_with_ledger": sum(sizes.values()),
                }
            )
    result = medians(found)

    def draw(figure: Figure) -> None:
        bars = {name: result[f"{name}_bytes"] for name in TABLES}
        bars["all"] = result["bytes_with_ledger"]
        draw_bars(figure, bars, label="bytes per admitted question", bound=MOST_BYTES)

    note = f"questions of {mean(map(len, questions)):.0f} characters; `call` goes with `prune`, `rejection` keeps a row"
    return Report(CLAIM, found, result, result["bytes"] <= MOST_BYTES, draw, [note])
