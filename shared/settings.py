"""All settings, read once from the environment (`QUESTMILL_*` and the conventional provider names) or from files."""

import os
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
    """What a deployment can set. Durations carry their unit in their name."""

    model_config = SettingsConfigDict(env_prefix="QUESTMILL_", frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: str = Field(
        default="postgresql://questmill@127.0.0.1:5432/questmill",
        validation_alias=AliasChoices("database_url", "DATABASE_URL"),
    )
    database_direct_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("database_direct_url", "DATABASE_DIRECT_URL"),
        description="the server itself, where database_url is a pooler in transaction mode",
    )
    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        validation_alias=AliasChoices("redis_url", "REDIS_URL"),
    )
    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("openai_api_key", "OPENAI_API_KEY")
    )
    anthropic_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("anthropic_api_key", "ANTHROPIC_API_KEY")
    )
    openai_base_url: str | None = Field(
        default=None, validation_alias=AliasChoices("openai_base_url", "OPENAI_BASE_URL")
    )
    anthropic_base_url: str | None = Field(
        default=None, validation_alias=AliasChoices("anthropic_base_url", "ANTHROPIC_BASE_URL")
    )
    rehearsal: bool = Field(default=False, description="the configured providers are the rehearsal server")

    home: Path = Path(".questmill")
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65535)
    api_published_host: str | None = Field(
        default=None, description="where others reach the API, if not at its host: a container listens on all addresses"
    )
    require_keys: bool = Field(default=False, description="every request needs a key; beyond loopback always")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="names, by commas, by which others reach the API; any with *"
    )
    flower_host: str = "127.0.0.1"
    flower_port: int = Field(default=5555, ge=0, le=65535)
    flower_published_host: str | None = Field(
        default=None, description="where others reach Flower, if not at its host: a container listens on all addresses"
    )
    flower_auth: SecretStr | None = Field(default=None, description='"user:password", required beyond loopback')
    api_url: str | None = Field(default=None, description="where the client finds the API")
    api_key: SecretStr | None = Field(default=None, description="the client's key")
    api_key_file: Path | None = Field(default=None, description="a file that holds it")
    flower_url: str | None = Field(default=None, description="where a browser finds Flower; else its host and port")

    lease_seconds: float = Field(default=30.0, gt=0)
    stall_seconds: float = Field(default=30.0, gt=0, description="how long an event loop may be blocked")
    heartbeat_file: Path | None = Field(
        default=None, description="touched each second by a worker or reconciler whose event loop turns"
    )
    tick_seconds: float = Field(default=5.0, gt=0, description="pause between reconciler ticks")
    hint_repeat_seconds: float = Field(default=30.0, gt=0)
    max_attempts: int = Field(default=5, ge=1, description="claims without any committed call before a batch is parked")
    window_batches: int = Field(default=48, ge=1, description="hinted or held batches per job")
    batches_at_once: int = Field(default=16, ge=1, description="batches that one worker process holds")

    bulk_poll_seconds: float = Field(default=30.0, gt=0, description="pause between looks at bulk submissions")
    bulk_settle_seconds: float = Field(
        default=60.0, ge=0, description="how long a bulk submission may still turn up whose answer was lost"
    )

    calls_in_flight: int = Field(default=64, ge=1, description="cap per worker process")
    call_timeout_seconds: float = Field(default=180.0, gt=0)
    call_attempts: int = Field(default=6, ge=1, description="attempts per prompt before the call counts as failed")
    template_cap: int = Field(default=5, ge=1, description="questions that differ only in their numbers")
    rate_limits: dict[str, RateLimit] = Field(default_factory=dict, description='JSON by "provider/model"')
    prices: dict[str, Price] = Field(default_factory=dict, description='JSON by "provider/model"')

    cheap_models: tuple[str, ...] = ("openai/gpt-6-luna", "anthropic/claude-haiku-5-5")
    strong_models: tuple[str, ...] = ("anthropic/claude-sonnet-5-5", "openai/gpt-6.1-sol")
    strong_from_mean_tokens: int = Field(default=200, description="difficulties this rich get a strong model")

    raw_days: int = Field(default=30, ge=0, le=MOST_DAYS, description="prune: how long raw replies stay")
    ledger_days: int = Field(default=365, ge=0, le=MOST_DAYS, description="prune: how long ledger and batches stay")

    webhook_url: str | None = Field(default=None, description="who is told when any job ends or pauses")
    webhook_secret: SecretStr | None = Field(
        default=None, validate_default=True, description="notifications are signed with it"
    )
    webhook_allow_private: bool = Field(default=False, description="jobs may name receivers in private networks")

    traces: bool | None = Field(default=None, description="by OpenTelemetry; unset: when there is an OTLP endpoint")
    otlp_endpoint: str | None = Field(
        default=None, validation_alias=AliasChoices("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT")
    )

    log_json: bool = False
    log_level: str = "INFO"

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

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _by_commas(cls, names: object) -> object:
        return [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else names

    @field_validator("database_direct_url")
    @classmethod
    def _pooler_named(cls, direct_url: str | None, info: ValidationInfo) -> str | None:
        if direct_url is not None and info.data["database_url"] == cls.model_fields["database_url"].default:
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
        wrong = [FieldError(_variable(*map(str, each["loc"])), each["msg"]) for each in error.errors()]
    except SettingsError as error:
        field = str(error).partition('"')[2].partition('"')[0]
        wrong = [FieldError(_variable(field), "not valid JSON")]
    raise InvalidInput("; ".join(f"{each.loc}: {each.msg}" for each in wrong), wrong)


def _variable(field: str, *within: str) -> str:
    """How a person sets the field: "QUESTMILL_API_PORT"."""
    name = field.upper()
    conventional = name.startswith(("DATABASE", "REDIS", "OPENAI", "ANTHROPIC", "OTEL_", "QUESTMILL_"))
    return ".".join([name if conventional else f"QUESTMILL_{name}", *within])
