"""What keeps a job finding new questions: its yield with everything, and with one thing taken out at a time.

The models are those of the rehearsal server, whose pools are set so that one fixed prompt runs dry as a real GPT-4 set
did (DESIGN, "Novelty"). What it assumes beyond that stands in local/rehearsal/pools.py; `shallow` assumes less.
"""

from collections.abc import Mapping
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from bench.report import Report, draw_bars
from bench.trial import make_spec, run_job, trial
from local.rehearsal.pools import DEFAULT_POOL_SIZE
from tests.faults.system import RunningSystem

CLAIM = "44,000 easy questions, pools like those of a GPT-4 set: yield >= 0.93 with atlas and controller"
LEAST_YIELD = 0.93
DOMAINS = {
    **dict.fromkeys(("coding", "math", "tool use", "reasoning"), 7_500),
    **dict.fromkeys(("reading", "summarization", "common sense", "instruction"), 3_500),
}
MODEL = "openai/gpt-6-luna"
# A tenth of what the pools hold: what the controller is for.
SHALLOW = DEFAULT_POOL_SIZE // 10
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
SHALLOW_ARMS = ("everything", "without the controller", "one fixed prompt")


def measure(rounds: int) -> Report:
    """Each arm is a job of its own on one system; the same again on pools a tenth as deep for some of them."""
    found: list[dict[str, float]] = []
    with trial(workers=2) as system:
        for _ in range(rounds):
            measured: dict[str, float] = {}
            for name, changes in ARMS.items():
                measured |= _run(system, name, changes)
            system.rehearse("pools", size=SHALLOW)
            for name in SHALLOW_ARMS:
                measured |= _run(system, f"shallow: {name}", ARMS[name])
            system.rehearse("pools", size=DEFAULT_POOL_SIZE)
            found.append(measured)
    result = {name: median(each[name] for each in found) for name in found[0]}
    yields = {name.removesuffix(", yield"): value for name, value in result.items() if name.endswith(", yield")}

    def draw(figure: Figure) -> None:
        draw_bars(figure, yields, label="admitted / generated", bound=LEAST_YIELD)

    return Report(CLAIM, found, result, result["everything, yield"] >= LEAST_YIELD, draw)


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
