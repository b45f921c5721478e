"""What a worker process costs to start and to keep: CPU until it is ready, memory as it works, growth without end.

The memory is what is resident after each job of a row of equal ones, each into a dataset of its own. What grows after
the first of them grows for ever.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.figure import Figure

from bench.replies import make_replies
from bench.report import Report, medians
from bench.trial import cpu_seconds, make_spec, memory_mb, model_server, run_job, trial
from tests.faults.system import Role

CLAIM = "a worker after 10,000 calls: at most 150 MB, 5 MB more than after 2,000; at most 3 CPU s to start it"
MOST_MB = 150.0
MOST_GROWTH_MB = 5.0
MOST_START_SECONDS = 3.0
QUESTIONS = 10
IN_FLIGHT = 64
LATENCY_SECONDS = 0.1
CALLS_PER_JOB = 2000
JOBS = 5


def measure(rounds: int) -> Report:
    """A worker of a system of its own each round."""
    found = []
    settings = {
        "QUESTMILL_CALLS_IN_FLIGHT": str(IN_FLIGHT),
        "QUESTMILL_RATE_LIMITS": '{"openai/bench": {"requests_per_minute": 1e6, "tokens_per_minute": 1e9}}',
    }
    replies = make_replies(CALLS_PER_JOB + 500, QUESTIONS)
    for _ in range(rounds):
        with (
            TemporaryDirectory() as folder,
            model_server(Path(folder), replies, latency_seconds=LATENCY_SECONDS) as model,
            trial(model, settings=settings) as system,
        ):
            [worker] = system.processes(Role.WORKER)
            start = cpu_seconds(worker)
            sizes, calls = [memory_mb(worker)], [0]
            for _ in range(JOBS):
                ran = run_job(system, make_spec(calls=CALLS_PER_JOB, questions_per_call=QUESTIONS))
                sizes.append(memory_mb(worker))
                calls.append(calls[-1] + ran.calls)
            assert system.processes(Role.WORKER) == [worker], "the worker was replaced"
        found.append(
            {
                "start_cpu_seconds": start,
                "started_mb": sizes[0],
                "first_job_mb": sizes[1],
                "last_job_mb": sizes[-1],
                "growth_mb": sizes[-1] - sizes[1],
                "calls": calls[-1],
            }
        )
    result = medians(found)
    holds = (
        result["last_job_mb"] <= MOST_MB
        and result["growth_mb"] <= MOST_GROWTH_MB
        and result["start_cpu_seconds"] <= MOST_START_SECONDS
    )

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot(calls, sizes, marker="o", color="#4c72b0")
        axes.axhline(MOST_MB, color="#c44e52", linestyle="--", linewidth=1)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("calls of 10 questions")
        axes.set_ylabel("resident memory of the worker, MB")
        axes.spines[["top", "right"]].set_visible(False)

    return Report(CLAIM, found, result, holds, draw)
