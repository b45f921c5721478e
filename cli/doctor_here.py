"""What can be wrong on this machine: settings, disk, ports, the models that the settings name."""

import os
import shutil
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cli.doctor_check import Check, Verdict
from shared.errors import InvalidInput, UnusableModel
from shared.settings import Settings, load_settings

LEAST_FREE_BYTES = 500_000_000
COMFORTABLE_FREE_BYTES = 2_000_000_000
EXAMPLES = {
    "QUESTMILL_RATE_LIMITS": '{"openai/gpt-6-luna": {"requests_per_minute": 500}}',
    "QUESTMILL_PRICES": '{"openai/my-model": {"input": 0.1, "output": 0.5}}',
}


def load_what_can_be() -> tuple[Settings, list[Check]]:
    """The settings without the variables that are wrong, and a check for each of those.

    Raises InvalidInput when something else than a variable is wrong.
    """
    wrong: list[Check] = []
    while True:
        try:
            return load_settings(), wrong
        except InvalidInput as error:
            for each in error.errors:
                variable = each.loc.partition(".")[0]
                if os.environ.pop(variable, None) is None and not any(check.name == variable for check in wrong):
                    raise
                example = f"; write it like {EXAMPLES[variable]}" if variable in EXAMPLES else ""
                place = "" if each.loc == variable else f"{each.loc}: "
                wrong.append(Check(variable, Verdict.MISSING, f"{place}{each.msg}{example}"))


def disk_check(home: Path) -> Check:
    """Whether there is room for data, logs and exports."""
    folder = next(each for each in (home.absolute(), *home.absolute().parents) if each.exists())
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free for QUESTMILL_HOME ({home})"
    if free < LEAST_FREE_BYTES:
        return Check("disk", Verdict.MISSING, f"{text}: free some space, or set QUESTMILL_HOME to another disk")
    if free < COMFORTABLE_FREE_BYTES:
        return Check("disk", Verdict.NOTE, f"{text}: enough to try, too little for a big job")
    return Check("disk", Verdict.OK, text)


def port_checks(settings: Settings) -> Iterator[Check]:
    """Whether `./run up` would find its ports free; for when no Questmill answers."""
    for name, port in (("QUESTMILL_API_PORT", settings.api_port), ("QUESTMILL_FLOWER_PORT", settings.flower_port)):
        if _is_free(port):
            yield Check(name, Verdict.OK, f"port {port} is free")
        else:
            yield Check(name, Verdict.MISSING, f"port {port} is taken by another program: set {name} to a free one")


def rate_limit_checks(settings: Settings) -> Iterator[Check]:
    """Limits that no call would ever obey."""
    for model in settings.rate_limits:
        if "/" not in model:
            yield Check(
                "QUESTMILL_RATE_LIMITS",
                Verdict.NOTE,
                f"{model!r} names no provider, so that nothing obeys it: write it like openai/gpt-6-luna",
            )


def model_checks(settings: Settings) -> Iterator[Check]:
    """Whether the models that jobs get by default can be paid for and still exist."""
    from shared.llm.models import find_retirement
    from shared.llm.prices import price_of
    from shared.llm.provider import Usage

    today = datetime.now(UTC).date()
    models = sorted({*settings.cheap_models, *settings.strong_models, *settings.rate_limits})
    found: list[Check] = []
    for model in models:
        try:
            price_of(model, Usage(1, 1), settings.prices)
        except UnusableModel as problem:
            if "/" in model or model not in settings.rate_limits:
                found.append(Check("models", Verdict.MISSING, problem.detail))
        end = find_retirement(model)
        if end is not None and end <= today:
            found.append(Check("models", Verdict.MISSING, f"{model} was retired on {end}: name another model"))
        elif end is not None:
            found.append(Check("models", Verdict.NOTE, f"{model} will be shut down on {end}"))
    yield from found or [Check("models", Verdict.OK, "those of the settings have prices and no known end")]


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False
