"""One line of what `questmill doctor` says."""

from dataclasses import asdict, dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check went."""

    OK = "ok"
    NOTE = "note"  # works, but worth knowing
    MISSING = "missing"  # something that is needed


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    verdict: Verdict
    text: str

    def to_json(self) -> dict[str, str]:
        """As `--json` prints it."""
        return {key: str(value) for key, value in asdict(self).items()}
