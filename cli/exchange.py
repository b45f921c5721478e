"""What is sent to the API and how its answers are told apart, the same for `Client` and `AsyncQuestmill`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import httpx2
from pydantic import SecretStr

from cli.plain_words import ApiProblem, BadArgument, not_questmill
from shared.access.key_text import KEY

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
# The server sends a comment every ten seconds: three missing in a row is a lost connection.
STREAM_SILENCE_SECONDS = 30.0
RECONNECT_SECONDS = 2.0
GZIP_MAGIC = b"\x1f\x8b"
UPLOAD_CHUNK = 1 << 20
LINES = "application/x-ndjson"
PARQUET = "application/vnd.apache.parquet"

Json = dict[str, Any]
FileFormat = Literal["jsonl", "parquet"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a job's progress: `kind` is "progress" or, as the last, "end"."""

    kind: str
    data: Json


def bearing(api_key: SecretStr | None) -> dict[str, str]:
    """The headers that bring a key; httpx2 leaves them out where a redirect leads to another host.

    Raises ApiProblem for what is no key, without showing it.
    """
    if api_key is None:
        return {}
    key = api_key.get_secret_value().strip()
    if not KEY.fullmatch(key):
        raise ApiProblem("What QUESTMILL_API_KEY or its file holds is no key: keys are qm_ and 43 more characters.")
    return {"Authorization": f"Bearer {key}"}


def dataset_path(name: str) -> str:
    """Quoted, so that "a/../b" is no other dataset's name."""
    return f"/v1/datasets/{quote(name, safe='')}"


def upload_headers(head: bytes) -> dict[str, str]:
    """How a file that begins so is sent: as it is, packed or not."""
    return {"Content-Type": "application/gzip" if head.startswith(GZIP_MAGIC) else LINES}


def format_of(path: Path, asked: FileFormat | None = None) -> FileFormat:
    """What a file is to hold: what is asked for, else what its name says. Raises BadArgument for a packed one."""
    if path.suffix == ".gz":
        raise BadArgument(f"{path}: an export is not packed; leave .gz out, and pack the file afterwards.")
    return asked or ("parquet" if path.suffix == ".parquet" else "jsonl")


def export_params(file_format: str, seed: int | None, contaminated: bool, all_answers: bool) -> dict[str, str | int]:  # noqa: FBT001 - they are the caller's keywords
    """The query of an export."""
    params: dict[str, str | int] = {"format": file_format}
    if contaminated:
        params["contaminated"] = "include"
    if all_answers:
        params["answers"] = "all"
    if seed is not None:
        params["seed"] = seed
    return params


def needs_certificates(base_url: str) -> bool:
    """Reading this machine's certificates takes a tenth of a second, which a plain address need not wait for."""
    return not base_url.startswith("http://")


def require_type(base_url: str, answer: httpx2.Response, *media_types: str) -> None:
    """Raise ApiProblem for an answer of another type: it must not become a file, or rows of a report."""
    if not answer.headers.get("Content-Type", "").startswith(media_types):
        raise not_questmill(base_url)


def event_of_end(job: Json) -> Event:
    """The last event of a job that has ended, for one who was cut off before."""
    about = {name: job.get(name) for name in ("id", "dataset", "state", "reason", "rehearsal", "budget_usd")}
    return Event("end", {**about, **job["progress"]})
