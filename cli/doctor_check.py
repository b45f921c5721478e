"""One line of what `questmill doctor` says."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from urllib.parse import urlsplit


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


def hide_password(url: str) -> str:
    """Host, port and path: a URL may hold a password."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(not a valid URL)"
    return f"{parts.hostname or 'local socket'}{port}{parts.path}"
