"""Whether anything of ours slows a job down: 2,000 calls of 0.5 s, 200 in flight, every answer committed.

From the POST until the questions of the 2,000th answer are admitted, in a job that asks for more: its last calls, one
after the other until each cell is exact, are another matter.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.figure import Figure

from bench.pace import answered_after, committed_after
from bench.replies import make_replies
from bench.report import Report, draw_bars, medians
from bench.trial import make_spec, model_server, run_job, trial

CLAIM = "0.5 s latency, 200 in flight, 2,000 calls: at least 0.90 of the ideal rate, every answer committed"
BOUND = 0.90
QUESTIONS = 10
WORKERS = 2
IN_FLIGHT = 200
LATENCY_SECONDS = 0.5
CALLS = 2000
OF_CALLS = 3000


def measure(rounds: int) -> Report:
    """One job a round; the ideal is `IN_FLIGHT` calls every `LATENCY_SECONDS`."""
    found = []
    settings = {
        "QUESTMILL_CALLS_IN_FLIGHT": str(IN_FLIGHT // WORKERS),
        "QUESTMILL_RATE_LIMITS": '{"openai/bench": {"requests_per_minute": 1e6, "tokens_per_minute": 1e9}}',
    }
    replies = make_replies(OF_CALLS * 3 // 2, QUESTIONS)  # some repeat others, and are replaced
    with (
        TemporaryDirectory() as folder,
        model_server(Path(folder), replies, latency_seconds=LATENCY_SECONDS) as model,
        trial(model, workers=WORKERS, settings=settings) as system,
    ):
        for _ in range(rounds):
            ran = run_job(system, make_spec(calls=OF_CALLS, questions_per_call=QUESTIONS))
            job_id = str(ran.job["id"])
            rates = {
                name: CALLS / after(system, job_id)[CALLS - 1]
                for name, after in (("answered", answered_after), ("committed", committed_after))
            }
            found.append(
                {
                    "of_ideal": rates["committed"] / (IN_FLIGHT / LATENCY_SECONDS),
                    **{f"{name}_per_second": rate for name, rate in rates.items()},
                    **{f"{role}_cpu_ms_a_call": spent / ran.calls * 1000 for role, spent in ran.cpu_seconds.items()},
                }
            )
    result = medians(found)

    def draw(figure: Figure) -> None:
        draw_bars(figure, {"Questmill": result["of_ideal"]}, label="share of the ideal rate", bound=BOUND)

    return Report(CLAIM, found, result, result["of_ideal"] >= BOUND, draw)
