"""The states of the rows, each with what it means. docs/states.md draws the moves between them."""

from enum import StrEnum


class JobState(StrEnum):
    """The life of a job."""

    RUNNING = "running"  # the reconciler works towards its plan
    PAUSED = "paused"  # by a person or by the budget; nothing new is started
    SUCCEEDED = "succeeded"  # every cell has exactly its target selected
    CANCELLED = "cancelled"  # by a person; what was admitted stays
    FAILED = "failed"  # nothing is left to try; the reason names the cells


# The reason of a pause that nobody need be told of: a person wanted it.
PAUSED_BY_REQUEST = "paused by request"
UNFINISHED_JOB_STATES = (JobState.RUNNING, JobState.PAUSED)


class BatchState(StrEnum):
    """The life of a batch."""

    PENDING = "pending"  # free to be claimed
    LEASED = "leased"  # held until lease_until, by the database's clock
    DONE = "done"  # every call of it is parsed or given up
    PARKED = "parked"  # claimed max_attempts times without one committed call
    DROPPED = "dropped"  # no longer wanted: its cell is full or stopped, or the job has ended


class CallState(StrEnum):
    """The life of a ledger row."""

    SENT = "sent"  # written before the request leaves; its worst case is held
    OK = "ok"  # a paid reply is stored raw
    FAILED = "failed"  # the provider or the network refused; the outcome says how
    UNKNOWN = "unknown"  # timed out, broken off, or its process is gone; booked as spent at its worst case


class SubmissionState(StrEnum):
    """The life of a bulk submission."""

    INTENDED = "intended"  # its calls are in the ledger, their worst case is held; the provider may have it or not
    SUBMITTED = "submitted"  # the provider has it, and its id is known
    ENDED = "ended"  # its results are settled
    FAILED = "failed"  # the provider refused it as a whole, or does not know it any more
    WITHDRAWN = "withdrawn"  # the provider runs nothing of it, and its batch intends anew; or a rehearsal server had it


class NotificationState(StrEnum):
    """The life of a notification."""

    PENDING = "pending"  # to be sent, for the first time or again
    DELIVERED = "delivered"  # the receiver has answered 2xx
    GIVEN_UP = "given_up"  # nobody has taken it for a day


class QuestionState(StrEnum):
    """What a question counts for."""

    SELECTED = "selected"  # counts towards its cell's target, is exported
    RESERVE = "reserve"  # kept beyond the target
    DISCARDED = "discarded"  # taken out by hand; still blocks its repeats
    REJECTED = "rejected"  # by its judges, or because no model answered it; still blocks its repeats


class MatchKind(StrEnum):
    """How a question is like a benchmark's item; of several kinds the first one here counts."""

    EXACT = "exact"  # the same normalised text
    NUMBERS = "numbers"  # the same words and operators, whatever the numbers are
    SENTENCE = "sentence"  # one of its sentences is the whole item, whatever the numbers are
    GRAMS = "8-gram"  # half of the shorter text's runs of eight words are in both
    SHORT = "short"  # both are short, and most words and pairs of words are in both


class IncidentKind(StrEnum):
    """What a lease or a fence was needed for."""

    LEASE_EXPIRED = "lease_expired"  # a holder fell silent and its batch was claimed by another
    FENCED_OFF = "fenced_off"  # a stale holder tried to write; nothing was written


class Stage(StrEnum):
    """What a batch does; in the order in which a question meets them."""

    GENERATE = "generate"
    VALIDATE = "validate"
    ANSWER = "answer"

    @property
    def position(self) -> int:
        """Its place in that order."""
        return list(Stage).index(self)
