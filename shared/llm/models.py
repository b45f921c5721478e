"""Names of models, and what is known of their end."""

from collections.abc import Iterable
from datetime import date

from shared.errors import UnusableModel

# When a model stops answering: Anthropic's by DEPRECATED_MODELS of its SDK 2.12, OpenAI's by its notice of shutdowns,
# as known in November 2026. A dated name follows its family.
RETIREMENTS: dict[str, date] = {
    "openai/gpt-4o-mini": date(2027, 1, 14),
    "anthropic/claude-3-5-haiku": date(2026, 2, 19),
    "anthropic/claude-3-7-sonnet": date(2026, 2, 19),
    "anthropic/claude-3-opus": date(2026, 1, 5),
    "anthropic/claude-3-sonnet": date(2025, 7, 21),
    "anthropic/claude-opus-4": date(2026, 6, 15),
    "anthropic/claude-sonnet-4": date(2026, 6, 15),
    "anthropic/claude-sonnet-4-5": date(2026, 11, 30),
}


def split_model(model: str) -> tuple[str, str]:
    """Split "openai/gpt-6-luna" into provider and the provider's own name, which may hold further slashes.

    Raises UnusableModel when there is no provider in front.
    """
    provider, slash, name = model.partition("/")
    if not slash or not provider or not name:
        raise UnusableModel(f'"{model}" names no provider: write it as provider/model, for example openai/gpt-6-luna')
    return provider, name


def find_retirement(model: str) -> date | None:
    """The day a model stops answering, if it is known to."""
    for family, day in RETIREMENTS.items():
        rest = model.removeprefix(family)
        if rest != model and _is_version(rest):
            return day
    return None


def warn_of_retirements(models: Iterable[str], today: date) -> list[str]:
    """A sentence for each model that is gone or has a known end."""
    warnings = []
    for model in sorted(set(models)):
        day = find_retirement(model)
        if day is not None and day <= today:
            warnings.append(f"{model} was retired on {day}: calls to it fail; choose another model")
        elif day is not None:
            warnings.append(f"{model} will be shut down on {day}")
    return warnings


def _is_version(rest: str) -> bool:
    """Whether what follows a family's name is only a date, "-0" or "-latest": claude-sonnet-4-5 is another family."""
    return rest in {"", "-0", "-latest"} or (len(rest) >= 9 and rest.replace("-", "").isdigit())
