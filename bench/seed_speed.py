"""Questions a minute where the program that Questmill grew out of made 400: 20 calls in flight."""

from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.figure import Figure

from bench.replies import make_replies
from bench.report import Report, draw_bars, medians
from bench.trial import make_spec, model_server, run_job, trial

CLAIM = "20 calls in flight, 3 s latency, 20 questions a call: at least 10 times the seed's 400 questions a minute"
SEED_PER_MINUTE = 400
BOUND = 10.0
IN_FLIGHT = 20
LATENCY_SECONDS = 3.0
QUESTIONS = 20
CALLS = 240


def measure(rounds: int) -> Report:
    """One worker with the seed's calls in flight, one job a round: admitted questions from POST to its end."""
    found = []
    with (
        TemporaryDirectory() as folder,
        model_server(Path(folder), make_replies(CALLS * 2, QUESTIONS), latency_seconds=LATENCY_SECONDS) as model,
        trial(model, settings={"QUESTMILL_CALLS_IN_FLIGHT": str(IN_FLIGHT)}) as system,
    ):
        for _ in range(rounds):
            ran = run_job(system, make_spec(calls=CALLS, questions_per_call=QUESTIONS))
            per_minute = ran.job["progress"]["selected"] / ran.seconds * 60
            ideal = IN_FLIGHT / LATENCY_SECONDS * QUESTIONS * 60
            found.append(
                {
                    "questions_per_minute": per_minute,
                    "times_the_seed": per_minute / SEED_PER_MINUTE,
                    "of_ideal": per_minute / ideal,
                }
            )
    result = medians(found)

    def draw(figure: Figure) -> None:
        bars = {"the seed": float(SEED_PER_MINUTE), "Questmill": result["questions_per_minute"]}
        draw_bars(figure, bars, label="questions a minute", bound=BOUND * SEED_PER_MINUTE)

    return Report(CLAIM, found, result, result["times_the_seed"] >= BOUND, draw)
