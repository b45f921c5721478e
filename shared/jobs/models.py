"""Which model plays which part: the user's choice first, then a default from the configured providers."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.states import Stage
from shared.errors import FieldError, UnusableModel
from shared.jobs.spec import JobSpec
from shared.settings import Settings

# A worker repeats its providers' names every minute; one that stays away for a quarter of an hour took its key along.
CONFIGURED = text("SELECT name, rehearsal FROM provider WHERE seen_at > clock_timestamp() - interval '15 minutes'")
# Who waits for a provider of another worker waits no longer than until that one has missed two of its repeats.
TOLD_SECONDS = 150.0
IS_CALLED_BY_SOME = text("""
SELECT EXISTS (SELECT FROM provider WHERE name = COALESCE(:name, name) AND rehearsal = :rehearsal
    AND seen_at > clock_timestamp() - make_interval(secs => :seconds))
""")
# What rehearses and what does not are never configured at once: a job is one or the other.
FORGET_OTHERS = text("DELETE FROM provider WHERE rehearsal <> :rehearsal")
PUBLISH = text("""
INSERT INTO provider (name, rehearsal, seen_at) SELECT unnest(CAST(:names AS text[])), :rehearsal, clock_timestamp()
ON CONFLICT (name) DO UPDATE SET rehearsal = excluded.rehearsal, seen_at = excluded.seen_at
""")

# Of a key it says nothing: who rehearses needs none, and who set one now would pay.
NO_WORKER = (
    "no worker is ready: wait until one has reported which models it can call, or start one (./run up, ./run worker)"
)
KEY_VARIABLE = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


@dataclass(frozen=True, slots=True)
class ConfiguredProviders:
    """The providers that some worker can call; `rehearsal` when the rehearsal server plays one of them."""

    names: frozenset[str]
    rehearsal: bool


async def publish_providers(conn: AsyncConnection, names: list[str], *, rehearsal: bool) -> None:
    """Tell the API which providers this worker has a key for. Names only; keys stay in the workers.

    One that has none is of neither kind, and leaves what others have told as it is.
    """
    if not names:
        return
    await conn.execute(FORGET_OTHERS, {"rehearsal": rehearsal})
    await conn.execute(PUBLISH, {"names": sorted(names), "rehearsal": rehearsal})


async def configured_providers(conn: AsyncConnection) -> ConfiguredProviders:
    """What the workers have published lately."""
    rows = (await conn.execute(CONFIGURED)).all()
    return ConfiguredProviders(frozenset(row.name for row in rows), any(row.rehearsal for row in rows))


async def is_called_by_some(conn: AsyncConnection, name: str | None, *, rehearsal: bool) -> bool:
    """Whether some worker that lives can call the provider, or the rehearsal server in its place; None: any of them."""
    values = {"name": name, "rehearsal": rehearsal, "seconds": TOLD_SECONDS}
    return bool((await conn.execute(IS_CALLED_BY_SOME, values)).scalar_one())


def choose_models(
    spec: JobSpec, providers: ConfiguredProviders, settings: Settings
) -> dict[Stage, dict[str, tuple[str, ...]]]:
    """A model for every stage and difficulty of the spec, or several.

    Raises UnusableModel, naming the variable of the key that is missing, or saying that no worker is there.
    """
    if not providers.names:
        raise UnusableModel(NO_WORKER)
    chosen = {
        stage: {
            difficulty: spec.models.get(stage, {}).get(difficulty)
            or (_default(stage, each.mean_tokens, providers, settings),)
            for difficulty, each in spec.settled_mix.difficulties.items()
        }
        for stage in spec.stages
    }
    problems = [
        FieldError(f"models.{stage}.{difficulty}", why)
        for stage, models in chosen.items()
        for difficulty, named in models.items()
        for model in named
        if (why := _why_unconfigured(model, providers))
    ]
    if problems:
        raise UnusableModel(problems[0].msg, problems)
    return chosen


def _default(stage: Stage, mean_tokens: Decimal, providers: ConfiguredProviders, settings: Settings) -> str:
    """A strong model where much is asked of it; a cheap one judges."""
    is_rich = mean_tokens >= settings.strong_from_mean_tokens and stage is not Stage.VALIDATE
    wanted = settings.strong_models if is_rich else settings.cheap_models
    for model in wanted:
        if model.partition("/")[0] in providers.names:
            return model
    return wanted[0]


def _why_unconfigured(model: str, providers: ConfiguredProviders) -> str | None:
    provider = model.partition("/")[0]
    if provider in providers.names:
        return None
    known = ", ".join(sorted(providers.names))
    return f"{model} needs {KEY_VARIABLE[provider]} in the workers' environment (the workers have keys for: {known})"
