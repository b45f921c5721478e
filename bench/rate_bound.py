"""Four worker processes share one allowance of requests that none of them knows at the start."""

from matplotlib.figure import Figure

from bench.allowance import read_record, requests_of, use_of
from bench.report import Report, draw_bars, medians
from bench.trial import make_spec, run_job, trial

CLAIM = "4 workers, 1,200 requests a minute, told by headers only: >= 97 % used over 2 minutes, <= 1 % refused, 0 lost"
LEAST_SHARE = 0.97
MOST_REFUSED = 0.01
WORKERS = 4
PER_MINUTE = 1200
BURST_SECONDS = 6
SKIP_SECONDS = 10
WINDOW_SECONDS = 120
QUESTIONS = 2
CALLS = 2500
LOST = """
    SELECT COUNT(*) FROM call WHERE job_id = %s AND (state <> 'ok' OR parsed_at IS NULL)
    AND outcome IS DISTINCT FROM 'rate_limited'
"""


def measure(rounds: int) -> Report:
    """One job on a new system a round. Counted from 10 s after the first call on, by the server's record."""
    found = []
    settings = {
        "QUESTMILL_REHEARSAL_RPM": str(PER_MINUTE),
        "QUESTMILL_REHEARSAL_BURST": str(BURST_SECONDS),
        "QUESTMILL_REHEARSAL_LATENCY": "0.5",
    }
    for _ in range(rounds):
        with trial(workers=WORKERS, settings=settings) as system:
            spec = make_spec(calls=CALLS, questions_per_call=QUESTIONS, model="openai/gpt-6-luna")
            ran = run_job(system, spec)
            lost = system.value(LOST, [ran.job["id"]])
            use = use_of(
                read_record(system),
                requests_of,
                per_minute=PER_MINUTE,
                burst_seconds=BURST_SECONDS,
                skip_seconds=SKIP_SECONDS,
                window_seconds=WINDOW_SECONDS,
            )
        found.append({"share_used": use.share, "refused": use.refused, "lost": lost, "calls_in_window": use.calls})
    result = medians(found)
    holds = result["share_used"] >= LEAST_SHARE and result["refused"] <= MOST_REFUSED and result["lost"] == 0

    def draw(figure: Figure) -> None:
        bars = {"used of the allowance": result["share_used"], "refused calls": result["refused"]}
        draw_bars(figure, bars, label="share", bound=LEAST_SHARE)

    notes = [
        f"the server's bucket holds {BURST_SECONDS} s of the rate; what it gave beyond the rate is not counted as used"
    ]
    return Report(CLAIM, found, result, holds, draw, notes)
