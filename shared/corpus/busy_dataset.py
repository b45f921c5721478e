"""What whoever waits in vain for a dataset's row is told: an import holds it for as long as its upload takes."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError

from shared.errors import Conflict


@contextmanager
def refuse_when_busy(refusal: Conflict) -> Iterator[None]:
    """Raise this when a lock that the block waits for is not to be had in time."""
    try:
        yield
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            raise refusal from error
        raise
