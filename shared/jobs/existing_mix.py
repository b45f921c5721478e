"""The mix that a dataset already has: for a job that names none and generates nothing. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

from shared.errors import FieldError, InvalidInput
from shared.jobs.mix_spec import MixSpec
from shared.jobs.spec_fields import MAX_DIFFICULTIES, MAX_DOMAINS, MAX_MEAN_TOKENS
from shared.planning.mix import Cell


class Counted(Protocol):
    """The questions of a cell, and their tokens."""

    @property
    def have(self) -> int: ...  # noqa: D102 - the names say it
    @property
    def prompt_tokens(self) -> int: ...  # noqa: D102


def mix_of_dataset(dataset: str, known: Mapping[Cell, Counted]) -> MixSpec:
    """A mix whose every cell asks for what is there. Raises InvalidInput for a dataset with nothing or too much."""
    if not known:
        raise _refusal(f"dataset {dataset} holds no questions yet: give a mix to generate some, or import them first")
    for kind, names, most in (
        ("domains", {cell.domain for cell in known}, MAX_DOMAINS),
        ("difficulties", {cell.difficulty for cell in known}, MAX_DIFFICULTIES),
    ):
        if len(names) > most:
            counted = f"dataset {dataset} has {len(names):,} {kind}, a job at most {most}"
            raise _refusal(f"{counted}: name some of them in a mix")
    domains: dict[str, int] = {}
    tokens: dict[str, int] = {}
    counts: dict[str, int] = {}
    own: dict[str, dict[str, Decimal]] = {}
    for cell, row in known.items():
        domains[cell.domain] = domains.get(cell.domain, 0) + int(row.have)
        tokens[cell.difficulty] = tokens.get(cell.difficulty, 0) + int(row.prompt_tokens)
        counts[cell.difficulty] = counts.get(cell.difficulty, 0) + int(row.have)
        own.setdefault(cell.domain, {})[cell.difficulty] = _bounded_mean(row.prompt_tokens, row.have)
    whole = max(1, sum(tokens.values()))
    shares = {name: round(Decimal(part) / whole, 6) for name, part in tokens.items()}
    largest = max(shares, key=lambda name: shares[name])
    shares[largest] += 1 - sum(shares.values())
    return MixSpec.model_validate(
        {
            "domains": domains,
            "difficulties": {
                name: {"token_share": share, "mean_tokens": _bounded_mean(tokens[name], counts[name])}
                for name, share in shares.items()
            },
            "mean_tokens": own,
            "existing": True,
        }
    )


def _refusal(why: str) -> InvalidInput:
    return InvalidInput(f"mix: {why}", [FieldError("mix", why)])


def _bounded_mean(tokens: int, questions: int) -> Decimal:
    return min(Decimal(MAX_MEAN_TOKENS), max(Decimal(1), round(Decimal(int(tokens)) / int(questions), 2)))
