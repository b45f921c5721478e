"""What pages ask of the API, over HTTP, with a job of 1,000,000 questions, 50,000 batches and 1,000,000 calls."""

import time
from collections.abc import Mapping
from statistics import quantiles
from typing import Any
from uuid import UUID

import httpx2
import psycopg
from matplotlib.figure import Figure

from bench.report import Report, draw_bars, medians
from bench.stocked import CALLS_PER_BATCH, Connection, empty_database, stocking
from shared.database.engine import libpq_url
from shared.jobs.series import MOST_CALLS_READ
from tests.service.api.serving import serving_process

CLAIM = "with 1,000,000 questions and 50,000 batches, every request of a page is answered within 200 ms (p95 of 20)"
BOUND_MS = 200.0
REQUESTS = 20
DOMAINS = [f"domain {n}" for n in range(8)]
DIFFICULTIES = ["easy", "hard"]
CELLS = len(DOMAINS) * len(DIFFICULTIES)
QUESTIONS, BATCHES, JOBS = 1_000_000, 50_000, 100
RUNNING_BESIDE = 10
HOURS = 10
NOBODY = "redis://127.0.0.1:1"

# Ids as they are made where rows are: of the moment, to the millisecond.
ID_AT = """
CREATE FUNCTION pg_temp.id_at(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3)
        || '8' || substr(md5(random()::text), 1, 15))::uuid $$
"""
AGED = """
UPDATE job SET created_at = now() - %(hours)s * interval '1 h',
    spec = spec || '{"stages": ["generate", "validate", "answer"]}'
WHERE id = %(job)s
"""
# Three of five generate; one after the other ended, evenly over the job's time.
PAST_BATCHES = """
INSERT INTO batch (id, job_id, stage, domain, difficulty, number, questions, questions_per_call, first_ordinal, calls,
    state, fence, generated, admitted, rejected, calls_parsed, created_at, hinted_at, finished_at)
SELECT pg_temp.id_at(ends - interval '2 min'), %(job)s, stage, domain, difficulty, 1000 + n, 40, 2, 0, %(calls)s,
    'done', 1, 40, 36, '{"exact": 3, "near": 1}', %(calls)s, ends - interval '2 min', ends - interval '1 min', ends
FROM (
    SELECT n, now() - (%(batches)s - n) * (%(hours)s * interval '1 h') / %(batches)s AS ends,
        (ARRAY['generate', 'generate', 'generate', 'validate', 'answer'])[n %% 5 + 1] AS stage,
        'domain ' || n %% 8 AS domain, CASE WHEN n %% 50 < 10 THEN 'hard' ELSE 'easy' END AS difficulty
    FROM generate_series(1, %(batches)s::int) AS n) AS made
"""
PAST_CALLS = """
INSERT INTO call (id, job_id, batch_id, stage, difficulty, ordinal, attempt, fence, model, prompt, state, outcome, raw,
    input_tokens, output_tokens, worst_usd, cost_usd, sent_at, settled_at, parsed_at, generated, admitted)
SELECT pg_temp.id_at(sent), job_id, id, stage, difficulty, n, 1, 1,
    CASE difficulty WHEN 'easy' THEN 'openai/gpt-6-luna' ELSE 'anthropic/claude-sonnet-5-5' END,
    '{"topic": "fractions", "version": "generate-1-0", "questions": 2}', became,
    CASE became WHEN 'ok' THEN 'ok' ELSE 'overloaded' END, repeat('{"questions": ["How?"]}', 20), 600, 400, 0.01,
    CASE became WHEN 'ok' THEN 0.0012 ELSE 0 END, sent, sent + (0.5 + 3 * random()) * interval '1 s',
    CASE became WHEN 'ok' THEN finished_at END, 2, 1
FROM (
    SELECT batch.*, ordinal AS n, batch.finished_at - (21 - ordinal) * interval '3 s' AS sent,
        CASE WHEN (batch.number + ordinal) %% 33 = 0 THEN 'failed' ELSE 'ok' END AS became
    FROM batch CROSS JOIN generate_series(1, %(calls)s::int) AS ordinal WHERE batch.job_id = %(job)s AND number > 1000
) AS made
"""
# Each of a call, in the order of time; some wait in reserve or were rejected, most are judged and answered.
PAST_QUESTIONS = """
INSERT INTO question (dataset_id, domain, difficulty, text, text_hash, template_hash, signature_version, prompt_tokens,
    completion_tokens, tokenizer, tags, state, reason, validated, answered, job_id, batch_id, call_id, fence, model,
    created_at)
SELECT (SELECT dataset_id FROM job WHERE id = %(job)s), domain, difficulty,
    'How many ' || (ARRAY['hours', 'boxes', 'apples', 'steps', 'tests'])[n %% 5 + 1] || ' does question ' || n ||
        ' take, if each of its parts takes ' || n %% 89 || '?' || repeat(' Think of it step by step.', long),
    decode(md5('question ' || n), 'hex'), n, 1, 18 + 6 * long, 40 + n %% 300, 'o200k_base',
    ARRAY['topic ' || n %% 97, 'form ' || n %% 11],
    CASE WHEN n %% 50 = 0 THEN 'rejected' WHEN n %% 23 = 0 THEN 'reserve' ELSE 'selected' END,
    CASE WHEN n %% 50 = 0 THEN 'ambiguous' END, n %% 50 <> 0, n %% 50 <> 0, job_id, batch_id, id, 1, model, settled_at
FROM (
    SELECT row_number() OVER (ORDER BY call.id, twin) AS n, call.id, call.job_id, call.batch_id, call.difficulty,
        call.model, call.settled_at, batch.domain,
        CASE call.difficulty WHEN 'easy' THEN 0 ELSE 20 + (random() * 60)::int END AS long
    FROM call JOIN batch ON batch.id = call.batch_id CROSS JOIN generate_series(1, 2) AS twin
    WHERE call.job_id = %(job)s AND call.stage = 'generate' AND call.state = 'ok') AS made
WHERE n <= %(questions)s
"""
PAST_REJECTIONS = """
INSERT INTO rejection (job_id, call_id, reason, text, question_id, similarity)
SELECT job_id, call_id, CASE WHEN id %% 4 = 0 THEN 'near' ELSE 'exact' END, text, id, 1
FROM question WHERE job_id = %(job)s AND id %% 10 = 0
"""
# Some questions have what a person wants to look into.
LOOKED_INTO = (
    """INSERT INTO verdict (question_id, model, prompt_version, vote, accepted, scores, reason, job_id, batch_id,
           call_id, fence)
       SELECT id, model, 'validate-1-0', vote, true, '{"clarity": 5}', '', job_id, batch_id, call_id, 1
       FROM question CROSS JOIN generate_series(0, 2) AS vote WHERE job_id = %(job)s AND id %% 30 = 0""",
    """INSERT INTO answer (question_id, model, prompt_version, sample, text, tokens, job_id, batch_id, call_id, fence)
       SELECT id, model, 'answer-1-0', 0, repeat('Twelve. ', 30), 60, job_id, batch_id, call_id, 1
       FROM question WHERE job_id = %(job)s AND id %% 30 = 0""",
)
SPENT = "UPDATE job_budget SET spent_usd = 1000, budget_usd = 2000 WHERE job_id = %(job)s"
ENDED = "UPDATE job SET state = 'succeeded', finished_at = now() WHERE id = ANY (%(ended)s)"


def measure(rounds: int) -> Report:
    """Each round asks each address so often, one after the other, on one connection."""
    with empty_database() as url:
        jobs = stock_past(url)
        with serving_process(url, NOBODY) as (address, _), httpx2.Client(base_url=address, timeout=60) as client:
            asked = addresses(client, *jobs)
            found = [{name: p95_ms(client, path) for name, path in asked.items()} for _ in range(rounds)]
    result = medians(found)

    def draw(figure: Figure) -> None:
        draw_bars(figure, result, label="p95, milliseconds", bound=BOUND_MS)

    return Report(CLAIM, found, result, max(result.values()) <= BOUND_MS, draw)


def stock_past(url: str) -> tuple[UUID, UUID]:
    """Write it all; returns the large job, which is running, and the first of ninety-nine small ones beside it."""
    with stocking(url) as stock:
        [job] = stock.add_jobs(["large"], DOMAINS, DIFFICULTIES)
        small = stock.add_jobs([f"small-{n}" for n in range(1, JOBS)], DOMAINS, DIFFICULTIES)
        stock.add_questions(small, 1, 20)
        stock.add_batches(small[:RUNNING_BESIDE], "leased", 1)
        stock.add_batches(small, "done", 1)
        stock.add_batches([job], "leased", 3)
        # As many calls as a series reads one by one.
        stock.add_batches(small[:1], "done", MOST_CALLS_READ // CALLS_PER_BATCH // CELLS - 1)
        with psycopg.Connection[Any].connect(libpq_url(url), autocommit=True) as conn:
            _write_past(conn, {"job": job, "ended": small[RUNNING_BESIDE:]})
        stock.settle([job], questions_per_cell=QUESTIONS // CELLS)
    return job, small[0]


def _write_past(conn: Connection, about: Mapping[str, object]) -> None:
    sizes = {"hours": HOURS, "batches": BATCHES, "calls": CALLS_PER_BATCH, "questions": QUESTIONS}
    conn.execute(ID_AT)
    many = (AGED, PAST_BATCHES, PAST_CALLS, "ANALYZE", PAST_QUESTIONS, PAST_REJECTIONS, *LOOKED_INTO, SPENT, ENDED)
    for statement in many:
        conn.execute(statement.encode(), {**sizes, **about} if "%" in statement else None)


def addresses(client: httpx2.Client, job: UUID, small: UUID) -> dict[str, str]:
    """What the dashboard's pages ask for, by name."""
    shown = client.get(f"/v1/jobs/{job}").raise_for_status().json()["progress"]
    assert shown["selected"] > 0.9 * QUESTIONS, "the database holds what was written"
    newest = client.get(f"/v1/jobs/{job}/live").raise_for_status().json()["questions"][0]["id"]
    questions, distributions = "/v1/datasets/large/questions?limit=50", "/v1/datasets/large/distributions"
    return {
        "jobs": "/v1/jobs?summary=true&limit=100",
        "job": f"/v1/jobs/{job}",
        "series": f"/v1/jobs/{job}/series",
        "series from the ledger": f"/v1/jobs/{small}/series",
        "live": f"/v1/jobs/{job}/live",
        "limits": "/v1/limits",
        "settings": "/v1/settings/public",
        "batches": f"/v1/jobs/{job}/batches?limit=50",
        "failed calls": f"/v1/jobs/{job}/calls?state=failed&limit=50",
        "rejections": f"/v1/jobs/{job}/rejections?limit=50",
        "rejections, one reason": f"/v1/jobs/{job}/rejections?limit=50&reason=near",
        "datasets": "/v1/datasets",
        "dataset": "/v1/datasets/large",
        "questions": questions,
        "questions of a cell": f"{questions}&domain=domain%203&difficulty=hard",
        "questions rejected": f"{questions}&state=rejected",
        "search, found often": f"{questions}&text=apples",
        "search, found once": f"{questions}&text=question%20{QUESTIONS - 7}%20take",
        "search, never found": f"{questions}&text=nowhere%20to%20be%20found",
        "search in a cell": f"{questions}&domain=domain%203&difficulty=hard&text=nowhere",
        "question": f"/v1/questions/{newest - newest % 30}",
        "distributions": distributions,
        "distributions of a cell": f"{distributions}?domain=domain%203&difficulty=hard",
        "distributions of a domain": f"{distributions}?domain=domain%203",
    }


def p95_ms(client: httpx2.Client, path: str) -> float:
    """The 95th percentile of so many requests, in milliseconds."""
    taken = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        client.get(path).raise_for_status()
        taken.append((time.perf_counter() - began) * 1000)
    return quantiles(taken, n=20, method="inclusive")[18]
