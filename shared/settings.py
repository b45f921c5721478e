"""All settings, read once from the environment (`QUESTMILL_*` and the conventional provider names) or from files."""

import os
import sys
from decimal import Decimal
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, BaseModel, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from shared.errors import FieldError, InvalidInput
from shared.secret_files import read_secret_files
from shared.server_urls import POSTGRES, REDIS, check_server_url

# A century: no age that a person means is above it.
MOST_DAYS = 36_500
EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - whether somebody asked for it


class RateLimit(BaseModel, frozen=True, extra="forbid"):
    """A ceiling set by the user for one model; what is left out is learned from the provider."""

    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)


class Price(BaseModel, frozen=True, extra="forbid"):
    """US dollars per million tokens, for a model that the price list does not know."""

    input: Decimal = Field(ge=0)
    output: Decimal = Field(ge=0)


class Settings(BaseSettings):
    """What a deployment can set. Durations carry their unit in their name. The order is that of the reference."""

    model_config = SettingsConfigDict(env_prefix="QUESTMILL_", frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: str = Field(
        default="postgresql://questmill@127.0.0.1:5432/questmill",
        validation_alias=AliasChoices("database_url", "DATABASE_URL"),
        description="where Postgres (15 or newer) is; left out, `./run up` starts one of its own",
    )
    database_direct_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("database_direct_url", "DATABASE_DIRECT_URL"),
        description="the server itself, where `DATABASE_URL` is a pooler in transaction mode: docs/deployment.md",
    )
    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        validation_alias=AliasChoices("redis_url", "REDIS_URL"),
        description="where a Redis-protocol server is; left out, `./run up` starts one of its own",
    )

    api_host: str = Field(
        default="127.0.0.1",
        description="where the API listens; beyond loopback every request needs a key: docs/access.md",
    )
    api_port: int = Field(default=8000, ge=0, le=65535, description="the port of the API and its dashboard")
    api_published_host: str | None = Field(
        default=None, description="where others reach the API, if not at its host: a container listens on all addresses"
    )
    require_keys: bool = Field(default=False, description="every request needs a key, on loopback too")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="the names by which others reach the API; `*`: any"
    )

    api_url: str | None = Field(
        default=None,
        description="where the client finds the API; left out, the one of the system that runs in this home",
    )
    api_key: SecretStr | None = Field(default=None, description="the client's key")
    api_key_file: Path | None = Field(default=None, description="a file that holds the client's key")

    flower_host: str = Field(default="127.0.0.1", description="where Flower listens")
    flower_port: int = Field(default=5555, ge=0, le=65535, description="the port of Flower")
    flower_published_host: str | None = Field(
        default=None, description="where others reach Flower, if not at its host: a container listens on all addresses"
    )
    flower_auth: SecretStr | None = Field(
        default=None, description="`user:password`, several by commas; beyond loopback Flower does not start without"
    )
    flower_url: str | None = Field(
        default=None, description="where a browser finds Flower, as behind a proxy; left out, at its host and port"
    )

    calls_in_flight: int = Field(
        default=64, ge=1, description="calls that a worker process has out at once: `./run worker --concurrency`"
    )
    batches_at_once: int = Field(default=16, ge=1, description="batches that a worker process holds at once")
    window_batches: int = Field(
        default=48, ge=1, description="batches of a job that are hinted or held at once; raise it with the fleet"
    )
    call_timeout_seconds: float = Field(default=180.0, gt=0, description="how long a call may take")
    call_attempts: int = Field(
        default=6, ge=1, description="attempts in which the provider fails before a prompt is given up"
    )
    template_cap: int = Field(
        default=5,
        ge=1,
        description="questions that differ in nothing but their numbers; `novelty.template_cap` of a spec",
    )
    lease_seconds: float = Field(default=30.0, gt=0, description="how long a silent worker keeps a batch")
    max_attempts: int = Field(default=5, ge=1, description="claims without a committed call before a batch is parked")
    stall_seconds: float = Field(
        default=30.0,
        gt=0,
        description="how long the event loop of a worker, the reconciler or the API may be blocked before the process "
        "ends itself (70)",
    )
    heartbeat_file: Path | None = Field(
        default=None,
        description="a file that a worker or reconciler touches each second that its event loop turns, for whoever "
        "watches it",
    )
    tick_seconds: float = Field(
        default=5.0, gt=0, description="pause between two ticks of the reconciler, unless it is woken"
    )
    hint_repeat_seconds: float = Field(default=30.0, gt=0, description="when an unclaimed hint is repeated")
    bulk_poll_seconds: float = Field(default=30.0, gt=0, description="pause between two looks at bulk submissions")
    bulk_settle_seconds: float = Field(
        default=60.0,
        ge=0,
        description="how long a bulk submission may still turn up whose answer was lost; one that was taken is given "
        "up when its provider has not known it for sixty times as long",
    )

    openai_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("openai_api_key", "OPENAI_API_KEY"),
        description="the key for `openai/...` models; only workers are given it",
    )
    openai_base_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("openai_base_url", "OPENAI_BASE_URL"),
        description="another server that speaks OpenAI's format; left out, OpenAI's own",
    )
    anthropic_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("anthropic_api_key", "ANTHROPIC_API_KEY"),
        description="the key for `anthropic/...` models; only workers are given it",
    )
    anthropic_base_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("anthropic_base_url", "ANTHROPIC_BASE_URL"),
        description="another server that speaks Anthropic's format; left out, Anthropic's own",
    )
    cheap_models: tuple[str, ...] = Field(
        default=("openai/gpt-6-luna", "anthropic/claude-haiku-5-5"),
        description="judge, and write and answer short questions: the first of a configured provider is the default",
    )
    strong_models: tuple[str, ...] = Field(
        default=("anthropic/claude-sonnet-5-5", "openai/gpt-6.1-sol"),
        description="write and answer rich questions: the first of a configured provider is the default",
    )
    strong_from_mean_tokens: int = Field(default=200, description="questions of so many mean tokens are rich")
    rate_limits: dict[str, RateLimit] = Field(
        default_factory=dict,
        description="ceilings by model, above which no provider is asked; what is left out is learned from its replies",
        examples=[{"openai/gpt-6-luna": {"requests_per_minute": 500, "tokens_per_minute": 200000}}],
    )
    prices: dict[str, Price] = Field(
        default_factory=dict,
        description="US dollars per million tokens, of models that the price list does not know; 0 for one of your own",
        examples=[{"openai/my-model": {"input": 0.1, "output": 0.5}}],
    )

    raw_days: int = Field(
        default=30,
        ge=0,
        le=MOST_DAYS,
        description="days after a job's end for which `questmill prune` keeps raw replies",
    )
    ledger_days: int = Field(
        default=365, ge=0, le=MOST_DAYS, description="days after a job's end for which it keeps ledger and batches"
    )

    webhook_url: str | None = Field(default=None, description="who is told when any job ends or pauses")
    webhook_secret: SecretStr | None = Field(
        default=None,
        validate_default=True,
        description="the key that signs notifications; required with `QUESTMILL_WEBHOOK_URL`",
    )
    webhook_allow_private: bool = Field(default=False, description="jobs may name receivers in private networks")

    log_level: str = Field(
        default="INFO", description="logs of workers and reconciler from this level on: `DEBUG`, `INFO` ..."
    )
    log_json: bool = Field(default=False, description="each line of these logs is a JSON object")
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias=AliasChoices("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="where traces are sent; the other `OTEL_` variables are OpenTelemetry's own",
    )
    traces: bool | None = Field(
        default=None, description="whether there are traces; left out: where there is an endpoint"
    )

    home: Path = Field(
        default=Path(".questmill"),
        description="the folder of the embedded stack: data, logs, exports; `./run` has it beside itself",
    )
    rehearsal: bool = Field(
        default=False, description="the configured providers are the rehearsal server; `./run up` sets it without a key"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - a folder, not files by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given in code, then variables, then the files that `*_FILE` variables name."""
        secrets = InitSettingsSource(settings_cls, init_kwargs=read_secret_files(os.environ))
        return init_settings, env_settings, secrets

    @property
    def names_database(self) -> bool:
        """Whether a database is given; else the embedded one is meant."""
        return "database_url" in self.model_fields_set

    @property
    def names_broker(self) -> bool:
        """Whether a Redis-protocol server is given; else the embedded one is meant."""
        return "redis_url" in self.model_fields_set

    @property
    def session_database_url(self) -> str:
        """Where a connection keeps its session: LISTEN, locks that outlive a transaction, and migrations need one."""
        return self.database_direct_url or self.database_url

    @property
    def is_pooled(self) -> bool:
        """Whether two transactions of one connection may meet two sessions of the server."""
        return self.database_direct_url is not None

    @property
    def api_reached_at(self) -> str:
        """The host by which others reach the API: loopback, an address or name, or all addresses."""
        return self.api_published_host or self.api_host

    @property
    def keys_required(self) -> bool:
        """Whether every request needs a key: as soon as anybody but this machine could send one."""
        return self.require_keys or bool(self.allowed_hosts) or not is_loopback(self.api_reached_at)

    @property
    def flower_address(self) -> str:
        """Where a browser finds Flower, without a slash at the end."""
        return (self.flower_url or url_at(self.flower_host, self.flower_port)).rstrip("/")

    @field_validator("database_url", "database_direct_url")
    @classmethod
    def _names_postgres(cls, url: str | None) -> str | None:
        return url and check_server_url(url, POSTGRES, "postgresql://user:password@host:5432/name")

    @field_validator("redis_url")
    @classmethod
    def _names_redis(cls, url: str) -> str:
        return check_server_url(url, REDIS, "redis://:password@host:6379/0")

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _by_commas(cls, names: object) -> object:
        return [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else names

    @field_validator("database_direct_url")
    @classmethod
    def _pooler_named(cls, direct_url: str | None, info: ValidationInfo) -> str | None:
        if direct_url is not None and info.data.get("database_url") == cls.model_fields["database_url"].default:
            raise ValueError("goes with DATABASE_URL, the pooler's: set both or neither")
        return direct_url

    @field_validator("webhook_secret")
    @classmethod
    def _receivers_can_check(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if secret is None and info.data.get("webhook_url"):
            raise ValueError("required with QUESTMILL_WEBHOOK_URL: by it the receiver knows that we are who is calling")
        return secret


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens at this host."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def url_at(host: str, port: int) -> str:
    """The URL of what listens there, as this machine finds it."""
    named = "127.0.0.1" if host in EVERYWHERE else host
    return f"http://{f'[{named}]' if ':' in named else named}:{port}"


@cache
def load_settings() -> Settings:
    """The process's settings. Raises InvalidInput, in one sentence, when a variable is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = [
            FieldError(_variable(*map(str, each["loc"])), each["msg"].removeprefix("Value error, "))
            for each in error.errors()
        ]
    except SettingsError as error:
        field = str(error).partition('"')[2].partition('"')[0]
        wrong = [FieldError(_variable(field), "not valid JSON")]
    raise InvalidInput("; ".join(f"{each.loc}: {each.msg}" for each in wrong), wrong)


def load_settings_or_exit() -> Settings:
    """The same for a process that is started: it ends with 2 and the sentence."""
    try:
        return load_settings()
    except InvalidInput as error:
        print(error.detail, file=sys.stderr)
        sys.exit(2)


def _variable(field: str, *within: str) -> str:
    """How a person sets the field: "QUESTMILL_API_PORT"."""
    name = field.upper()
    conventional = name.startswith(("DATABASE", "REDIS", "OPENAI", "ANTHROPIC", "OTEL_", "QUESTMILL_"))
    return ".".join([name if conventional else f"QUESTMILL_{name}", *within])
