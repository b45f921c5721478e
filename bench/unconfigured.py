"""Whether a job stalls where nothing is configured: no limits given, and a server that tells of none."""

from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.figure import Figure

from bench.pace import answered_after, per_second
from bench.replies import make_replies
from bench.report import Report, medians
from bench.trial import make_spec, model_server, run_job, trial
from shared.settings import Settings

CLAIM = "nothing configured, no rate headers: within 10 s at >= 0.9 of the default in-flight cap / latency"
BOUND = 0.9
WITHIN_SECONDS = 10
QUESTIONS = 5
LATENCY_SECONDS = 0.5
CALLS = 2600


def measure(rounds: int) -> Report:
    """One worker of a new system a round, so that nothing is known of limits at the job's start.

    The share of the ideal is counted over the 5 s from the 10th on, and drawn for each second.
    """
    ideal = int(Settings.model_fields["calls_in_flight"].default) / LATENCY_SECONDS
    found, curve = [], [0.0]
    with (
        TemporaryDirectory() as folder,
        model_server(Path(folder), make_replies(CALLS + 400, QUESTIONS), latency_seconds=LATENCY_SECONDS) as model,
    ):
        for _ in range(rounds):
            with trial(model) as system:
                ran = run_job(system, make_spec(calls=CALLS, questions_per_call=QUESTIONS))
                times = answered_after(system, str(ran.job["id"]))
            curve = [per_second(times, second, second + 1) / ideal for second in range(WITHIN_SECONDS + 5)]
            first = next((second for second, share in enumerate(curve) if share >= BOUND), len(curve))
            found.append(
                {
                    "of_ideal": per_second(times, WITHIN_SECONDS, WITHIN_SECONDS + 5) / ideal,
                    "first_second_at_bound": first,
                    "worker_cpu_ms_per_call": ran.cpu_seconds["worker"] / ran.calls * 1000,
                }
            )
    result = medians(found)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot([second + 0.5 for second in range(len(curve))], curve, color="#4c72b0")
        axes.axhline(BOUND, color="#c44e52", linestyle="--", linewidth=1)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("seconds after the POST (last round)")
        axes.set_ylabel("share of cap / latency")
        axes.spines[["top", "right"]].set_visible(False)

    return Report(CLAIM, found, result, result["of_ideal"] >= BOUND, draw)
