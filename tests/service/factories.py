"""Rows that a test needs around the thing it tests, with every column that is not its business filled in."""

from collections.abc import Sequence

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.admission import Admission, Candidate, CandidateReply, admit
from shared.corpus.fingerprint import fingerprint_many
from shared.database.fence import Hold
from shared.database.states import BatchState, JobState, Stage
from shared.database.tables import answer, batch, dataset, job, job_budget, question, verdict
from shared.ids import BatchId, CallId, DatasetId, JobId, QuestionId, new_batch_id, new_call_id, new_job_id
from shared.planning.mix import Cell
from shared.questions.judging import CRITERIA
from shared.questions.tokens import count_tokens

CELL = Cell("math", "easy")
MODEL = "openai/gpt-6-luna"


async def make_dataset(conn: AsyncConnection, name: str) -> DatasetId:
    """An empty dataset."""
    made = await conn.execute(insert(dataset).values(name=name).returning(dataset.c.id))
    return DatasetId(made.scalar_one())


async def make_job(conn: AsyncConnection, dataset_id: DatasetId, *, budget_usd: float = 100) -> JobId:
    """A running job with a budget; its spec is empty."""
    job_id = new_job_id()
    await conn.execute(
        insert(job).values(
            id=job_id, dataset_id=dataset_id, state=JobState.RUNNING, spec={}, seed=1, request_hash=b"made by a test"
        )
    )
    await conn.execute(insert(job_budget).values(job_id=job_id, budget_usd=budget_usd))
    return job_id


async def make_batch(
    conn: AsyncConnection, job_id: JobId, *, cell: Cell = CELL, questions: int = 400, questions_per_call: int = 20
) -> BatchId:
    """A pending batch, numbered behind the others of its cell; its prompt tuples begin where theirs end."""
    batch_id = new_batch_id()
    same_cell = (batch.c.job_id == job_id, batch.c.domain == cell.domain, batch.c.difficulty == cell.difficulty)
    others = (await conn.execute(select(func.count()).select_from(batch).where(*same_cell))).scalar_one()
    calls = -(-questions // questions_per_call)
    await conn.execute(
        insert(batch).values(
            id=batch_id,
            job_id=job_id,
            stage=Stage.GENERATE,
            domain=cell.domain,
            difficulty=cell.difficulty,
            number=others + 1,
            questions=questions,
            questions_per_call=questions_per_call,
            first_ordinal=others * calls,
            calls=calls,
        )
    )
    return batch_id


async def lease_batch(conn: AsyncConnection, batch_id: BatchId, *, seconds: float = 60, worker: str = "a test") -> Hold:
    """Hold a batch as its newest holder, whoever held it before."""
    leased = await conn.execute(
        text("""
            UPDATE batch SET state = :state, fence = batch.fence + 1, attempts = attempts + 1, worker = :worker,
                lease_until = clock_timestamp() + make_interval(secs => :seconds)
            FROM job WHERE batch.id = :batch_id AND job.id = batch.job_id
            RETURNING batch.job_id, job.dataset_id, batch.fence
        """),
        {"state": BatchState.LEASED.value, "worker": worker, "seconds": seconds, "batch_id": batch_id},
    )
    row = leased.one()
    return Hold(JobId(row.job_id), DatasetId(row.dataset_id), batch_id, row.fence)


async def make_hold(conn: AsyncConnection, name: str, *, cell: Cell = CELL) -> Hold:
    """A held batch of a running job of a new dataset."""
    job_id = await make_job(conn, await make_dataset(conn, name))
    return await lease_batch(conn, await make_batch(conn, job_id, cell=cell))


def make_candidates(*texts: str, tags: tuple[str, ...] = ()) -> list[Candidate]:
    """Candidates as a worker makes them of the questions of a reply."""
    return [
        Candidate(each, count_tokens(each), tags, its) for each, its in zip(texts, fingerprint_many(texts), strict=True)
    ]


async def admit_reply(
    conn: AsyncConnection,
    hold: Hold,
    *texts: str,
    cell: Cell = CELL,
    call_id: CallId | None = None,
    tags: tuple[str, ...] = (),
    flawed: Sequence[tuple[str, str]] = (),
    template_cap: int = 5,
) -> Admission:
    """Admit one reply with these questions; the hold must be confirmed before."""
    candidates = make_candidates(*texts, tags=tags)
    reply = CandidateReply(hold, cell, call_id or new_call_id(), MODEL, candidates, flawed)
    [admission] = await admit(conn, hold.dataset_id, [reply], template_cap=template_cap)
    return admission


async def set_spec(conn: AsyncConnection, job_id: JobId, **spec: object) -> None:
    """Let a job of `make_job` have been asked for something."""
    await conn.execute(update(job).where(job.c.id == job_id).values(spec=spec))


async def add_answer(
    conn: AsyncConnection,
    hold: Hold,
    question_id: QuestionId,
    said: str,
    *,
    model: str = MODEL,
    sample: int = 0,
    version: str = "answer-1-0",
    call_id: CallId | None = None,
) -> None:
    """An answer as a worker stores it; the question is marked as answered."""
    tokens = count_tokens(said)
    origin = {"job_id": hold.job_id, "batch_id": hold.batch_id, "call_id": call_id or new_call_id()}
    place = {"question_id": question_id, "model": model, "sample": sample, "prompt_version": version}
    await conn.execute(insert(answer).values(**place, **origin, fence=hold.fence, text=said, tokens=tokens))
    done = {"answered": True, "completion_tokens": tokens}
    await conn.execute(update(question).where(question.c.id == question_id).values(**done))


async def add_verdict(
    conn: AsyncConnection,
    hold: Hold,
    question_id: QuestionId,
    *,
    vote: int = 0,
    model: str = MODEL,
    version: str = "validate-1-0",
    call_id: CallId | None = None,
    least: int = 4,
    reason: str = "",
    **scores: int,
) -> None:
    """A verdict as a worker stores it; what is not said of the scores is 5. The question is left as it is."""
    whole = dict.fromkeys(CRITERIA, 5) | scores
    origin = {"job_id": hold.job_id, "batch_id": hold.batch_id, "call_id": call_id or new_call_id()}
    place = {"question_id": question_id, "model": model, "vote": vote, "prompt_version": version}
    accepted = min(whole.values()) >= least
    said = {"accepted": accepted, "scores": whole, "reason": reason, "fence": hold.fence}
    await conn.execute(insert(verdict).values(**place, **origin, **said))
