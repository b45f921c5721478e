"""What a provider that fails in many ways makes a job pay more: calls paid, against the same job without faults."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from bench.report import Report, draw_bars, medians
from bench.trial import make_spec, run_job, trial
from tests.faults.system import RunningSystem

CLAIM = (
    "5 % LaTeX-broken JSON, 3 % cut, 3 % 500, 2 % 429, 1 % dropped sockets, 600 calls' worth of questions: "
    "all there, <= 4 % extra calls paid"
)
MOST_EXTRA = 0.04
FAULTS = {"latex": 0.05, "cut": 0.03, "500": 0.03, "429": 0.02, "reset": 0.01}
QUESTIONS = 10
CALLS = 600
# What the ledger says was paid: whatever brought tokens, and what broke off after it was sent.
PAID = """
    SELECT COUNT(*) FILTER (WHERE output_tokens > 0 OR state = 'unknown') AS paid,
           COUNT(*) FILTER (WHERE state = 'unknown') AS dropped,
           COUNT(*) FILTER (WHERE outcome = 'cut') AS cut,
           COALESCE(SUM(%(questions)s - generated) FILTER (WHERE outcome = 'cut'), 0) AS missing
    FROM call WHERE job_id = %(job_id)s
"""


def measure(rounds: int) -> Report:
    """Clean, dirty, and again, on one system with one seed; both jobs end with exactly the same counts.

    Extra are the calls that the dirty job paid beyond the clean one, over those. Two parts of it are told beside:
    replies that were paid and never arrived, and the questions that cut replies left out, in calls' worth.
    """
    found = []
    with trial(settings={"QUESTMILL_REHEARSAL_LATENCY": "0.2"}) as system:
        for _ in range(rounds):
            clean = _paid(system, {})
            dirty = _paid(system, FAULTS)
            found.append(
                {
                    "extra": dirty["paid"] / clean["paid"] - 1,
                    "paid": dirty["paid"],
                    "paid_clean": clean["paid"],
                    "dropped": dirty["dropped"] / clean["paid"],
                    "cut_left_out": dirty["missing"] / QUESTIONS / clean["paid"],
                    "cut_replies": dirty["cut"],
                    "short_of_target": dirty["short"],
                    "seconds": dirty["seconds"],
                }
            )
    result = medians(found)

    def draw(figure: Figure) -> None:
        bars = {
            "extra calls paid": result["extra"],
            "paid, never arrived": result["dropped"],
            "left out of cut replies": result["cut_left_out"],
        }
        draw_bars(figure, bars, label="share of the calls paid without faults", bound=MOST_EXTRA)

    holds = result["extra"] <= MOST_EXTRA and not any(each["short_of_target"] for each in found)
    return Report(CLAIM, found, result, holds, draw)


def _paid(system: RunningSystem, faults: Mapping[str, float]) -> dict[str, float]:
    system.rehearse("faults", shares=faults)
    ran = run_job(system, make_spec(calls=CALLS, questions_per_call=QUESTIONS, model="openai/gpt-6-luna"))
    [row] = system.query(PAID, {"job_id": ran.job["id"], "questions": QUESTIONS})
    progress = ran.job["progress"]
    counts = {"paid": row.paid, "dropped": row.dropped, "cut": row.cut, "missing": row.missing}
    return {
        **{name: float(count) for name, count in counts.items()},
        "short": float(progress["target"] - progress["selected"]),
        "seconds": ran.seconds,
    }
