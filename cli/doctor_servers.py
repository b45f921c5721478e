"""What can be wrong with the database, with who works on it, and with the broker."""

from collections.abc import Iterator

import psycopg
import redis

from cli.doctor_check import Check, Verdict
from cli.doctor_jobs import clock_check
from shared.server_urls import hide_password

CONNECT_SECONDS = 3
# It looks around every few seconds.
QUIET_SECONDS = 60
RECONCILER = """
SELECT extract(epoch FROM clock_timestamp() - max(state_change))::int FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'questmill-reconciler%'
"""


def database_checks(url: str | None, *, api_reaches_it: bool = False) -> Iterator[Check]:
    """Whether it answers, has this release's schema, and a reconciler that looks at it."""
    if url is None:
        if not api_reaches_it:
            yield Check("database", Verdict.NOTE, "none named and none running; ./run up starts one")
        return
    plain = "postgresql://" + url.partition("://")[2]
    try:
        with psycopg.connect(plain, connect_timeout=CONNECT_SECONDS, autocommit=True) as connection:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
            clock = clock_check("database", row[0] if row else None)
            if not api_reaches_it:
                yield Check("database", Verdict.OK, f"{hide_password(url)} answers")
            yield clock
            yield _schema(connection)
            yield _reconciler(connection)
    except psycopg.Error as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        if api_reaches_it:
            told = f"not seen from here, so that schema and reconciler are not looked at ({reason})"
            yield Check("schema", Verdict.NOTE, told)
        else:
            yield Check("database", Verdict.MISSING, f"{hide_password(url)}: {reason}. Start it, or mend DATABASE_URL")


def _schema(connection: psycopg.Connection) -> Check:
    from shared.database.schema import Standing, judge, read_revision, read_steps

    its = judge(read_revision(connection), read_steps())
    match its.standing:
        case Standing.AGREES:
            return Check("schema", Verdict.OK, f"{its.needed}, as this release needs it")
        case Standing.NEWER:
            told = f"{its.current}, of a later release than this one's {its.needed}, which runs on it"
            return Check("schema", Verdict.OK, told)
        case Standing.EMPTY:
            told = "the database is empty: ./run up makes its tables"
        case Standing.OLDER:
            told = f"{its.current} is older than this release's {its.needed}: start ./run up again, or ./run db upgrade"
        case Standing.UNKNOWN:
            told = f"{its.current} is unknown to this release, whose newest is {its.needed}: mend DATABASE_URL"
    return Check("schema", Verdict.MISSING, told)


def _reconciler(connection: psycopg.Connection) -> Check:
    row = connection.execute(RECONCILER).fetchone()
    quiet = row[0] if row else None
    if quiet is None:
        told = "none is connected, so that no job moves: start ./run up, or look at logs/reconciler.log"
        return Check("reconciler", Verdict.MISSING, told)
    if quiet > QUIET_SECONDS:
        return Check("reconciler", Verdict.MISSING, f"has done nothing for {quiet} s: look at logs/reconciler.log")
    return Check("reconciler", Verdict.OK, f"looked around {quiet} s ago")


def broker_check(url: str | None) -> Check:
    """Whether Redis answers."""
    if url is None:
        return Check("broker", Verdict.NOTE, "none named and none running; ./run up starts one")
    try:
        with redis.Redis.from_url(
            url, socket_timeout=CONNECT_SECONDS, socket_connect_timeout=CONNECT_SECONDS
        ) as connection:
            connection.ping()
    except (redis.RedisError, ValueError) as error:
        return Check("broker", Verdict.MISSING, f"{hide_password(url)}: {error}. Start it, or mend REDIS_URL")
    return Check("broker", Verdict.OK, f"{hide_password(url)} answers")
