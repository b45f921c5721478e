"""Whether the API may start as it is set up: never so that strangers reach it without a key."""

import structlog
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.access.keys import has_any_key
from shared.database.engine import engine_for
from shared.database.patience import patience
from shared.database.trouble import find_trouble, first_line
from shared.settings import EVERYWHERE, Settings

PATIENCE_SECONDS = 5.0

_log = structlog.get_logger(__name__)


async def why_refused(settings: Settings) -> str | None:
    """Why not, and what to do; None when it may.

    While the database is away that cannot be told: then it may, since it lets nobody in without finding their key.
    """
    if not settings.keys_required:
        return None
    if settings.api_reached_at in EVERYWHERE and not settings.allowed_hosts:
        return (
            "The API would be reached under names that it does not know: set QUESTMILL_ALLOWED_HOSTS to those that "
            "people use, such as questmill.example.org,10.0.0.5 (* allows any)."
        )
    where = f"who reaches {settings.api_reached_at}" if settings.api_reached_at not in EVERYWHERE else "the network"
    try:
        with patience(PATIENCE_SECONDS):
            async with engine_for(
                settings.database_url, application="questmill-api", pool_size=1, pooled=settings.is_pooled
            ) as engine:
                if await has_any_key(engine):
                    return None
    except ProgrammingError:
        return (
            f"The API is open to {where} only with keys, and this database has no table of them yet: "
            "run ./run db upgrade (./run up does it), then ./run keys create NAME --scope admin."
        )
    except (DBAPIError, PoolTimeout, OSError) as error:
        if find_trouble(error) is None:
            raise
        _log.warning("whether there is a key is not known yet", error=first_line(error))
        return None
    return (
        f"The API is open to {where} only with keys, and there is none yet: "
        "make one with ./run keys create NAME --scope admin, then start again."
    )
