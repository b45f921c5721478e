"""Whether four worker processes do four times the work of one."""

from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.figure import Figure

from bench.pace import answered_after, per_second
from bench.replies import make_replies
from bench.report import Report, draw_bars, medians
from bench.trial import make_spec, model_server, run_job, trial

CLAIM = "1 -> 4 worker processes at 2 s latency, 16 in flight each: >= 3.8 times the calls a second"
BOUND = 3.8
FEW, MANY = 1, 4
IN_FLIGHT = 16
LATENCY_SECONDS = 2.0
QUESTIONS = 5
SECONDS = 34
# The first calls of a job wait for its batches. A worker may hold 16 batches, which is 40 s of work for its 16 calls in
# flight: towards the end of a job that is no longer than this, the others have nothing left.
SETTLED_SECONDS, WINDOW_SECONDS = 6, 18


def measure(rounds: int) -> Report:
    """One, four, one, four: jobs that take both the same time; calls answered a second in the middle of each."""
    found = []
    ideal = IN_FLIGHT / LATENCY_SECONDS
    with TemporaryDirectory() as folder:
        replies = make_replies(int(MANY * ideal * SECONDS * 1.2), QUESTIONS)
        with model_server(Path(folder), replies, latency_seconds=LATENCY_SECONDS) as model:
            for _ in range(rounds):
                rates = {}
                for workers in (FEW, MANY):
                    with trial(model, workers=workers, settings={"QUESTMILL_CALLS_IN_FLIGHT": str(IN_FLIGHT)}) as up:
                        calls = int(workers * ideal * SECONDS)
                        ran = run_job(up, make_spec(calls=calls, questions_per_call=QUESTIONS))
                        times = answered_after(up, str(ran.job["id"]))
                    middle = per_second(times, SETTLED_SECONDS, SETTLED_SECONDS + WINDOW_SECONDS)
                    rates[workers] = (middle, ran.calls / ran.seconds)
                found.append(
                    {
                        "ratio": rates[MANY][0] / rates[FEW][0],
                        "ratio_whole_job": rates[MANY][1] / rates[FEW][1],
                        "of_ideal_one": rates[FEW][0] / (FEW * ideal),
                        "of_ideal_four": rates[MANY][0] / (MANY * ideal),
                    }
                )
    result = medians(found)

    def draw(figure: Figure) -> None:
        bars = {"in the middle of the job": result["ratio"], "whole job": result["ratio_whole_job"]}
        draw_bars(figure, bars, label="four workers / one", bound=BOUND)

    return Report(CLAIM, found, result, result["ratio"] >= BOUND, draw)
