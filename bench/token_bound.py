"""A limit of tokens a minute, with estimates that are far above what calls really use."""

from matplotlib.figure import Figure

from bench.allowance import read_record, tokens_of, use_of
from bench.report import Report, draw_bars, medians
from bench.trial import make_spec, run_job, trial
from shared.questions.prompts import max_output_tokens

CLAIM = "bound by tokens a minute, estimates at least twice too high: >= 95 % of the tokens used after settling"
LEAST_SHARE = 0.95
LEAST_OVERESTIMATE = 2.0
WORKERS = 2
PER_MINUTE = 600_000
BURST_SECONDS = 6
SKIP_SECONDS = 15
WINDOW_SECONDS = 90
QUESTIONS = 2
MEAN_TOKENS = 500
CALLS = 640
# Of one call: what its output was allowed to be, as the limiter books it, beside what it was.
ESTIMATES = """
    SELECT avg(input_tokens + output_tokens)::float AS used, avg(output_tokens)::float AS output
    FROM call WHERE job_id = %s AND state = 'ok'
"""


def measure(rounds: int) -> Report:
    """One job on a new system a round. Counted from 15 s after the first call on, by the server's record."""
    found = []
    settings = {
        "QUESTMILL_REHEARSAL_TPM": str(PER_MINUTE),
        "QUESTMILL_REHEARSAL_BURST": str(BURST_SECONDS),
        "QUESTMILL_REHEARSAL_LATENCY": "0.5",
    }
    mix = {
        "domains": {"coding": CALLS * QUESTIONS},
        "difficulties": {"hard": {"token_share": 1, "mean_tokens": MEAN_TOKENS}},
    }
    model = "openai/gpt-6-luna"
    for _ in range(rounds):
        with trial(workers=WORKERS, settings=settings) as system:
            spec = make_spec(
                calls=CALLS,
                questions_per_call=QUESTIONS,
                mix=mix,
                models={"generate": {"hard": model}},
            )
            spec["questions_per_call"] = {"hard": QUESTIONS}
            ran = run_job(system, spec)
            [row] = system.query(ESTIMATES, [ran.job["id"]])
            use = use_of(
                read_record(system),
                tokens_of,
                per_minute=PER_MINUTE,
                burst_seconds=BURST_SECONDS,
                skip_seconds=SKIP_SECONDS,
                window_seconds=WINDOW_SECONDS,
            )
        estimate = row.used - row.output + max_output_tokens(QUESTIONS, MEAN_TOKENS)
        found.append(
            {
                "share_used": use.share,
                "refused": use.refused,
                "estimate_over_use": estimate / row.used,
                "calls_in_window": use.calls,
            }
        )
    result = medians(found)
    holds = result["share_used"] >= LEAST_SHARE and result["estimate_over_use"] >= LEAST_OVERESTIMATE

    def draw(figure: Figure) -> None:
        bars = {"used of the tokens allowed": result["share_used"], "refused calls": result["refused"]}
        draw_bars(figure, bars, label="share", bound=LEAST_SHARE)

    return Report(CLAIM, found, result, holds, draw)
