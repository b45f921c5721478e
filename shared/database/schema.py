"""Which schema a database has, which one this release needs, and the way between: the steps in migrations/.

A step expands: processes of the release before go on beside it. One that takes away or narrows what they use says so
with a constant `CONTRACT`, the reason; docs/deployment.md, Upgrades.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psycopg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from shared.database.engine import libpq_url, sqlalchemy_url
from shared.database.tables import metadata
from shared.database.trouble import Trouble, find_trouble

ROOT = Path(__file__).parents[2]
CONNECT_SECONDS = 5
# Together some minutes: the longest transactions of a busy system end within one.
TRIES = 40
PAUSE_SECONDS = 2.0


class Standing(StrEnum):
    """How a database's schema stands to this release."""

    AGREES = "agrees"  # it is the one that this release needs
    EMPTY = "empty"  # there is none yet
    OLDER = "older"  # steps are missing
    NEWER = "newer"  # a later release has been there; this one runs on it while nothing was taken away
    UNKNOWN = "unknown"  # not one of ours


@dataclass(frozen=True, slots=True)
class Step:
    """One migration: its revision, what it brings, and why the release before cannot live with it, if so."""

    revision: str
    what: str
    contract: str | None


@dataclass(frozen=True, slots=True)
class Schema:
    """What a database has (None: nothing), what this release needs, and the steps between, first one first."""

    current: str | None
    needed: str
    standing: Standing
    missing: tuple[Step, ...]

    @property
    def contracts(self) -> tuple[Step, ...]:
        """The missing steps that running processes of the release before cannot live with; none of an empty one."""
        return () if self.standing is Standing.EMPTY else tuple(step for step in self.missing if step.contract)


def judge(current: str | None, steps: Sequence[Step]) -> Schema:
    """How a database at the revision `current` stands to a release with these steps, first one first."""
    needed, known = steps[-1].revision, [step.revision for step in steps]
    if current is None:
        return Schema(None, needed, Standing.EMPTY, tuple(steps))
    if current in known:
        missing = tuple(steps[known.index(current) + 1 :])
        return Schema(current, needed, Standing.OLDER if missing else Standing.AGREES, missing)
    # Revisions are numbers of four digits.
    newer = len(current) == len(needed) and current > needed
    return Schema(current, needed, Standing.NEWER if newer else Standing.UNKNOWN, ())


def read_steps() -> list[Step]:
    """This release's steps, first one first."""
    scripts = ScriptDirectory(str(ROOT / "migrations")).walk_revisions()
    return [Step(each.revision, each.doc, getattr(each.module, "CONTRACT", None)) for each in scripts][::-1]


def look_at(database_url: str) -> Schema:
    """The schema of a database. Raises psycopg.Error when it does not answer."""
    with psycopg.connect(libpq_url(database_url), connect_timeout=CONNECT_SECONDS, autocommit=True) as connection:
        return judge(read_revision(connection), read_steps())


def read_revision(connection: psycopg.Connection) -> str | None:
    """The revision that a database says it has; None: no tables. The connection commits by itself."""
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return str(row[0]) if row else None


def alembic_config(database_url: str, migrations: Path = ROOT / "migrations") -> Config:
    """What Alembic's commands need to work on a database."""
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("script_location", str(migrations))
    config.set_main_option("database_url", database_url.replace("%", "%%"))
    return config


def upgrade(
    database_url: str, migrations: Path = ROOT / "migrations", *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Take all missing steps, in one transaction; two at once wait for each other.

    On a busy system a step may meet locks that are never free for it, or in another order than its own. It gives up
    then, so that those who work are not kept waiting, and tries again. Raises SQLAlchemyError.
    """
    config = alembic_config(database_url, migrations)
    for left in reversed(range(TRIES)):
        try:
            command.upgrade(config, "head")
        except DBAPIError as error:
            if not left or find_trouble(error) is not Trouble.BUSY:
                raise
            sleep(random.uniform(0.5, 1.5) * PAUSE_SECONDS)
        else:
            return


def find_differences(database_url: str) -> list[str]:
    """What somebody changed by hand: where the tables differ from what this release's code says, one line each."""
    engine = create_engine(sqlalchemy_url(database_url), poolclass=NullPool)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    return [_in_words(each) for each in differences]


def _in_words(difference: object) -> str:
    # One change of a column comes as a list of one.
    while isinstance(difference, list):
        difference = difference[0]
    assert isinstance(difference, tuple)
    kind, *about = difference
    names = [str(getattr(each, "name", each)) for each in about if each is not None]
    return f"{str(kind).replace('_', ' ')}: {' '.join(names)}"
