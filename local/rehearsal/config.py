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

_HELP = {
    "host": "address to listen on; a container needs 0.0.0.0",
    "port": "port to listen on; 0 takes a free one and prints it",
    "latency": "mean seconds per answer, besides 0.1 %% of it for each output token",
    "faults": f"a preset ({', '.join(PRESETS)}) or shares such as 429=0.02,cut=0.01; faults: {', '.join(Fault)}",
    "retry_after": "whole seconds that the fault 429 asks clients to wait",
    "rpm": "requests per minute and model",
    "tpm": "tokens per minute and model (Anthropic: input and output each)",
    "burst": "seconds' worth of quota that a model can use at once",
    "pool_size": "questions that a model knows about a topic of middling depth, and about a subtopic and form in it",
    "content_share": "share of the questions that take up a piece of what the prompt lists to include",
    "length_short": "how long the questions of fewer than 45 asked tokens are, against what the prompt asks for",
    "length_long": "the same for all longer questions",
    "record": "JSONL file to which every request served is appended",
    "plant": 'JSONL file of questions, each a text or {"question": ...}, to plant among those that the models draw',
    "plant_share": "share of the questions drawn that are planted ones",
    "reject_share": "share of the questions that the judges find bad; always the same ones",
    "judge_noise": "share of the verdicts in which a judge differs from the others",
    "answer_tokens_short": "mean tokens of the answer to a question of fewer than 45 tokens",
    "answer_tokens_long": "mean tokens of the answer to any longer question",
    "reasoning_share": "share of the questions over which an answering model reasons until its limit",
    "reasoning_room": "output tokens that a call must be allowed for a model to get past that reasoning",
    "bulk_seconds": "seconds that a bulk submission takes",
    "bulk_error_share": "share of the requests in bulk submissions that end with an error",
    "bulk_expire_share": "share of the requests in bulk submissions that expire unanswered",
    "seed": "of the faults, latencies and draws; the texts themselves never depend on it",
}


class RehearsalConfig(BaseSettings):
    """Settings of one server. Durations are seconds."""

    model_config = SettingsConfigDict(env_prefix="QUESTMILL_REHEARSAL_", frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=8089, ge=0, le=65535)
    latency: float = Field(default=0.05, ge=0)
    faults: str = "none"
    retry_after: int = Field(default=1, ge=1)
    rpm: float = Field(default=DEFAULT_QUOTA.requests_per_minute, gt=0)
    tpm: float = Field(default=DEFAULT_QUOTA.tokens_per_minute, gt=0)
    burst: float = Field(default=DEFAULT_QUOTA.burst_seconds, gt=0)
    rate_headers: bool = True
    pool_size: int = Field(default=DEFAULT_POOL_SIZE, ge=1)
    content_share: float = Field(default=CONTENT_SHARE, ge=0, le=1)
    length_short: float = Field(default=1.0, ge=LEAST_LENGTH, le=MOST_LENGTH)
    length_long: float = Field(default=1.0, ge=LEAST_LENGTH, le=MOST_LENGTH)
    record: Path | None = None
    plant: Path | None = None
    plant_share: float = Field(default=DEFAULT_SHARE, ge=0, le=1)
    reject_share: float = Field(default=DEFAULT_REJECT_SHARE, ge=0, le=1)
    judge_noise: float = Field(default=DEFAULT_NOISE, ge=0, le=1)
    answer_tokens_short: float = Field(default=DEFAULT_TOKENS_SHORT, ge=LEAST_TOKENS, le=MOST_TOKENS)
    answer_tokens_long: float = Field(default=DEFAULT_TOKENS_LONG, ge=LEAST_TOKENS, le=MOST_TOKENS)
    reasoning_share: float = Field(default=0.0, ge=0, le=1)
    reasoning_room: int = Field(default=DEFAULT_REASONING_ROOM, ge=1)
    bulk_seconds: float = Field(default=1.0, ge=0)
    bulk_error_share: float = Field(default=0.0, ge=0, le=1)
    bulk_expire_share: float = Field(default=0.0, ge=0, le=1)
    seed: int = 2025

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
    for name, text in _HELP.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=text)
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
