"""What `questmill db` asks of the database, and says of it."""

from enum import IntEnum

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from cli.address import running_environment
from cli.database import CONTRACT_FIRST
from cli.plain_words import BadArgument
from shared.database import schema as database_schema
from shared.database.schema import Schema, Standing, Step
from shared.settings import load_settings


class Verdict(IntEnum):
    """What `check` ends with, for scripts; 1 and 2 are those of every command that fails."""

    FITS = 0
    OLDER = 3
    OLDER_AND_CONTRACTS = 4
    DIFFERENT = 5


def look_at() -> Schema:
    """The schema of the database that is named or runs here. Raises BadArgument."""
    try:
        return database_schema.look_at(_database_url())
    except psycopg.Error as error:
        told = _first_line(error)
        raise BadArgument(f"The database does not answer: {told}. Start it, or mend DATABASE_URL.") from error


def why_refused(schema: Schema, *, contract: bool) -> str | None:
    """Why it is not upgraded; None when it may be."""
    if schema.standing is Standing.UNKNOWN:
        return in_words(schema)
    if schema.contracts and not contract:
        return f"{in_words(schema)} {CONTRACT_FIRST}"
    return None


def take_steps(schema: Schema) -> tuple[Step, ...]:
    """Take the missing steps, and say which they were. Raises BadArgument when they cannot be taken."""
    if schema.missing:
        try:
            database_schema.upgrade(_database_url())
        except SQLAlchemyError as error:
            raise BadArgument(f"The upgrade failed and changed nothing: {_first_line(error)}.") from error
    return schema.missing


def list_differences(schema: Schema) -> list[str]:
    """What somebody changed by hand, as far as this release can tell."""
    return database_schema.find_differences(_database_url()) if schema.standing is Standing.AGREES else []


def verdict_of(schema: Schema) -> Verdict:
    """Whether this release can run on it."""
    if schema.standing is Standing.UNKNOWN:
        return Verdict.DIFFERENT
    if schema.contracts:
        return Verdict.OLDER_AND_CONTRACTS
    return Verdict.OLDER if schema.missing else Verdict.FITS


def in_words(schema: Schema) -> str:
    """The same for a person."""
    match schema.standing:
        case Standing.AGREES:
            return f"The schema is {schema.needed}, as this release needs it."
        case Standing.EMPTY:
            return f"The database is empty: questmill db upgrade makes its tables ({schema.needed})."
        case Standing.NEWER:
            newer = f"The schema is {schema.current}, newer than this release's {schema.needed}: it stays as it is."
            return f"{newer} A release runs on the schema of the one after it."
        case Standing.UNKNOWN:
            return f"The schema {schema.current} is unknown to this release, whose newest is {schema.needed}."
        case Standing.OLDER:
            told = f"The schema is {schema.current}, and this release needs {schema.needed}"
            if schema.contracts:
                reasons = "; ".join(f"{step.revision}: {step.contract}" for step in schema.contracts)
                return f"{told}. The upgrade would break processes of the release before ({reasons})."
            return f"{told}: questmill db upgrade brings it there, also while the release before runs."


def _database_url() -> str:
    settings = load_settings()
    if settings.names_database:
        return settings.session_database_url
    if url := running_environment(settings.home).get("database_url"):
        return url
    raise BadArgument("No database is named and none runs here: set DATABASE_URL. ./run up upgrades its own by itself.")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
