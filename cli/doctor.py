"""`questmill doctor`: what is set, reachable and missing, and what to do about it. Keys are never printed."""

import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis
from pydantic import SecretStr

from cli.address import api_url, running_environment
from cli.connection import Client
from cli.plain_words import ApiProblem
from shared.settings import Settings

LEAST_FREE_BYTES = 500_000_000
COMFORTABLE_FREE_BYTES = 2_000_000_000
CONNECT_SECONDS = 3
# The smallest job there is: planning it tells which models the running workers can call, and writes nothing.
PROBE_SPEC = {
    "dataset": "doctor",
    "mix": {"domains": {"math": 1}, "difficulties": {"easy": {"token_share": 1, "mean_tokens": 15}}},
}


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


def examine(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    """All checks, in the order in which one would mend things."""
    yield Check("versions", Verdict.OK, f"Python {platform.python_version()}, {_packages()}")
    yield _disk(settings.home)
    running = running_environment(settings.home)
    for name in ("DATABASE_URL", "REDIS_URL"):
        yield _url_setting(name, environ.get(name), running.get(name.lower()))
    yield _key("OPENAI_API_KEY", settings.openai_api_key, settings.openai_base_url)
    yield _key("ANTHROPIC_API_KEY", settings.anthropic_api_key, settings.anthropic_base_url)
    url = api_url(settings)
    with Client(url) as client:
        try:
            ready = client.readiness()
        except ApiProblem as problem:
            yield Check("api", Verdict.MISSING, str(problem))
            yield _database(environ.get("DATABASE_URL") or running.get("database_url"))
            yield _broker(environ.get("REDIS_URL") or running.get("redis_url"))
            yield Check("workers", Verdict.NOTE, "unknown while the API is away")
            return
        yield Check("api", Verdict.OK, f"answers at {url}")
        if ready["database"] == "ok":
            yield Check("database", Verdict.OK, "the API reaches it")
        else:
            yield Check("database", Verdict.MISSING, f"{ready['database']}. Start it, or mend DATABASE_URL")
        if ready["broker"] == "ok":
            yield Check("broker", Verdict.OK, "the API reaches it")
        else:
            yield Check("broker", Verdict.MISSING, "the API cannot reach Redis: start it, or mend REDIS_URL; jobs wait")
        yield _workers(client)


def _packages() -> str:
    return ", ".join(f"{name} {version(name)}" for name in ("celery", "fastapi", "sqlalchemy", "redis"))


def _disk(home: Path) -> Check:
    folder = next(each for each in (home.absolute(), *home.absolute().parents) if each.exists())
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free for QUESTMILL_HOME ({home})"
    if free < LEAST_FREE_BYTES:
        return Check("disk", Verdict.MISSING, f"{text}: free some space, or set QUESTMILL_HOME to another disk")
    if free < COMFORTABLE_FREE_BYTES:
        return Check("disk", Verdict.NOTE, f"{text}: enough to try, too little for a big job")
    return Check("disk", Verdict.OK, text)


def _url_setting(name: str, value: str | None, of_the_stack: str | None) -> Check:
    if value:
        return Check(name, Verdict.OK, f"set: {_address(value)}")
    if of_the_stack:
        return Check(name, Verdict.OK, f"not set; the running system uses {_address(of_the_stack)}")
    return Check(name, Verdict.OK, "not set; ./run up starts its own")


def _key(name: str, key: SecretStr | None, base_url: str | None) -> Check:
    where = f", sent to {_address(base_url)}" if base_url else ""
    if key is not None and key.get_secret_value():
        return Check(name, Verdict.OK, f"set (not shown){where}")
    provider = name.partition("_")[0].lower()
    return Check(name, Verdict.NOTE, f"not set: set it before ./run up to use {provider} models")


def _database(url: str | None) -> Check:
    if url is None:
        return Check("database", Verdict.NOTE, "none named and none running; ./run up starts one")
    plain = "postgresql://" + url.partition("://")[2]
    try:
        with psycopg.connect(plain, connect_timeout=CONNECT_SECONDS) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        reason = str(error).strip().partition("\n")[0]
        return Check("database", Verdict.MISSING, f"{_address(url)}: {reason}. Start it, or mend DATABASE_URL")
    return Check("database", Verdict.OK, f"{_address(url)} answers")


def _broker(url: str | None) -> Check:
    if url is None:
        return Check("broker", Verdict.NOTE, "none named and none running; ./run up starts one")
    try:
        with redis.Redis.from_url(
            url, socket_timeout=CONNECT_SECONDS, socket_connect_timeout=CONNECT_SECONDS
        ) as connection:
            connection.ping()
    except (redis.RedisError, ValueError) as error:
        return Check("broker", Verdict.MISSING, f"{_address(url)}: {error}. Start it, or mend REDIS_URL")
    return Check("broker", Verdict.OK, f"{_address(url)} answers")


def _workers(client: Client) -> Check:
    try:
        planned = client.plan(PROBE_SPEC)
    except ApiProblem as problem:
        return Check("workers", Verdict.MISSING, f"{problem} Start one with ./run worker")
    models = ", ".join(planned["spec"]["models"]["generate"].values())
    simulated = " (rehearsal: simulated)" if planned["rehearsal"] else ""
    return Check("workers", Verdict.OK, f"can call models such as {models}{simulated}")


def _address(url: str) -> str:
    """Host, port and path: a URL may hold a password."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(not a valid URL)"
    return f"{parts.hostname or 'local socket'}{port}{parts.path}"
