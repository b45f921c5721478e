"""The faults that a share of the requests meets, as models and networks really have them."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random


class Fault(StrEnum):
    """What goes wrong with one request."""

    RATE_LIMITED = "429"
    """Refused with Retry-After."""
    SERVER_ERROR = "500"
    OVERLOADED = "529"
    """529 in Anthropic's format, 503 in OpenAI's."""
    QUOTA = "quota"
    """The account has no money left: `insufficient_quota` (429) or `billing_error` (402). Never worth a retry."""
    SLOW = "slow"
    """Ten times the latency."""
    TIMEOUT = "timeout"
    """No answer until the client gives up."""
    RESET = "reset"
    """The connection is reset in the middle of the body."""
    EMPTY = "empty"
    """200 with an empty body."""
    CUT = "cut"
    """The answer ends at the token limit, somewhere in the JSON."""
    BROKEN = "broken"
    """The answer is not quite JSON: a trailing comma, single quotes, a code fence or prose around it."""
    LATEX = "latex"
    """LaTeX with single backslashes inside the JSON strings."""
    POOR = "poor"
    """Every second question is one that the quality gates are there for, such as a leaked prompt or its own answer.

    So is every second verdict or answer: out of range, blank, wrong.
    """
    REFUSAL = "refusal"
    """The model declines."""
    FILTER = "filter"
    """Stopped by a content filter (OpenAI); in Anthropic's format the same as a refusal."""


ALIASES = {"503": "529", "overloaded": "529", "insufficient_quota": "quota", "content_filter": "filter"}
PRESETS: Mapping[str, Mapping[Fault, float]] = {
    "none": {},
    # All that a job gets over by itself, about 6 % together.
    "demo": {
        Fault.RATE_LIMITED: 0.008,
        Fault.SERVER_ERROR: 0.008,
        Fault.OVERLOADED: 0.004,
        Fault.SLOW: 0.01,
        Fault.RESET: 0.002,
        Fault.EMPTY: 0.002,
        Fault.CUT: 0.008,
        Fault.BROKEN: 0.01,
        Fault.LATEX: 0.008,
        Fault.REFUSAL: 0.002,
    },
}


@dataclass(slots=True)
class FaultPlan:
    """The share of each fault, and faults that the next requests get for certain.

    At most one fault per request; Retry-After carries `retry_after_seconds` (whole seconds).
    """

    shares: dict[Fault, float] = field(default_factory=dict)
    retry_after_seconds: int = 1
    next: deque[Fault | None] = field(default_factory=deque)

    def draw(self, random: Random) -> Fault | None:
        """The fault of one request, independent of all others."""
        if self.next:
            return self.next.popleft()
        chance = random.random()
        for fault, share in self.shares.items():
            if chance < share:
                return fault
            chance -= share
        return None


def parse_faults(text: str) -> dict[Fault, float]:
    """Shares from "429=0.02,cut=0.01" or the name of a preset (`demo`, `none`); ValueError says what is wrong."""
    text = text.strip()
    if text in PRESETS:
        return dict(PRESETS[text])
    shares: dict[str, float] = {}
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        name, equals, share = entry.partition("=")
        if not equals:
            raise ValueError(f"{entry!r} is neither a preset ({', '.join(PRESETS)}) nor of the form fault=share")
        try:
            shares[name.strip()] = float(share)
        except ValueError:
            raise ValueError(f"the share of {name.strip()!r} is not a number: {share!r}") from None
    return check_shares(shares)


def check_shares(shares: Mapping[str, float]) -> dict[Fault, float]:
    """The shares by fault; ValueError when a name is unknown or the shares are not between 0 and 1 in all."""
    checked = {to_fault(name): float(share) for name, share in shares.items()}
    if any(not 0 <= share <= 1 for share in checked.values()) or sum(checked.values()) > 1 + 1e-9:
        raise ValueError("each share of a fault lies between 0 and 1, and so does their sum")
    return checked


def to_fault(name: str) -> Fault:
    """The fault of that name; ValueError lists the names."""
    try:
        return Fault(ALIASES.get(name, name))
    except ValueError:
        raise ValueError(f"unknown fault {name!r}; there are {', '.join(Fault)}") from None


def to_script(names: Iterable[str]) -> deque[Fault | None]:
    """Faults for the next requests in turn; "ok" lets one pass."""
    return deque(None if name == "ok" else to_fault(name) for name in names)
