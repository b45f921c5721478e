"""How the token split of a whole job comes out when the mix is wrong about how long its questions are.

The rehearsal models write questions of 22 and 610 tokens where 15 and 750 are asked for. One arm follows what it
measures, one keeps the means of the mix, and one, a tenth of the size, balances the answers.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import Report, medians
from bench.trial import make_spec, trial
from tests.faults.system import RunningSystem

CLAIM = "60,000 questions, assumed 15 and 750 tokens, written 22 and 610: the split ends within 0.1 points of 60 to 40"
BOUND = 0.1
ASKED = {"easy": 0.6, "hard": 0.4}
ASSUMED, WRITTEN = (15, 750), (22, 610)
DOMAINS = {
    **dict.fromkeys(("coding", "math", "tool use", "reasoning"), 10_000),
    **dict.fromkeys(("reading", "summarization", "common sense", "instruction"), 5_000),
}
MODEL = "openai/gpt-6-luna"
LENGTHS = {
    "QUESTMILL_REHEARSAL_LENGTH_SHORT": str(WRITTEN[0] / ASSUMED[0]),
    "QUESTMILL_REHEARSAL_LENGTH_LONG": str(WRITTEN[1] / ASSUMED[1]),
}
LOOK_SECONDS = 0.25
COLOURS = {"measured": "#4c72b0", "fixed": "#c44e52", "answers": "#55a868"}
PLANS = """
    SELECT version, extract(epoch FROM job_plan.created_at - job.created_at)::float AS seconds,
        (plan -> 'totals' -> 'by_difficulty' ->> 'hard')::int AS hard,
        (plan -> 'totals' ->> 'questions')::int AS questions
    FROM job_plan JOIN job ON job.id = job_plan.job_id WHERE job.id = %(job_id)s ORDER BY version
"""


@dataclass(frozen=True, slots=True)
class Course:
    """A job's way: seconds and the hard share of its tokens at each look, its plans, and its end."""

    looks: Sequence[tuple[float, float]]
    plans: Sequence[Any]
    progress: Mapping[str, Any]
    seconds: float

    @property
    def points_off(self) -> float:
        """How far the split is from what was asked for, in points."""
        shares = self.progress["token_shares"]["measured"]
        return float(max(abs(shares[name] - share) for name, share in ASKED.items()) * 100)

    def told(self, arm: str) -> dict[str, float]:
        """What a report shows of it."""
        target = self.progress["target"]
        return {
            f"{arm}, points off": round(self.points_off, 4),
            f"{arm}, plans": float(len(self.plans)),
            f"{arm}, hard questions at first": float(self.plans[0].hard),
            f"{arm}, hard questions": float(self.plans[-1].hard),
            f"{arm}, in reserve, % of the target": round(
                sum(cell["reserve"] for cell in self.progress["cells"]) / target * 100, 3
            ),
            f"{arm}, seconds": round(self.seconds, 1),
        }


def measure(rounds: int) -> Report:
    """The three arms are jobs of one system, one after the other; the plot shows the first round."""
    found: list[dict[str, float]] = []
    courses: dict[str, Course] = {}
    with trial(workers=2, settings=LENGTHS) as system:
        for _ in range(rounds):
            ran = {
                "measured": _run(system, _mix(DOMAINS, means="measured")),
                "fixed": _run(system, _mix(DOMAINS, means="fixed")),
                "answers": _run(
                    system,
                    _mix(
                        {name: total // 10 for name, total in DOMAINS.items()}, means="measured", measure="completion"
                    ),
                    stages=["generate", "answer"],
                    models={stage: dict.fromkeys(ASKED, MODEL) for stage in ("generate", "answer")},
                ),
            }
            courses = courses or ran
            found.append({name: value for arm, course in ran.items() for name, value in course.told(arm).items()})
    result = medians(found)

    def draw(figure: Figure) -> None:
        split, plans = figure.subplots(1, 2)
        _draw_split(split, courses)
        _draw_plans(plans, courses)

    worst = max(each["measured, points off"] for each in found)
    return Report(CLAIM, found, result | {"measured, points off, worst": worst}, worst <= BOUND, draw)


def _mix(domains: Mapping[str, int], **changes: object) -> dict[str, Any]:
    difficulties = {
        name: {"token_share": share, "mean_tokens": mean}
        for (name, share), mean in zip(ASKED.items(), ASSUMED, strict=True)
    }
    return {"domains": dict(domains), "difficulties": difficulties, **changes}


def _run(system: RunningSystem, mix: Mapping[str, Any], **changes: object) -> Course:
    """Submit, and look at it until it has succeeded."""
    spec = make_spec(calls=1, questions_per_call=20, mix=mix, models={"generate": dict.fromkeys(ASKED, MODEL)})
    spec = {**spec, "questions_per_call": {"easy": 20, "hard": 2}, **changes}
    job_id = str(system.client.submit(spec)["id"])
    started = time.monotonic()
    looks: list[tuple[float, float]] = []
    while (job := system.client.job(job_id))["state"] == "running":
        seconds = time.monotonic() - started
        assert seconds < 900, f"the job does not end: {job['progress']}"
        measured = job["progress"]["token_shares"]["measured"]
        if sum(measured.values()) > 0:
            looks.append((seconds, measured["hard"]))
        time.sleep(LOOK_SECONDS)
    assert job["state"] == "succeeded", job["reason"]
    seconds = time.monotonic() - started
    looks.append((seconds, job["progress"]["token_shares"]["measured"]["hard"]))
    return Course(looks, system.query(PLANS, {"job_id": job_id}), job["progress"], seconds)


def _draw_split(axes: Axes, courses: Mapping[str, Course]) -> None:
    """The hard share of the tokens that are there, over the time of each job."""
    for arm, course in courses.items():
        times, shares = zip(*course.looks, strict=True)
        part = [seconds / course.seconds * 100 for seconds in times]
        label = f"{arm}, ends at {shares[-1]:.2%}"
        axes.plot(part, [share * 100 for share in shares], color=COLOURS[arm], label=label, linewidth=1.2)
    axes.axhline(ASKED["hard"] * 100, color="black", linestyle="--", linewidth=0.8, label="asked for")
    axes.set_xlabel("% of the job's time")
    axes.set_ylabel("hard, % of the tokens")
    axes.set_xlim(0, 101)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_plans(axes: Axes, courses: Mapping[str, Course]) -> None:
    """The part of the questions that each version of the plan wants to be hard; a mark for each version."""
    for arm, course in courses.items():
        part = [min(100.0, each.seconds / course.seconds * 100) for each in course.plans]
        wanted = [each.hard / each.questions * 100 for each in course.plans]
        axes.step(
            [*part, 100.0], [*wanted, wanted[-1]], where="post", color=COLOURS[arm], marker=".", markersize=5,
            linewidth=1.2, label=f"{arm}, {len(course.plans)} plan{'s' if len(course.plans) > 1 else ''}",
        )  # fmt: skip
    axes.set_xlabel("% of the job's time")
    axes.set_ylabel("hard, % of the questions planned")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
