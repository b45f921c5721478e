"""How much the jobs of a key may take together. Pure: counting is shared/access/keys.py's business."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from shared.errors import QuestmillError

Amount = int | Decimal


class QuotaExceeded(QuestmillError):
    """The key's jobs would take more than it may; nothing was written."""

    status = 403
    type = "quota-exceeded"
    title = "The key's quota is used up"


@dataclass(frozen=True, slots=True)
class Quotas:
    """Limits of a key; None: without one."""

    open_jobs: int | None = None
    questions: int | None = None
    usd: Decimal | None = None

    @property
    def any(self) -> bool:
        """Whether there is anything to count for."""
        return (self.open_jobs, self.questions, self.usd) != (None, None, None)


@dataclass(frozen=True, slots=True)
class Usage:
    """What the jobs of a key take.

    An unfinished job takes what it may come to: the questions that it was planned to generate, and its budget. One that
    has ended takes what it made and spent, and what it holds for calls that a provider may still charge for.
    """

    open_jobs: int = 0
    questions: int = 0
    usd: Decimal = Decimal(0)


def check_quotas(name: str, quotas: Quotas, used: Usage, asked: Usage) -> None:
    """Raise QuotaExceeded, naming each quota of the key `name` into which `asked` does not fit beside `used`."""
    broken = [
        f"{what}: {_show(limit)} allowed, {_show(have)} taken, {_show(wanted)} more asked"
        for what, limit, have, wanted in _compare(quotas, used, asked)
        if limit is not None and wanted > 0 and have + wanted > limit
    ]
    if broken:
        raise QuotaExceeded(
            f"The quota of the key {name} does not suffice ({'; '.join(broken)}). "
            "Wait for its jobs to end or cancel one, ask for less, or have an administrator make a key with more."
        )


def _compare(quotas: Quotas, used: Usage, asked: Usage) -> Iterator[tuple[str, Amount | None, Amount, Amount]]:
    yield "open jobs", quotas.open_jobs, used.open_jobs, asked.open_jobs
    yield "questions", quotas.questions, used.questions, asked.questions
    yield "dollars", quotas.usd, used.usd, asked.usd


def _show(amount: Amount) -> str:
    if isinstance(amount, int):
        return f"{amount:,}"
    cents = amount == amount.quantize(Decimal("0.01"))
    return f"${amount:,.2f}" if cents else f"${amount:,.4f}"
