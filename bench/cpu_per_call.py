"""CPU of the whole worker path per call, against a bare loop on the OpenAI SDK that stores nothing.

Marginal: what a long run takes more than a short one, over the calls that it makes more. Ours is the worker process:
claim, limiter, ledger, raw reply, parsing, near-duplicate admission, commit. The database's share is told beside it.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
from matplotlib.figure import Figure

from bench.replies import make_replies
from bench.report import Report, draw_bars, medians
from bench.trial import make_spec, model_server, run_job, trial
from tests.faults.system import ROOT

CLAIM = "marginal CPU per call of 10 questions, everything stored / bare OpenAI SDK loop: at most 1.0"
BOUND = 1.0
QUESTIONS = 10
IN_FLIGHT = 200
LATENCY_SECONDS = 0.5
SHORT, LONG = 500, 2500


def measure(rounds: int) -> Report:
    """Ours, the SDK, the SDK on aiohttp, and again."""
    found = []
    with TemporaryDirectory() as folder:
        replies = make_replies(LONG + 500, QUESTIONS)
        settings = {
            "QUESTMILL_CALLS_IN_FLIGHT": str(IN_FLIGHT),
            "QUESTMILL_RATE_LIMITS": '{"openai/bench": {"requests_per_minute": 1e6, "tokens_per_minute": 1e9}}',
        }
        with (
            model_server(Path(folder), replies, latency_seconds=LATENCY_SECONDS) as model,
            trial(model, settings=settings) as system,
        ):
            for _ in range(rounds):
                short, long = (
                    run_job(system, make_spec(calls=calls, questions_per_call=QUESTIONS)) for calls in (SHORT, LONG)
                )
                calls = long.calls - short.calls
                ours, database = (
                    (long.cpu_seconds[role] - short.cpu_seconds[role]) / calls * 1000 for role in ("worker", "postgres")
                )
                bare, on_aiohttp = (_sdk_ms(model.base_url, aiohttp=aiohttp) for aiohttp in (False, True))
                found.append(
                    {
                        "ours_ms": ours,
                        "postgres_ms": database,
                        "sdk_ms": bare,
                        "sdk_aiohttp_ms": on_aiohttp,
                        "ratio": ours / bare,
                        "ratio_sdk_aiohttp": on_aiohttp / bare,
                        "ratio_with_postgres": (ours + database) / bare,
                        "ours_calls_per_second": long.calls / long.seconds,
                    }
                )
    result = medians(found)

    def draw(figure: Figure) -> None:
        bars = {
            "bare SDK loop, stores nothing": 1.0,
            "the same on aiohttp": result["ratio_sdk_aiohttp"],
            "Questmill's worker, all stored": result["ratio"],
            "with Postgres": result["ratio_with_postgres"],
        }
        draw_bars(figure, bars, label="marginal CPU per call, bare SDK loop = 1", bound=BOUND)

    return Report(CLAIM, found, result, result["ratio"] <= BOUND, draw)


def _sdk_ms(url: str, *, aiohttp: bool) -> float:
    short, long = (_sdk_cpu(url, calls, aiohttp=aiohttp) for calls in (SHORT, LONG))
    return (long - short) / (LONG - SHORT) * 1000


def _sdk_cpu(url: str, calls: int, *, aiohttp: bool) -> float:
    command = [sys.executable, "-m", "bench.sdk_loop", "--url", url, "--calls", str(calls)]
    command += ["--in-flight", str(IN_FLIGHT), *(["--aiohttp"] if aiohttp else [])]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT, timeout=300)
    return float(orjson.loads(run.stdout)["cpu_seconds"])
