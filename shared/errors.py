"""Every error that a person can meet: one base, a subclass per case, each with its HTTP status."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong place in an input: `loc` is a dotted path ("mix.domains.math"), `msg` says what to do."""

    loc: str
    msg: str


class QuestmillError(Exception):
    """Something went wrong inside Questmill."""

    status = 500
    type = "internal"
    title = "Internal error"

    def __init__(self, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)


class InvalidInput(QuestmillError):
    """The input has a wrong field; each is named in `errors`."""

    status = 422
    type = "invalid-input"
    title = "Invalid input"


class InfeasibleMix(InvalidInput):
    """No plan can meet the mix; the detail names the domain and the reason."""

    type = "infeasible-mix"
    title = "The mix cannot be met"


class UnusableModel(InvalidInput):
    """A model has no configured provider or no price."""

    type = "unusable-model"
    title = "A model cannot be used"


class NoProviderKey(UnusableModel):
    """This worker has no key for the model's provider; another one may have it."""

    def __init__(self, model: str, provider: str) -> None:
        super().__init__(f"this worker has no key for {provider}, which {model} needs")
        self.provider = provider


class NotFound(QuestmillError):
    """There is no such job, dataset, batch or question."""

    status = 404
    type = "not-found"
    title = "Not found"


class Conflict(QuestmillError):
    """The state of the job or dataset forbids the request."""

    status = 409
    type = "conflict"
    title = "Conflict"


class BadUpload(QuestmillError):
    """An upload broke off, is not what it says, or unpacks to too much; nothing of it was kept."""

    status = 400
    type = "bad-upload"
    title = "The upload was not imported"


class NotHttp(QuestmillError):
    """What came is not a request as HTTP defines it, or its head is too long."""

    status = 400
    type = "not-http"
    title = "Not an HTTP request"


class AmbiguousLength(QuestmillError):
    """A request says in two ways how long its body is."""

    status = 400
    type = "ambiguous-length"
    title = "The request's length is ambiguous"


class TooLarge(QuestmillError):
    """The request body is larger than the endpoint takes."""

    status = 413
    type = "too-large"
    title = "Request too large"


class ForeignOrigin(QuestmillError):
    """A request's Host is none of ours, or it comes from another site's page."""

    status = 403
    type = "foreign-origin"
    title = "Foreign origin refused"


class Unauthenticated(QuestmillError):
    """The request needs a key, or the one it brings is none of ours or revoked."""

    status = 401
    type = "unauthenticated"
    title = "A key is needed"


class OutOfScope(QuestmillError):
    """The key may not do this."""

    status = 403
    type = "out-of-scope"
    title = "The key may not do this"

    def __init__(self, detail: str, needed: str) -> None:
        super().__init__(detail)
        self.needed = needed


class TooManyRequests(QuestmillError):
    """The key has used up its requests of this minute."""

    status = 429
    type = "too-many-requests"
    title = "Too many requests"

    def __init__(self, detail: str, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class TooSlow(QuestmillError):
    """The request's body did not come in time; nothing of it was kept."""

    status = 408
    type = "too-slow"
    title = "The request took too long"


class Unavailable(QuestmillError):
    """The database cannot be reached; the same request works once it is back."""

    status = 503
    type = "unavailable"
    title = "Temporarily unavailable"


class FencedOff(QuestmillError):
    """A stale holder tried a fenced write; nothing was written."""

    type = "fenced-off"
    title = "The batch has another holder"


class LeaseLapsed(QuestmillError):
    """A holder could not renew its lease in time, as when the database was away; nobody else has the batch yet."""

    type = "lease-lapsed"
    title = "The batch's lease has run out"


class JobNotRunning(QuestmillError):
    """A holder tried to work for a job that was cancelled or has ended; nothing was written."""

    type = "job-not-running"
    title = "The job takes no more work"

    def __init__(self, detail: str, state: str | None = None) -> None:
        super().__init__(detail)
        self.state = state


class BudgetExhausted(QuestmillError):
    """The worst case of the next call does not fit into the job's budget."""

    type = "budget-exhausted"
    title = "The budget is spent"

    def __init__(self, detail: str, *, fits_later: bool = False) -> None:
        super().__init__(detail)
        # Calls under way hold their worst case; what they give back may make room.
        self.fits_later = fits_later
