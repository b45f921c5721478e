"""Secrets by file, as Docker and Kubernetes mount them: `OPENAI_API_KEY_FILE` names the file that holds the key."""

from collections.abc import Mapping
from pathlib import Path

from shared.errors import FieldError, InvalidInput

FIELDS = {
    "OPENAI_API_KEY": "openai_api_key",
    "ANTHROPIC_API_KEY": "anthropic_api_key",
    "DATABASE_URL": "database_url",
    "DATABASE_DIRECT_URL": "database_direct_url",
    "REDIS_URL": "redis_url",
    "QUESTMILL_FLOWER_AUTH": "flower_auth",
    "QUESTMILL_WEBHOOK_SECRET": "webhook_secret",
}
"""The fields of `Settings` by the variables that have a `_FILE` beside them."""
SUFFIX = "_FILE"
MOST_BYTES = 100_000


def read_secret_files(environ: Mapping[str, str]) -> dict[str, str]:
    """The secrets by field; white space at a file's end is not part of one. An empty variable is none.

    Raises InvalidInput for a file that cannot be read or holds nothing, and where the secret is also set itself.
    """
    given = {name.upper(): value for name, value in environ.items()}
    secrets: dict[str, str] = {}
    wrong: list[FieldError] = []
    for name, field in FIELDS.items():
        variable = name + SUFFIX
        if not (path := given.get(variable)):
            continue
        if given.get(name):
            wrong.append(FieldError(variable, f"{name} is set too; set one of the two"))
            continue
        try:
            secrets[field] = _read(Path(path))
        except ValueError as error:
            wrong.append(FieldError(variable, f"{path} {error}"))
    if wrong:
        raise InvalidInput("; ".join(f"{each.loc}: {each.msg}" for each in wrong), wrong)
    return secrets


def _read(path: Path) -> str:
    """What the file holds. Raises ValueError, with what is wrong about it and never with its text."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {(error.strerror or 'unknown error').lower()}") from error
    if len(content) > MOST_BYTES:
        raise ValueError(f"is longer than {MOST_BYTES:,} bytes, so it is no secret")
    try:
        secret = content.decode().strip()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    if not secret:
        raise ValueError("is empty")
    if not secret.isprintable():
        raise ValueError("holds more than one line")
    return secret
