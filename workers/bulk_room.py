"""Whether a provider has room for one more bulk submission, as far as its refusals tell."""

from shared.llm.bulk import BulkProblem
from workers.bulk_patience import Patience


class Room:
    """OpenAI takes a submission and refuses it later, while too much of its model is enqueued.

    What it refuses was uploaded and written into the ledger for nothing. So nothing more goes to that model until one
    of ours has ended or a wait that grows is over; and ever after one goes at a time, the next when the provider has
    found room for that one.
    """

    def __init__(self, base_seconds: float) -> None:
        self._patience = Patience(base_seconds)
        self._scarce: set[str] = set()
        self._unanswered: set[str] = set()

    def begin_round(self) -> None:
        """Whatever is out is about to be looked at."""
        self._unanswered.clear()

    def note_unanswered(self, model: str) -> None:
        """A submission is out, and the provider has not said yet whether it has room for it."""
        self._unanswered.add(model)

    def take(self, model: str) -> bool:
        """Whether a submission may be made now; where room is scarce, no other one may in this round."""
        if model not in self._scarce:
            return True
        if model in self._unanswered or self._patience.is_waiting(model):
            return False
        self._unanswered.add(model)
        return True

    def note_refused(self, model: str, problem: BulkProblem) -> None:
        """There was no room; of several that were out together, the first one says it all."""
        self._scarce.add(model)
        if not self._patience.is_waiting(model):
            self._patience.note(model, problem)

    def note_ended(self, model: str) -> None:
        """One of ours has made room."""
        self._patience.reset(model)
