"""The options of `questmill export --format bundle`, as typed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.plain_words import BadArgument
from shared.bundle.episodes import EpisodeOptions, Tasks
from shared.bundle.names import TEST, VALIDATION
from shared.bundle.options import BundleOptions
from shared.bundle.splits import SplitOptions
from shared.planning.mix import fold_name

PANEL = "With --format bundle"
DEFAULT_SPLITS, DEFAULT_EPISODES = SplitOptions(), EpisodeOptions()


def _option(*names: str, help: str, default: object = None, **more: Any) -> Any:  # noqa: A002 - typer's word
    shown = f" Default: {default}." if default is not None else ""
    return typer.Option(*names, help=f"{help}{shown}", rich_help_panel=PANEL, **more)


_SHARE = {"metavar": "SHARE", "min": 0, "max": 1}
_MOST_ROWS = 1_000_000
_COUNT = {"metavar": "N", "min": 1, "max": _MOST_ROWS}

TestShare = Annotated[
    float | None, _option("--test-share", help="Of the rows, to test.", default=DEFAULT_SPLITS.test_share, **_SHARE)
]
ValidationShare = Annotated[
    float | None,
    _option("--validation-share", help="To validation.", default=DEFAULT_SPLITS.validation_share, **_SHARE),
]
Minimum = Annotated[
    int | None,
    _option(
        "--minimum",
        help="Rows of each cell in test, and in validation, as far as it has ten times as many.",
        default=DEFAULT_SPLITS.minimum,
        metavar="N",
        min=0,
        max=_MOST_ROWS,
    ),
]
TestTopics = Annotated[
    float | None,
    _option(
        "--test-topics",
        help="Of the topics, held out: wholly in test, drawn by their names.",
        default=DEFAULT_SPLITS.test_topics,
        **_SHARE,
    ),
]
ValidationTopics = Annotated[
    float | None,
    _option(
        "--validation-topics",
        help="The same, wholly in validation.",
        default=DEFAULT_SPLITS.validation_topics,
        **_SHARE,
    ),
]
HoldOut = Annotated[
    list[str] | None,
    _option(
        "--hold-out",
        help="domain=NAME or topic=NAME: wholly in test. May be given several times.",
        metavar="KIND=NAME",
    ),
]
ValidationHoldOut = Annotated[
    list[str] | None,
    _option("--validation-hold-out", help="The same, wholly in validation.", metavar="KIND=NAME"),
]
SplitSeed = Annotated[
    int | None,
    _option(
        "--split-seed",
        help="Another one splits otherwise.",
        default=DEFAULT_SPLITS.seed,
        metavar="N",
        min=0,
        max=2**63 - 1,
    ),
]
TaskKind = Annotated[
    Tasks | None,
    _option("--tasks", help="What the rows of a task have in common.", default=str(DEFAULT_EPISODES.tasks)),
]
Support = Annotated[
    int | None,
    _option("--support", help="Rows of an episode to adapt on.", default=DEFAULT_EPISODES.support, **_COUNT),
]
Query = Annotated[
    int | None, _option("--query", help="Rows of it to measure on.", default=DEFAULT_EPISODES.query, **_COUNT)
]
OpenAi = Annotated[
    bool | None, _option("--openai", help="Also write chats as OpenAI's fine-tuning takes them.", show_default=False)
]
ParentFolder = Annotated[
    Path | None,
    _option(
        "--parent",
        help="An older bundle of the dataset: its rows keep their splits, and its options hold where none is given.",
        metavar="FOLDER",
        exists=True,
        file_okay=False,
    ),
]

# As they are called on the command line, and in which part of the options they are.
SPLIT_FIELDS = {
    "split_seed": "seed",
    "validation_share": "validation_share",
    "test_share": "test_share",
    "minimum": "minimum",
    "validation_topics": "validation_topics",
    "test_topics": "test_topics",
}
EPISODE_FIELDS = ("tasks", "support", "query")
OPTIONS = {*SPLIT_FIELDS, *EPISODE_FIELDS, "hold_out", "validation_hold_out", "seed", "openai", "parent"}


def options_of(typed: Mapping[str, Any], base: BundleOptions, *, has_parent: bool) -> BundleOptions:
    """What is typed over `base`, which is a parent's or the defaults; None is what is not. Raises BadArgument.

    A parent's splits stay as they are.
    """
    _require_known(typed)
    _require_shares(typed, base)
    splits = {field: typed[name] for name, field in SPLIT_FIELDS.items() if typed.get(name) is not None}
    if typed.get("hold_out") or typed.get("validation_hold_out"):
        splits |= _held_out(typed.get("hold_out") or (), typed.get("validation_hold_out") or ())
    wanted = replace(base.splits, **splits)
    if has_parent and wanted != base.splits:
        raise BadArgument(
            "The parent was split otherwise, and its rows keep their splits; leave out the options of splits, which "
            "are taken from it, or make the bundle without --parent."
        )
    of_episodes = {name: typed[name] for name in EPISODE_FIELDS if typed.get(name) is not None}
    if "tasks" in of_episodes:
        of_episodes["tasks"] = Tasks(of_episodes["tasks"])
    episodes = replace(base.episodes, **of_episodes)
    order_seed = base.order_seed if typed.get("seed") is None else typed["seed"]
    openai = base.openai if typed.get("openai") is None else typed["openai"]
    return BundleOptions(wanted, episodes, order_seed, openai)


def _require_known(typed: Mapping[str, Any]) -> None:
    """The command line knows its options; a program may write anything."""
    if unknown := sorted(typed.keys() - OPTIONS):
        raise BadArgument(f"A bundle has no option {unknown[0]!r}; docs/bundle.md names those that it has.")
    if typed.get("tasks") not in {None, *Tasks}:
        *most, last = Tasks
        raise BadArgument(f"tasks are {', '.join(most)} or {last}.")


def _require_shares(typed: Mapping[str, Any], base: BundleOptions) -> None:
    for what in ("share", "topics"):
        both = [f"{split}_{what}" for split in (TEST, VALIDATION)]
        shares = [getattr(base.splits, name) if typed.get(name) is None else typed[name] for name in both]
        if not all(0 <= share <= 1 for share in shares) or sum(shares) > 1:
            options = " and ".join(f"--{name.replace('_', '-')}" for name in both)
            raise BadArgument(f"{options} are from 0 to 1, and at most 1 together; give other ones.")


def _held_out(for_test: Sequence[str], for_validation: Sequence[str]) -> dict[str, dict[str, str]]:
    held: dict[str, dict[str, str]] = {"domains": {}, "topics": {}}
    for split, typed in ((TEST, for_test), (VALIDATION, for_validation)):
        for each in typed:
            kind, _, name = each.partition("=")
            if kind not in {"domain", "topic"} or not fold_name(name):
                raise BadArgument(f"{each!r} names nothing to hold out; write domain=NAME or topic=NAME.")
            if held[f"{kind}s"].setdefault(fold_name(name), split) != split:
                raise BadArgument(f"The {kind} {name} cannot be held out for test and validation; choose one.")
    return held
