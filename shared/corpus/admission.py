"""The one transaction that takes candidates into a dataset, of one reply or of several.

Promise 2: no two questions of a dataset are equal, and none that is admitted is near-equal to another. Writers of
one dataset take turns at an advisory lock; what they compare against is fetched after they hold it. An import takes no
turns: it has the dataset's row to itself, and no job is unfinished then. Who admits for a job that may have ended holds
the row before anything else: at its foreign key it would wait too late.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.benchmarks import find_matches, is_guarded
from shared.corpus.contamination import Match
from shared.corpus.duplicates import Refusal, judge
from shared.corpus.fingerprint import SIGNATURE_VERSION, Fingerprint
from shared.corpus.grams import Trace, trace
from shared.corpus.lookup import find_exact, find_known
from shared.corpus.minhash import BANDS, SKETCH_BITS
from shared.database.fence import Hold
from shared.database.parameters import bit_string, int_array, json_rows
from shared.database.states import QuestionState
from shared.ids import CallId, DatasetId, QuestionId
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
        tags, state, job_id, batch_id, call_id, fence, model, sketch, prompt_version
    )
    SELECT
        :dataset_id, reply.domain, reply.difficulty, fresh.text, fresh.text_hash, fresh.template_hash,
        :signature_version, fresh.prompt_tokens, :tokenizer, fresh.tags, :state, reply.job_id, reply.batch_id,
        reply.call_id, reply.fence, reply.model, fresh.sketch, reply.prompt_version
    FROM json_to_recordset(CAST(:fresh AS json)) AS fresh (
        place int, reply int, text text, text_hash bytea, template_hash bigint, sketch bit(120), prompt_tokens int,
        tags text[])
    JOIN json_to_recordset(CAST(:replies AS json)) AS reply (
        number int, domain text, difficulty text, job_id uuid, batch_id uuid, call_id uuid, fence int, model text,
        prompt_version text)
        ON reply.number = fresh.reply
    ORDER BY fresh.place
    ON CONFLICT (dataset_id, text_hash) DO NOTHING
    RETURNING text_hash, id
""")

# Each question's bands follow those of the question before.
INSERT_BANDS = text("""
    INSERT INTO question_band (dataset_id, band, question_id)
    SELECT :dataset_id, fresh.band, ids.id
    FROM unnest(CAST(:bands AS bigint[])) WITH ORDINALITY AS fresh (band, place)
    JOIN unnest(CAST(:question_ids AS bigint[])) WITH ORDINALITY AS ids (id, place)
        ON ids.place = (fresh.place - 1) / :bands_each + 1
""")

INSERT_REJECTIONS = text("""
    INSERT INTO rejection (job_id, call_id, reason, text, question_id, similarity, matched)
    SELECT * FROM json_to_recordset(CAST(:refused AS json)) AS refused (
        job_id uuid, call_id uuid, reason text, text text, question_id bigint, similarity numeric, matched text)
""")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A question parsed from a reply, fingerprinted before the transaction begins."""

    text: str
    prompt_tokens: int
    tags: tuple[str, ...]
    fingerprint: Fingerprint
    trace: Trace | None = None  # made beforehand where benchmarks are known to guard the dataset


@dataclass(frozen=True, slots=True)
class CandidateReply:
    """The candidates of one reply, and where they come from. `flawed` were refused already: (reason, text)."""

    hold: Hold
    cell: Cell
    call_id: CallId
    model: str
    candidates: Sequence[Candidate]
    flawed: Sequence[tuple[str, str]] = ()
    prompt_version: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A candidate that was not admitted, and the question that it repeats or the benchmark's item that it is like."""

    candidate: Candidate
    reason: Refusal
    question_id: QuestionId | None
    similarity: float | None
    match: Match | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """The outcome for one reply; each candidate is in one of the two, in the order given.

    `guarded`: candidates were compared with benchmarks, so that the next ones had better be traced beforehand.
    """

    admitted: tuple[QuestionId, ...]
    refused: tuple[Refused, ...]
    guarded: bool = False


async def admit(
    conn: AsyncConnection,
    dataset_id: DatasetId,
    replies: Sequence[CandidateReply],
    *,
    template_cap: int,
    state: QuestionState = QuestionState.SELECTED,
) -> list[Admission]:
    """Insert what is new in `state`, with its provenance, and record what is refused; one outcome per reply.

    Runs inside the caller's READ COMMITTED transaction, after `confirm_holds` or with the dataset's row held; other
    admissions to the dataset wait from here until that commits. At most `template_cap` questions differ in nothing but
    numbers.
    """
    candidates = [candidate for reply in replies for candidate in reply.candidates]
    if not candidates:
        await _record(conn, replies, [Admission((), ()) for _ in replies])
        return [Admission((), ()) for _ in replies]
    await lock_dataset(conn, dataset_id)
    prints = [each.fingerprint for each in candidates]
    known = await find_known(conn, dataset_id, prints, template_cap)
    guarded = await is_guarded(conn, dataset_id)
    matches = await _find_contaminated(conn, dataset_id, candidates) if guarded else {}
    texts = [each.text for each in candidates]
    verdicts = judge(texts, prints, known, template_cap=template_cap, contaminated=matches)

    origins = [number for number, reply in enumerate(replies, 1) for _ in reply.candidates]
    fresh = [place for place, verdict in enumerate(verdicts) if verdict.refusal is None]
    chosen = [(origins[place], candidates[place]) for place in fresh]
    admitted = await _insert(conn, dataset_id, replies, chosen, state)
    ids = dict(admitted)
    if taken := [prints[place].text_hash for place in fresh if prints[place].text_hash not in admitted]:
        ids |= await find_exact(conn, dataset_id, taken)

    outcomes: list[tuple[list[QuestionId], list[Refused]]] = [([], []) for _ in replies]
    for place, (origin, candidate, verdict) in enumerate(zip(origins, candidates, verdicts, strict=True)):
        taken_in, refused = outcomes[origin - 1]
        text_hash = candidate.fingerprint.text_hash
        if place in matches:
            refused.append(Refused(candidate, Refusal.CONTAMINATED, None, matches[place].score, matches[place]))
        elif verdict.refusal is not None:
            repeated = verdict.question_id
            if verdict.repeats is not None:
                repeated = ids.get(prints[verdict.repeats].text_hash)
            refused.append(Refused(candidate, verdict.refusal, repeated, verdict.similarity))
        elif text_hash in admitted:
            taken_in.append(admitted[text_hash])
        else:
            refused.append(Refused(candidate, Refusal.EXACT, ids.get(text_hash), 1.0))
    admissions = [Admission(tuple(taken_in), tuple(refused), guarded) for taken_in, refused in outcomes]
    await _record(conn, replies, admissions)
    return admissions


async def lock_dataset(conn: AsyncConnection, dataset_id: DatasetId) -> None:
    """Let nobody else admit to the dataset until this transaction ends."""
    await conn.execute(LOCK_DATASET, {"lock_class": ADMISSION_LOCK_CLASS, "dataset_id": dataset_id})


async def _find_contaminated(
    conn: AsyncConnection, dataset_id: DatasetId, candidates: Sequence[Candidate]
) -> dict[int, Match]:
    """By place, the benchmark's item that a candidate is most like. A set is loaded under the same lock."""
    found = await find_matches(conn, dataset_id, [each.trace or trace(each.text) for each in candidates])
    return {place: matches[0] for place, matches in enumerate(found) if matches}


async def _record(conn: AsyncConnection, replies: Sequence[CandidateReply], admissions: Sequence[Admission]) -> None:
    """Promise 7: each refused candidate with its reason, those included that were refused before admission."""
    rows: list[dict[str, object]] = []
    for reply, admission in zip(replies, admissions, strict=True):
        origin = {"job_id": reply.hold.job_id, "call_id": reply.call_id}
        rows += [{**origin, "reason": reason, "text": storable(refused)} for reason, refused in reply.flawed]
        rows += [
            {
                **origin,
                "reason": each.reason,
                "text": each.candidate.text,
                "question_id": each.question_id,
                "similarity": each.similarity,
                "matched": each.match and str(each.match),
            }
            for each in admission.refused
        ]
    if rows:
        await conn.execute(INSERT_REJECTIONS, {"refused": json_rows(rows)})


def storable(text_: str) -> str:
    """As it is recorded. Postgres holds neither NUL nor lone surrogates, for which a text may have been refused."""
    return text_.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


async def _insert(
    conn: AsyncConnection,
    dataset_id: DatasetId,
    replies: Sequence[CandidateReply],
    fresh: Sequence[tuple[int, Candidate]],
    state: QuestionState,
) -> dict[bytes, QuestionId]:
    """The ids of the questions inserted, by text hash. `fresh` are new ones, each with its reply's number from 1."""
    if not fresh:
        return {}
    rows = await conn.execute(
        INSERT_QUESTIONS,
        {
            "dataset_id": dataset_id,
            "signature_version": SIGNATURE_VERSION,
            "tokenizer": TOKENIZER,
            "state": state.value,
            "fresh": json_rows(
                [
                    {
                        "place": place,
                        "reply": number,
                        "text": each.text,
                        "text_hash": f"\\x{each.fingerprint.text_hash.hex()}",
                        "template_hash": each.fingerprint.template_hash,
                        "sketch": bit_string(each.fingerprint.sketch, SKETCH_BITS),
                        "prompt_tokens": each.prompt_tokens,
                        "tags": each.tags,
                    }
                    for place, (number, each) in enumerate(fresh)
                ]
            ),
            "replies": json_rows(
                [
                    {
                        "number": number,
                        "domain": reply.cell.domain,
                        "difficulty": reply.cell.difficulty,
                        "job_id": reply.hold.job_id,
                        "batch_id": reply.hold.batch_id,
                        "call_id": reply.call_id,
                        "fence": reply.hold.fence,
                        "model": reply.model,
                        "prompt_version": reply.prompt_version,
                    }
                    for number, reply in enumerate(replies, 1)
                ]
            ),
        },
    )
    ids = {bytes(text_hash): QuestionId(question_id) for text_hash, question_id in rows}
    inserted = [each.fingerprint for _, each in fresh if each.fingerprint.text_hash in ids]
    await conn.execute(
        INSERT_BANDS,
        {
            "dataset_id": dataset_id,
            "bands": int_array(band for its in inserted for band in its.bands),
            "question_ids": int_array(ids[its.text_hash] for its in inserted),
            "bands_each": BANDS,
        },
    )
    return ids
