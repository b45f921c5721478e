"""Candidates that today's parser finds in replies of the stage generate, and that an older one did not."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.admission import Admission, Candidate, CandidateReply, admit, storable
from shared.corpus.duplicates import Refusal
from shared.corpus.fingerprint import fingerprint_many
from shared.corpus.normalise import text_hash
from shared.corpus.topic_yields import Harvest, record_harvests
from shared.database.parameters import bytes_array
from shared.database.states import QuestionState
from shared.ids import CallId, DatasetId
from shared.jobs.stored_calls import CallGain, StoredCall, add_gains, lock_calls
from shared.llm.provider import Outcome
from shared.questions.candidates import ReadCandidate, read_candidates
from shared.questions.gates.table import Gate

QUESTIONS = text("""
    SELECT call_id, text_hash FROM question
    WHERE dataset_id = :dataset_id AND text_hash = ANY (CAST(:hashes AS bytea[]))
      AND call_id = ANY (CAST(:call_ids AS uuid[]))
""")
REFUSED = text("""
    SELECT call_id, text FROM rejection
    WHERE job_id = :job_id AND call_id = ANY (CAST(:call_ids AS uuid[])) AND text IS NOT NULL
""")


@dataclass(frozen=True, slots=True)
class Offer:
    """The candidates of one call by the hash of their normalised text."""

    call: StoredCall
    candidates: Mapping[bytes, ReadCandidate]

    def without(self, known: Collection[bytes]) -> "Offer":
        """What is left when these are taken away."""
        left = {its_hash: each for its_hash, each in self.candidates.items() if its_hash not in known}
        return replace(self, candidates=left)


@dataclass(frozen=True, slots=True)
class QuestionGains:
    """Candidates that were offered, those of them that became questions, and why the others did not."""

    calls: int = 0
    offered: int = 0
    admitted: int = 0
    refused: Mapping[str, int] | None = None


def read_offers(calls: Sequence[StoredCall], gates: Sequence[Gate]) -> list[Offer]:
    """All candidates of these calls' replies; pure, and slow: about a millisecond each."""
    offers: list[Offer] = []
    for call in calls:
        reading = call.read()
        if not reading.outcome.usable:
            continue
        asked = call.prompt.get("mean_tokens")
        read, _ = read_candidates(
            reading.text,
            cut=reading.outcome is Outcome.CUT,
            domain=call.cell.domain,
            mean_tokens=asked if isinstance(asked, int) else call.mean_tokens,
            gates=gates,
        )
        by_hash: dict[bytes, ReadCandidate] = {}
        for each in read:
            by_hash.setdefault(text_hash(storable(each.text)), each)
        offers.append(Offer(call, by_hash))
    return offers


async def drop_known(conn: AsyncConnection, dataset_id: DatasetId, offers: Sequence[Offer]) -> list[Offer]:
    """The offers with a candidate that is neither a question nor a refusal of its call, and with those alone."""
    if not offers:
        return []
    known: dict[CallId, set[bytes]] = {offer.call.id: set() for offer in offers}
    hashes = {its_hash for offer in offers for its_hash in offer.candidates}
    values = {"dataset_id": dataset_id, "hashes": bytes_array(hashes), "call_ids": list(known)}
    for row in await conn.execute(QUESTIONS, values):
        known[CallId(row.call_id)].add(bytes(row.text_hash))
    refused = {"job_id": offers[0].call.hold.job_id, "call_ids": list(known)}
    for row in await conn.execute(REFUSED, refused):
        known[CallId(row.call_id)].add(text_hash(row.text))
    left = [offer.without(known[offer.call.id]) for offer in offers]
    return [offer for offer in left if offer.candidates]


def as_replies(offers: Sequence[Offer]) -> list[CandidateReply]:
    """The offers with fingerprints, as admission wants them."""
    fit = [each for offer in offers for each in offer.candidates.values() if each.flaw is None]
    prints = iter(fingerprint_many([each.text for each in fit]))
    return [
        CandidateReply(
            hold=offer.call.hold,
            cell=offer.call.cell,
            call_id=offer.call.id,
            model=offer.call.model,
            candidates=[
                Candidate(each.text, each.tokens, _tags(offer.call), next(prints))
                for each in offer.candidates.values()
                if each.flaw is None
            ],
            flawed=[(each.flaw, each.text) for each in offer.candidates.values() if each.flaw is not None],
            prompt_version=offer.call.version,
        )
        for offer in offers
    ]


async def admit_offers(
    conn: AsyncConnection, dataset_id: DatasetId, offers: Sequence[Offer], *, template_cap: int
) -> QuestionGains:
    """Offer them for admission, into the reserve: no count of a job that has ended, or is about to, may change.

    In a transaction that has locked the job.
    """
    there = await lock_calls(conn, [offer.call for offer in offers])
    # Somebody else may have read the same replies again meanwhile.
    offers = await drop_known(conn, dataset_id, [offer for offer in offers if offer.call.id in there])
    if not offers:
        return QuestionGains()
    replies = as_replies(offers)
    admissions = await admit(conn, dataset_id, replies, template_cap=template_cap, state=QuestionState.RESERVE)
    gains = [_gain(*each) for each in zip(offers, replies, admissions, strict=True)]
    await record_harvests(conn, dataset_id, [_harvest(*each) for each in zip(gains, admissions, strict=True)])
    await add_gains(conn, gains)
    refused: Counter[str] = Counter()
    for gain in gains:
        refused.update(gain.rejected)
    return QuestionGains(
        len(gains), sum(gain.generated for gain in gains), sum(gain.admitted for gain in gains), refused
    )


def _gain(offer: Offer, reply: CandidateReply, admission: Admission) -> CallGain:
    reasons = [reason for reason, _ in reply.flawed] + [str(each.reason) for each in admission.refused]
    return CallGain(offer.call, len(offer.candidates), len(admission.admitted), Counter(reasons))


def _harvest(gain: CallGain, admission: Admission) -> Harvest:
    repeats = sum(each.reason in {Refusal.EXACT, Refusal.NEAR} for each in admission.refused)
    topic = str(gain.call.prompt.get("topic", ""))
    return Harvest(gain.call.cell, topic, gain.generated, gain.admitted, repeats)


def _tags(call: StoredCall) -> tuple[str, ...]:
    """As the worker that first read the reply wrote them."""
    named = (call.prompt.get(name) for name in ("topic", "subtopic", "form"))
    return tuple(name for name in named if isinstance(name, str))
