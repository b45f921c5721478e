"""The one transaction that takes candidates into a dataset.

Promise 2: no two questions of a dataset are equal, and none that is admitted is near-equal to another. Writers of
one dataset take turns at an advisory lock; what they compare against is fetched after they hold it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.duplicates import Refusal, judge
from shared.corpus.fingerprint import SIGNATURE_VERSION, Fingerprint
from shared.corpus.lookup import find_exact, find_known
from shared.database.fence import Hold
from shared.database.states import QuestionState
from shared.ids import CallId, DatasetId, JobId, QuestionId
from shared.planning.mix import Cell
from shared.questions.tokens import TOKENIZER

# The class of the advisory locks of admission; the second key is the dataset's id.
ADMISSION_LOCK_CLASS = 734_602
# A statement of its own: under READ COMMITTED the next one then sees all that the holder before committed. A SELECT
# that takes the lock itself has its snapshot from before the wait.
LOCK_DATASET = text("SELECT pg_advisory_xact_lock(:lock_class, :dataset_id)")

# The unique index is the last wall: what runs into it (a baseline imported meanwhile, say) counts as exact.
INSERT_QUESTIONS = text("""
    INSERT INTO question (
        dataset_id, domain, difficulty, text, text_hash, template_hash, signature_version, prompt_tokens, tokenizer,
        tags, state, job_id, batch_id, call_id, fence, model
    )
    SELECT
        :dataset_id, :domain, :difficulty, fresh.text, fresh.text_hash, fresh.template_hash, :signature_version,
        fresh.prompt_tokens, :tokenizer, ARRAY(SELECT jsonb_array_elements_text(CAST(fresh.tags AS jsonb))), :state,
        :job_id, :batch_id, :call_id, :fence, :model
    FROM unnest(
        CAST(:texts AS text[]), CAST(:hashes AS bytea[]), CAST(:templates AS bigint[]), CAST(:prompt_tokens AS int[]),
        CAST(:tags AS text[])
    ) AS fresh (text, text_hash, template_hash, prompt_tokens, tags)
    ON CONFLICT (dataset_id, text_hash) DO NOTHING
    RETURNING text_hash, id
""")

INSERT_BANDS = text("""
    INSERT INTO question_band (dataset_id, band, question_id)
    SELECT :dataset_id, fresh.band, fresh.question_id
    FROM unnest(CAST(:bands AS bigint[]), CAST(:question_ids AS bigint[])) AS fresh (band, question_id)
""")

INSERT_REJECTIONS = text("""
    INSERT INTO rejection (job_id, call_id, reason, text, question_id, similarity)
    SELECT :job_id, :call_id, refused.reason, refused.text, refused.question_id, refused.similarity
    FROM unnest(
        CAST(:reasons AS text[]), CAST(:texts AS text[]), CAST(:question_ids AS bigint[]),
        CAST(:similarities AS numeric[])
    ) AS refused (reason, text, question_id, similarity)
""")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A question parsed from a reply, fingerprinted before the transaction begins."""

    text: str
    prompt_tokens: int
    tags: tuple[str, ...]
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class Refused:
    """A candidate that was not admitted, and the question that it repeats, where there is one."""

    candidate: Candidate
    reason: Refusal
    question_id: QuestionId | None
    similarity: float | None


@dataclass(frozen=True, slots=True)
class Admission:
    """The outcome of one admission; each candidate is in one of the two, in the order given."""

    admitted: tuple[QuestionId, ...]
    refused: tuple[Refused, ...]


async def admit(
    conn: AsyncConnection,
    hold: Hold,
    *,
    cell: Cell,
    call_id: CallId,
    model: str,
    candidates: Sequence[Candidate],
    template_cap: int,
) -> Admission:
    """Insert what is new, with its provenance, and record what is refused.

    Runs inside the caller's READ COMMITTED transaction, after `confirm_hold`; other admissions to the dataset wait
    from here until that commits. At most `template_cap` questions differ in nothing but numbers.
    """
    if not candidates:
        return Admission((), ())
    await lock_dataset(conn, hold.dataset_id)
    texts, prints = [each.text for each in candidates], [each.fingerprint for each in candidates]
    known = await find_known(conn, hold.dataset_id, prints, template_cap)
    verdicts = judge(texts, prints, known, template_cap=template_cap)

    provenance = {
        "domain": cell.domain,
        "difficulty": cell.difficulty,
        "job_id": hold.job_id,
        "batch_id": hold.batch_id,
        "call_id": call_id,
        "fence": hold.fence,
        "model": model,
    }
    fresh = [each for each, verdict in zip(candidates, verdicts, strict=True) if verdict.refusal is None]
    admitted = await _insert(conn, hold.dataset_id, provenance, fresh) if fresh else {}
    ids = dict(admitted)
    if taken := [each.fingerprint.text_hash for each in fresh if each.fingerprint.text_hash not in admitted]:
        ids |= await find_exact(conn, hold.dataset_id, taken)

    refused = []
    for candidate, verdict in zip(candidates, verdicts, strict=True):
        text_hash = candidate.fingerprint.text_hash
        if verdict.refusal is not None:
            repeated = verdict.question_id
            if verdict.repeats is not None:
                repeated = ids.get(prints[verdict.repeats].text_hash)
            refused.append(Refused(candidate, verdict.refusal, repeated, verdict.similarity))
        elif text_hash not in admitted:
            refused.append(Refused(candidate, Refusal.EXACT, ids.get(text_hash), 1.0))
    await _record(conn, hold.job_id, call_id, refused)
    in_order = [admitted[each.fingerprint.text_hash] for each in fresh if each.fingerprint.text_hash in admitted]
    return Admission(tuple(in_order), tuple(refused))


async def lock_dataset(conn: AsyncConnection, dataset_id: DatasetId) -> None:
    """Let nobody else admit to the dataset until this transaction ends."""
    await conn.execute(LOCK_DATASET, {"lock_class": ADMISSION_LOCK_CLASS, "dataset_id": dataset_id})


async def record_refusals(
    conn: AsyncConnection, job_id: JobId, call_id: CallId, refusals: Sequence[tuple[str, str]]
) -> None:
    """Record candidates that were refused before admission, each as (reason, text)."""
    if not refusals:
        return
    nobody = [None] * len(refusals)
    columns = {"question_ids": nobody, "similarities": nobody}
    reasons, texts = [reason for reason, _ in refusals], [_storable(refused) for _, refused in refusals]
    await conn.execute(
        INSERT_REJECTIONS, {"job_id": job_id, "call_id": call_id, "reasons": reasons, "texts": texts, **columns}
    )


async def _record(conn: AsyncConnection, job_id: JobId, call_id: CallId, refused: Sequence[Refused]) -> None:
    if not refused:
        return
    await conn.execute(
        INSERT_REJECTIONS,
        {
            "job_id": job_id,
            "call_id": call_id,
            "reasons": [each.reason.value for each in refused],
            "texts": [each.candidate.text for each in refused],
            "question_ids": [each.question_id for each in refused],
            "similarities": [each.similarity for each in refused],
        },
    )


def _storable(text_: str) -> str:
    """Postgres holds neither NUL nor lone surrogates, for which a text may have been refused."""
    return text_.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


async def _insert(
    conn: AsyncConnection, dataset_id: DatasetId, provenance: Mapping[str, object], fresh: Sequence[Candidate]
) -> dict[bytes, QuestionId]:
    """The ids of the questions inserted, by text hash."""
    rows = await conn.execute(
        INSERT_QUESTIONS,
        {
            **provenance,
            "dataset_id": dataset_id,
            "signature_version": SIGNATURE_VERSION,
            "tokenizer": TOKENIZER,
            "state": QuestionState.SELECTED.value,
            "texts": [each.text for each in fresh],
            "hashes": [each.fingerprint.text_hash for each in fresh],
            "templates": [each.fingerprint.template_hash for each in fresh],
            "prompt_tokens": [each.prompt_tokens for each in fresh],
            "tags": [json.dumps(each.tags) for each in fresh],
        },
    )
    ids = {bytes(text_hash): QuestionId(question_id) for text_hash, question_id in rows}
    bands = [
        (band, ids[each.fingerprint.text_hash])
        for each in fresh
        if each.fingerprint.text_hash in ids
        for band in each.fingerprint.bands
    ]
    await conn.execute(
        INSERT_BANDS,
        {
            "dataset_id": dataset_id,
            "bands": [band for band, _ in bands],
            "question_ids": [question_id for _, question_id in bands],
        },
    )
    return ids
