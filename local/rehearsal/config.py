"""What can be set: on the command line, or by environment variables `QUESTMILL_REHEARSAL_*`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from local.rehearsal.answerer import (
    DEFAULT_REASONING_ROOM,
    DEFAULT_TOKENS_LONG,
    DEFAULT_TOKENS_SHORT,
    LEAST_TOKENS,
    MOST_TOKENS,
)
from local.rehearsal.faults import PRESETS, Fault, parse_faults
from local.rehearsal.judge import DEFAULT_NOISE, DEFAULT_REJECT_SHARE
from local.rehearsal.plants import DEFAULT_SHARE, read_plants
from local.rehearsal.pools import CONTENT_SHARE, DEFAULT_POOL_SIZE, LEAST_LENGTH, MOST_LENGTH
from local.rehearsal.quotas import DEFAULT_QUOTA, Quota


class RehearsalConfig(BaseSettings):
    """Settings of one server. Durations are seconds."""

    model_config = SettingsConfigDict(env_prefix="QUESTMILL_REHEARSAL_", frozen=True, extra="ignore")

    host: str = Field(default="127.0.0.1", description="address to listen on; a container needs 0.0.0.0")
    port: int = Field(default=8089, ge=0, le=65535, description="port to listen on; 0 takes a free one and prints it")
    latency: float = Field(
        default=0.05, ge=0, description="mean seconds per answer, besides 0.1 % of it for each output token"
    )
    faults: str = Field(
        default="none",
        description=f"a preset ({', '.join(PRESETS)}) or shares such as 429=0.02,cut=0.01; faults: {', '.join(Fault)}",
    )
    retry_after: int = Field(default=1, ge=1, description="whole seconds that the fault 429 asks clients to wait")
    rpm: float = Field(default=DEFAULT_QUOTA.requests_per_minute, gt=0, description="requests per minute and model")
    tpm: float = Field(
        default=DEFAULT_QUOTA.tokens_per_minute,
        gt=0,
        description="tokens per minute and model (Anthropic: input and output each)",
    )
    burst: float = Field(
        default=DEFAULT_QUOTA.burst_seconds, gt=0, description="seconds' worth of quota that a model can use at once"
    )
    rate_headers: bool = Field(default=True, description="send the headers that tell limits")
    pool_size: int = Field(
        default=DEFAULT_POOL_SIZE,
        ge=1,
        description="questions that a model knows about a topic of middling depth, and about a subtopic and form in it",
    )
    content_share: float = Field(
        default=CONTENT_SHARE,
        ge=0,
        le=1,
        description="share of the questions that take up a piece of what the prompt lists to include",
    )
    length_short: float = Field(
        default=1.0,
        ge=LEAST_LENGTH,
        le=MOST_LENGTH,
        description="how long the questions of fewer than 45 asked tokens are, against what the prompt asks for",
    )
    length_long: float = Field(
        default=1.0, ge=LEAST_LENGTH, le=MOST_LENGTH, description="the same for all longer questions"
    )
    record: Path | None = Field(default=None, description="JSONL file to which every request served is appended")
    plant: Path | None = Field(
        default=None,
        description='JSONL file of questions, each a text or {"question": ...}, to plant among what the models draw',
    )
    plant_share: float = Field(
        default=DEFAULT_SHARE, ge=0, le=1, description="share of the questions drawn that are planted ones"
    )
    reject_share: float = Field(
        default=DEFAULT_REJECT_SHARE,
        ge=0,
        le=1,
        description="share of the questions that the judges find bad; always the same ones",
    )
    judge_noise: float = Field(
        default=DEFAULT_NOISE, ge=0, le=1, description="share of the verdicts in which a judge differs from the others"
    )
    answer_tokens_short: float = Field(
        default=DEFAULT_TOKENS_SHORT,
        ge=LEAST_TOKENS,
        le=MOST_TOKENS,
        description="mean tokens of the answer to a question of fewer than 45 tokens",
    )
    answer_tokens_long: float = Field(
        default=DEFAULT_TOKENS_LONG,
        ge=LEAST_TOKENS,
        le=MOST_TOKENS,
        description="mean tokens of the answer to any longer question",
    )
    reasoning_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the questions over which an answering model reasons until its limit",
    )
    reasoning_room: int = Field(
        default=DEFAULT_REASONING_ROOM,
        ge=1,
        description="output tokens that a call must be allowed for a model to get past that reasoning",
    )
    bulk_seconds: float = Field(default=1.0, ge=0, description="seconds that a bulk submission takes")
    bulk_error_share: float = Field(
        default=0.0, ge=0, le=1, description="share of the requests in bulk submissions that end with an error"
    )
    bulk_expire_share: float = Field(
        default=0.0, ge=0, le=1, description="share of the requests in bulk submissions that expire unanswered"
    )
    seed: int = Field(
        default=2025, description="of the faults, latencies and draws; the texts themselves never depend on it"
    )

    @property
    def quota(self) -> Quota:
        """The ceilings of each model."""
        return Quota(self.rpm, self.tpm, self.burst)


def read_config(arguments: Sequence[str] | None = None) -> RehearsalConfig:
    """The settings of the command line over those of the environment; exits with a plain sentence when one is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m local.rehearsal",
        description="The rehearsal model server: speaks OpenAI's and Anthropic's formats and plays no real model.",
        argument_default=argparse.SUPPRESS,
    )
    for name, field in RehearsalConfig.model_fields.items():
        if name != "rate_headers":
            parser.add_argument(f"--{name.replace('_', '-')}", help=(field.description or "").replace("%", "%%"))
    parser.add_argument("--no-rate-headers", dest="rate_headers", action="store_false", help="send no limit headers")
    given = vars(parser.parse_args(arguments))
    try:
        config = RehearsalConfig(**given)
        parse_faults(config.faults)
        if config.plant is not None:
            read_plants(config.plant)
    except ValueError as error:
        parser.error(str(error))
    return config
