"""What keeps a job finding new questions: its yield with everything, and with one thing taken out at a time.

The models are those of the rehearsal server, whose pools are set so that one fixed prompt runs dry as a real GPT-4 set
did (DESIGN, "Novelty"). What it assumes beyond that stands in local/rehearsal/pools.py; `uneven` assumes other pools.
"""

from collections.abc import Mapping
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from bench.report import Report, draw_bars
from bench.trial import make_spec, run_job, trial
from local.rehearsal.pools import DEFAULT_POOL_SIZE, DEPTH_SPREAD
from tests.faults.system import RunningSystem

CLAIM = "44,000 easy questions, pools like those of a GPT-4 set: yield >= 0.93 with atlas and controller"
LEAST_YIELD = 0.93
DOMAINS = {
    **dict.fromkeys(("coding", "math", "tool use", "reasoning"), 7_500),
    **dict.fromkeys(("reading", "summarization", "common sense", "instruction"), 3_500),
}
MODEL = "openai/gpt-6-luna"
# A twentieth of what pools hold, and of one topic a hundred times more than of another: there the controller counts.
UNEVEN = {"size": DEFAULT_POOL_SIZE // 20, "depth_spread": 2.5}
EVEN = {"size": DEFAULT_POOL_SIZE, "depth_spread": DEPTH_SPREAD}
NO_CAP = 1_000_000

_FIXED: Mapping[str, Any] = {
    "atlas": {
        domain: {"topics": {domain: [domain]}, "forms": {"easy": ["question"]}, "settings": ["any"]}
        for domain in DOMAINS
    }
}
ARMS: Mapping[str, Mapping[str, Any]] = {
    "everything": {},
    "without the atlas": _FIXED,
    "without content": {"novelty": {"inject": False}},
    "without the controller": {"novelty": {"steer": False}},
    "without the template cap": {"novelty": {"template_cap": NO_CAP}},
    "one fixed prompt": {**_FIXED, "novelty": {"inject": False, "steer": False}},
}
UNEVEN_ARMS = ("everything", "without the controller", "one fixed prompt")
# One narrow subject, over and over: where models change nothing but the numbers.
NARROW: Mapping[str, Any] = {"math": {"topics": {"percentages": ["percentage of a quantity"]}, "settings": ["any"]}}
CAPS = (1, 5, 20, NO_CAP)


LARGEST_TEMPLATE = """
    SELECT max(n) AS largest FROM (
        SELECT count(*) AS n FROM question WHERE job_id = %(job_id)s GROUP BY template_hash) AS counted
"""


def measure(rounds: int) -> Report:
    """Each arm is a job of its own on one system; some again on uneven pools, and one narrow subject for the cap."""
    found: list[dict[str, float]] = []
    with trial(workers=2) as system:
        for _ in range(rounds):
            measured: dict[str, float] = {}
            for name, changes in ARMS.items():
                measured |= _run(system, name, changes)
            for cap in CAPS:
                measured |= _run_narrow(system, cap)
            system.rehearse("pools", **UNEVEN)
            for name in UNEVEN_ARMS:
                measured |= _run(system, f"uneven: {name}", ARMS[name])
            system.rehearse("pools", **EVEN)
            found.append(measured)
    result = {name: median(each[name] for each in found) for name in found[0]}
    yields = {name.removesuffix(", yield"): value for name, value in result.items() if name.endswith(", yield")}

    def draw(figure: Figure) -> None:
        draw_bars(figure, yields, label="admitted / generated", bound=LEAST_YIELD)

    return Report(CLAIM, found, result, result["everything, yield"] >= LEAST_YIELD, draw)


def _run_narrow(system: RunningSystem, cap: int) -> dict[str, float]:
    """2,000 questions about one subtopic: the yield, and how often the commonest template stands among them."""
    spec = make_spec(
        calls=1,
        questions_per_call=20,
        model=MODEL,
        mix={"domains": {"math": 2_000}, "difficulties": {"easy": {"token_share": 1, "mean_tokens": 15}}},
        atlas=NARROW,
        novelty={"template_cap": cap, "inject": False},
    )
    ran = run_job(system, spec)
    [row] = system.query(LARGEST_TEMPLATE, {"job_id": ran.job["id"]})
    name = "narrow, no cap" if cap == NO_CAP else f"narrow, cap {cap}"
    refused = float(ran.job["progress"]["rejected"].get("template cap", 0))
    return {
        f"{name}, yield": ran.job["progress"]["yield"],
        f"{name}, template cap": refused,
        f"{name}, largest template": float(row.largest),
    }


def _run(system: RunningSystem, name: str, changes: Mapping[str, Any]) -> dict[str, float]:
    mix = {"domains": DOMAINS, "difficulties": {"easy": {"token_share": 1, "mean_tokens": 15}}}
    ran = run_job(system, make_spec(calls=1, questions_per_call=20, model=MODEL, mix=mix, **changes))
    progress = ran.job["progress"]
    reasons = progress["rejected"]
    told = {
        "yield": progress["yield"],
        "calls": float(progress["calls"]["sent"]),
        **{reason: float(reasons.get(reason, 0)) for reason in ("exact", "near", "template cap")},
        "other refusals": float(
            sum(count for reason, count in reasons.items() if reason not in {"exact", "near", "template cap"})
        ),
        "seconds": ran.seconds,
    }
    cells = system.client.novelty(ran.job["id"])["cells"]
    if all(cell["topics"] for cell in cells):
        told |= {f"topics {state}": float(sum(cell["topics"][state] for cell in cells)) for state in cells[0]["topics"]}
    return {f"{name}, {what}": value for what, value in told.items()}
