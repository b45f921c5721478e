"""`questmill doctor`: what is set, reachable and missing, and what to do about it. Keys are never printed.

docs/operations.md lists what it finds.
"""

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version

from cli.address import api_key, api_url, running_environment
from cli.connection import Client
from cli.doctor_check import Check, Verdict
from cli.doctor_here import disk_check, model_checks, port_checks, rate_limit_checks
from cli.doctor_jobs import clock_check, key_check, paused_jobs, workers_check
from cli.doctor_providers import provider_checks
from cli.doctor_servers import broker_check, database_checks
from cli.plain_words import ApiProblem
from shared.errors import InvalidInput
from shared.server_urls import hide_password
from shared.settings import Settings


def examine(settings: Settings, *, call: bool = False) -> Iterator[Check]:
    """All checks, in the order in which one would mend things. `call`: try the keys at their providers."""
    yield Check("versions", Verdict.OK, f"Python {platform.python_version()}, {_packages()}")
    yield disk_check(settings.home)
    running = running_environment(settings.home)
    database = settings.database_url if settings.names_database else None
    broker = settings.redis_url if settings.names_broker else None
    yield _url_setting("DATABASE_URL", database, running.get("database_url"))
    yield _url_setting("REDIS_URL", broker, running.get("redis_url"))
    yield from provider_checks(settings, call=call)
    yield from rate_limit_checks(settings)
    yield from model_checks(settings)
    database_url = database or running.get("database_url")
    url = api_url(settings)
    try:
        with Client(url, api_key(settings)) as client:
            ready = client.readiness()
            yield Check("api", Verdict.OK, f"answers at {url}")
            yield clock_check("API", client.server_time())
            yield from _of_readiness(ready)
            if ready["database"] == "ok":
                yield from database_checks(database_url, api_reaches_it=True)
                admitted = key_check(client)
                yield admitted
                if admitted.verdict is not Verdict.MISSING:
                    yield workers_check(client)
                    yield from paused_jobs(client)
    except InvalidInput as problem:
        yield Check("QUESTMILL_API_KEY_FILE", Verdict.MISSING, problem.detail.rstrip("."))
    except ApiProblem as problem:
        yield Check("api", Verdict.MISSING, str(problem))
        yield from port_checks(settings)
        yield from database_checks(database_url)
        yield broker_check(broker or running.get("redis_url"))
        yield Check("workers", Verdict.NOTE, "unknown while the API is away")


def _packages() -> str:
    return ", ".join(f"{name} {version(name)}" for name in ("celery", "fastapi", "sqlalchemy", "redis"))


def _url_setting(name: str, value: str | None, of_the_stack: str | None) -> Check:
    if value:
        return Check(name, Verdict.OK, f"set: {hide_password(value)}")
    if of_the_stack:
        return Check(name, Verdict.OK, f"not set; the running system uses {hide_password(of_the_stack)}")
    return Check(name, Verdict.OK, "not set; ./run up starts its own")


def _of_readiness(ready: Mapping[str, str]) -> Iterator[Check]:
    if ready["database"] == "ok":
        yield Check("database", Verdict.OK, "the API reaches it")
    else:
        yield Check("database", Verdict.MISSING, f"{ready['database']}. Start it, or mend DATABASE_URL")
    if ready["broker"] == "ok":
        yield Check("broker", Verdict.OK, "the API reaches it")
    else:
        yield Check("broker", Verdict.MISSING, "the API cannot reach Redis: start it, or mend REDIS_URL; jobs wait")
