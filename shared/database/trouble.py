"""What keeps a database from doing its work for now, told apart so that a person is told the truth (FAULTS 2, 16)."""

from enum import StrEnum

import psycopg
from psycopg import errors
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class Trouble(StrEnum):
    """Why a transaction failed that may succeed later, as it is logged."""

    AWAY = "database away"  # not there, or the connection broke
    STARTING = "database starting or stopping"  # a restart or a recovery is under way
    SILENT = "database does not answer"  # frozen, or the way to it swallows everything
    CROWDED = "database takes no more connections"
    READ_ONLY = "database read-only"  # a standby, or a person's doing
    DISK_FULL = "no room on the database's disk"
    BUSY = "database busy"  # another transaction was in the way: deadlock, lock or statement time-out


class DatabaseSilent(psycopg.OperationalError):
    """The server did not answer a statement in time; its connection is closed and the outcome unknown."""


OF_ERRORS: tuple[tuple[tuple[type[BaseException], ...], Trouble], ...] = (
    ((DatabaseSilent, errors.ConnectionTimeout), Trouble.SILENT),
    ((errors.ReadOnlySqlTransaction,), Trouble.READ_ONLY),
    ((errors.DiskFull,), Trouble.DISK_FULL),
    ((errors.TooManyConnections,), Trouble.CROWDED),
    ((errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow), Trouble.STARTING),
    (
        (
            errors.DeadlockDetected,
            errors.SerializationFailure,
            errors.LockNotAvailable,
            errors.QueryCanceled,
        ),
        Trouble.BUSY,
    ),
)
# A connection that is refused brings no code, only the server's words (in English unless it was told otherwise).
OF_WORDS = (
    ("the database system is ", Trouble.STARTING),
    ("too many clients already", Trouble.CROWDED),
    ("remaining connection slots", Trouble.CROWDED),
    ("too many connections for", Trouble.CROWDED),
)


def find_trouble(error: BaseException) -> Trouble | None:
    """What is the matter with the database, or None: then the statement or our code is wrong."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    for kinds, trouble in OF_ERRORS:
        if isinstance(cause, kinds):
            return trouble
    if isinstance(error, PoolTimeout):
        # Every connection of this process is waiting for something.
        return Trouble.BUSY
    if isinstance(error, (OperationalError, InterfaceError, psycopg.OperationalError, OSError)):
        words = str(cause)
        return next((trouble for part, trouble in OF_WORDS if part in words), Trouble.AWAY)
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return Trouble.AWAY
    return None


def concerns_all(error: BaseException) -> bool:
    """Whether whatever else is tried now would fail as well: the server is in trouble, not only some rows busy."""
    return find_trouble(error) not in {None, Trouble.BUSY}


def first_line(error: BaseException) -> str:
    """What the driver says, without the statement that SQLAlchemy adds."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause).strip().partition("\n")[0]
