"""A database of its own with a past: jobs, ended batches, calls and questions, written by set-based SQL."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from local.postgres import EmbeddedPostgres
from local.process import start_tethered
from shared.database.engine import engine_for, libpq_url
from shared.database.tally import fold_changes
from tests.faults.system import ROOT, wait_until

Connection = psycopg.Connection[Any]
CALLS_PER_BATCH = 20

JOBS = """
INSERT INTO job (id, dataset_id, spec, seed, request_hash)
SELECT gen_random_uuid(), id, '{"questions_per_call": {"easy": 20, "hard": 2}, "models": {}}', 1, ''
FROM dataset WHERE id = ANY (%(datasets)s) RETURNING id
"""
OF_JOBS = (
    """INSERT INTO job_plan (job_id, version, plan, reason)
       SELECT id, 1, '{"totals": {"token_shares": {}}}', 'submitted' FROM job WHERE id = ANY (%(jobs)s)""",
    "INSERT INTO job_budget (job_id, budget_usd) SELECT id, 1000 FROM job WHERE id = ANY (%(jobs)s)",
    """INSERT INTO job_cell (job_id, domain, difficulty, target, mean_tokens)
       SELECT job.id, domain, difficulty, 0, 20 FROM job
       CROSS JOIN unnest(%(domains)s::text[]) AS domain CROSS JOIN unnest(%(difficulties)s::text[]) AS difficulty
       WHERE job.id = ANY (%(jobs)s)""",
)
BATCHES = """
INSERT INTO batch (id, job_id, stage, domain, difficulty, number, questions, questions_per_call, first_ordinal, calls,
    state, fence, generated, admitted, rejected, repaired, calls_parsed, hinted_at, lease_until, finished_at)
SELECT gen_random_uuid(), job_id, 'generate', domain, difficulty, old.number + new.number,
    per_call * %(calls)s, per_call, 0, %(calls)s, %(state)s, CASE WHEN %(state)s = 'pending' THEN 0 ELSE 1 END,
    CASE WHEN %(state)s = 'done' THEN per_call * %(calls)s ELSE 0 END,
    CASE WHEN %(state)s = 'done' THEN per_call * %(calls)s * 19 / 20 ELSE 0 END,
    CASE WHEN %(state)s = 'done' THEN '{"exact": 1, "near": 1}'::jsonb ELSE '{}' END,
    CASE WHEN %(state)s = 'done' THEN '{"code fence": 1}'::jsonb ELSE '{}' END,
    CASE WHEN %(state)s = 'done' THEN %(calls)s ELSE 0 END,
    clock_timestamp(),
    CASE WHEN %(state)s = 'leased' THEN clock_timestamp() + interval '1 h' END,
    CASE WHEN %(state)s = 'done' THEN clock_timestamp() - interval '1 h' END
FROM (
    SELECT job_id, domain, difficulty, CASE difficulty WHEN 'easy' THEN 20 ELSE 2 END AS per_call,
        (SELECT COALESCE(MAX(number), 0) FROM batch WHERE batch.job_id = job_cell.job_id
         AND batch.domain = job_cell.domain AND batch.difficulty = job_cell.difficulty) AS number
    FROM job_cell WHERE job_id = ANY (%(jobs)s)) AS old
CROSS JOIN generate_series(1, %(each)s::int) AS new (number)
"""
CALLS = """
INSERT INTO call (id, job_id, batch_id, ordinal, attempt, fence, model, prompt, state, outcome, raw, input_tokens,
    output_tokens, worst_usd, cost_usd, settled_at, parsed_at, generated, admitted)
SELECT gen_random_uuid(), batch.job_id, batch.id, ordinal, 1, 1, 'openai/gpt-6-luna', '{}', 'ok', 'ok', '{}', 600, 400,
    0, 0, batch.finished_at, batch.finished_at, questions_per_call, questions_per_call
FROM batch CROSS JOIN generate_series(1, batch.calls) AS ordinal
WHERE batch.job_id = ANY (%(jobs)s) AND batch.state = 'done'
  AND NOT EXISTS (SELECT FROM call WHERE call.batch_id = batch.id)
"""
QUESTIONS = """
INSERT INTO question (dataset_id, domain, difficulty, text, text_hash, template_hash, signature_version, prompt_tokens,
    tokenizer)
SELECT job.dataset_id, domain, difficulty, 'How many hours does question ' || n || ' take if each takes an hour?',
    decode(md5(job.dataset_id || domain || difficulty || n), 'hex'), n, 1, 15, 'o200k_base'
FROM job JOIN job_cell ON job_cell.job_id = job.id CROSS JOIN generate_series(%(first)s::int, %(last)s::int) AS n
WHERE job.id = ANY (%(jobs)s)
"""
# As busy as 60 calls a second: the batches of the last minute, and their calls. Reading asks for what is later than a
# time, so a time to come keeps it as busy for as long as a measure takes.
BUSY = (
    """UPDATE batch SET finished_at = clock_timestamp() + interval '1 h' WHERE id IN (
           SELECT id FROM batch WHERE job_id = ANY (%(jobs)s) AND state = 'done' ORDER BY number DESC LIMIT 180)""",
    """UPDATE call SET parsed_at = batch.finished_at FROM batch
       WHERE call.batch_id = batch.id AND batch.job_id = ANY (%(jobs)s) AND batch.finished_at > clock_timestamp()""",
)
# Folding all of a past at once leaves more old rows behind than folding it as it came: as tallies are in use, with room
# for two of each row.
WORN = (
    "VACUUM (FULL) question_tally, batch_tally, call_tally",
    "UPDATE question_tally SET questions = questions",
    "UPDATE batch_tally SET n = n",
    "VACUUM (ANALYZE)",
)
# What is missing is on its way: a tick finds nothing to make.
AIM = "UPDATE job_cell SET target = %(target)s WHERE job_id = ANY (%(jobs)s)"
MISSING_PER_CELL = 100


@contextmanager
def empty_database() -> Iterator[str]:
    """The URL of a migrated database on a Postgres of its own, as `./run up` starts it."""
    with tempfile.TemporaryDirectory(prefix="questmill-bench-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.prepare()
        command = server.command()
        process = start_tethered(command, Path(folder) / "postgres.log")
        try:
            wait_until(server.is_ready, "Postgres")
            server.create_database()
            migrate = [sys.executable, "-m", "alembic", "upgrade", "head"]
            environment = {**os.environ, "DATABASE_URL": server.url(), "PYTHONPATH": str(ROOT)}
            subprocess.run(migrate, check=True, cwd=ROOT, env=environment)
            yield server.url()
        finally:
            process.send_signal(command.death_signal)
            process.wait(60)


class Stock:
    """Writes a past into a database, through its triggers like everybody else."""

    def __init__(self, conn: Connection, database_url: str) -> None:
        self._conn = conn
        self._database_url = database_url

    def add_jobs(self, names: Sequence[str], domains: Sequence[str], difficulties: Sequence[str]) -> list[UUID]:
        """A running job for a new dataset of each name, with a cell of each domain and difficulty."""
        named = self._conn.execute(
            "INSERT INTO dataset (name) SELECT unnest(%s::text[]) RETURNING id", [list(names)]
        ).fetchall()
        made = self._conn.execute(JOBS, {"datasets": [row[0] for row in named]}).fetchall()
        jobs = [UUID(str(row[0])) for row in made]
        for statement in OF_JOBS:
            self._run(statement, jobs, domains=list(domains), difficulties=list(difficulties))
        return jobs

    def add_batches(self, jobs: Sequence[UUID], state: str, each: int, *, with_calls: bool = True) -> None:
        """So many more batches of a state for each cell; an ended one has all its calls, where these are wanted."""
        self._run(BATCHES, jobs, state=state, each=each, calls=CALLS_PER_BATCH)
        if with_calls:
            self._run(CALLS, jobs)

    def add_questions(self, jobs: Sequence[UUID], first: int, last: int) -> None:
        """Questions number `first` to `last` of each cell."""
        self._run(QUESTIONS, jobs, first=first, last=last)

    def settle(self, jobs: Sequence[UUID], *, questions_per_cell: int, busy: bool = False) -> None:
        """Let the jobs need nothing, and the database rest: what has come is folded, vacuumed and analysed."""
        self._run(AIM, jobs, target=questions_per_cell + MISSING_PER_CELL)
        for statement in BUSY if busy else ():
            self._run(statement, jobs)
        asyncio.run(_fold(self._database_url))
        for statement in WORN:
            self._conn.execute(statement)

    def _run(self, statement: str, jobs: Sequence[UUID], **values: object) -> None:
        self._conn.execute(statement.encode(), {"jobs": list(jobs), **values})


@contextmanager
def stocking(database_url: str) -> Iterator[Stock]:
    """A Stock on a connection of its own."""
    with psycopg.Connection[Any].connect(libpq_url(database_url), autocommit=True) as conn:
        yield Stock(conn, database_url)


async def _fold(database_url: str) -> None:
    async with engine_for(database_url, application="questmill-bench") as engine:
        await fold_changes(engine)
