"""The commands of the embedded stack, as `./run` calls them."""

import argparse
import os
import re
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from local.home import Home
from local.process import SMALL_MEMORY, LocalProblem
from shared.errors import InvalidInput
from shared.settings import load_settings

PROBLEM_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130


def make_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(prog="./run")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start the whole system and stay")
    up.add_argument("--workers", type=_positive, default=2, help="worker processes (2)")
    worker = commands.add_parser(
        "worker", help="one more worker process, of DATABASE_URL and REDIS_URL or of the system that runs in this home"
    )
    worker.add_argument("--concurrency", type=_positive, help="calls in flight at once (64)")
    demo = commands.add_parser("demo", help="a whole job, start to finish")
    demo.add_argument("--questions", type=_positive, help="scale the mix to this many questions (60000)")
    demo.add_argument("--real", action="store_true", help="use the models of your own keys, after showing the forecast")
    demo.add_argument("--yes", action="store_true", help="with --real: do not ask")
    demo.add_argument("--workers", type=_positive, default=2, help="worker processes (2)")
    backup = commands.add_parser("backup", help="write the whole database to one file, also while the system runs")
    backup.add_argument("file", type=Path, help="where it is written")
    backup.add_argument("--force", action="store_true", help="replace a file that is there")
    restore = commands.add_parser("restore", help="put a backup in the place of the database")
    what = restore.add_mutually_exclusive_group(required=True)
    what.add_argument("file", type=Path, nargs="?", help="what ./run backup wrote")
    what.add_argument("--undo", metavar="DATABASE", help="put back a database that a restore kept")
    restore.add_argument("--yes", action="store_true", help="do not ask")
    _add_keys(commands.add_parser("keys", help="who may use the API"))
    return parser


def main() -> int:
    """Run one command; 2 when something on this machine stands in the way."""
    arguments = make_parser().parse_args()
    try:
        if sys.platform != "linux":
            raise LocalProblem("The embedded stack needs Linux; elsewhere use `docker compose up`.")  # noqa: TRY301 - same exit
        return _run(arguments)
    except (LocalProblem, InvalidInput) as problem:
        print(problem.detail, file=sys.stderr)
        return PROBLEM_EXIT_CODE
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED_EXIT_CODE


def _run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "worker":
            join(arguments.concurrency)
        case "up":
            from local.up import bring_up

            bring_up(load_settings(), arguments.workers, _say)
        case "backup":
            from local.backup import back_up

            back_up(load_settings(), arguments.file, _say, force=arguments.force)
        case "restore":
            return _restore(arguments)
        case "keys":
            return _keys(arguments)
        case _:
            from rich.console import Console

            from local.demo import DemoOptions, run_demo

            options = DemoOptions(arguments.questions, arguments.real, arguments.yes, arguments.workers)
            return run_demo(load_settings(), options, Console())
    return 0


def _add_keys(keys: argparse.ArgumentParser) -> None:
    what = keys.add_subparsers(dest="what", required=True)
    create = what.add_parser("create", help="make a key, and show it this once")
    create.add_argument("name", type=_key_name, help="whose it is: shown wherever the key is told of")
    create.add_argument(
        "--scope", required=True, choices=["read", "submit", "admin"], help="each may all that those before it may"
    )
    create.add_argument("--requests-per-minute", type=_positive, metavar="N", help="of this key")
    create.add_argument("--open-jobs", type=_positive, metavar="N", help="unfinished jobs at once")
    create.add_argument("--questions", type=_positive, metavar="N", help="of all its jobs together")
    create.add_argument("--dollars", type=_dollars, metavar="D", help="of all its jobs together")
    what.add_parser("list", help="all keys, when each was last used, and what its jobs take")
    revoke = what.add_parser("revoke", help="let nobody in with it any more")
    revoke.add_argument("key", metavar="NAME_OR_ID", help="as ./run keys list shows it")
    revoke.add_argument("--yes", action="store_true", help="do not ask")


def _keys(arguments: argparse.Namespace) -> int:
    from local import keys
    from shared.access.quotas import Quotas
    from shared.access.scopes import Scope

    settings = load_settings()
    if arguments.what == "list":
        keys.show(settings, _say)
        return 0
    if arguments.what == "create":
        quotas = Quotas(arguments.open_jobs, arguments.questions, arguments.dollars)
        rate = arguments.requests_per_minute
        scope = Scope(arguments.scope)
        keys.create(settings, arguments.name, scope, requests_per_minute=rate, quotas=quotas, say=_say)
        return 0
    if keys.revoke(settings, arguments.key, _asking(yes=arguments.yes), _say):
        return 0
    _say("Nothing was revoked.")
    return 1


def _asking(*, yes: bool, more: str = "") -> Callable[[str], bool]:
    """What asks a person, unless `yes` is the answer already; `more` is said where somebody reads it."""

    def ask(what: str) -> bool:
        if yes:
            return True
        if not sys.stdin.isatty():
            raise LocalProblem(f"{what} Nobody is there to answer; --yes goes on without asking.")
        try:
            return input(f"{what}{more}\nGo on? [y/N] ").strip().lower() in {"y", "yes"}
        except EOFError:  # Ctrl-D
            print()
            return False

    return ask


def _restore(arguments: argparse.Namespace) -> int:
    from local.restore import restore, undo

    ask = _asking(yes=arguments.yes, more=" The present one is kept under another name.")
    if arguments.undo:
        done = undo(load_settings(), arguments.undo, ask, _say)
    else:
        done = restore(load_settings(), arguments.file, ask, _say)
    if not done:
        _say("Nothing was replaced.")
    return 0 if done else 1


def join(concurrency: int | None) -> None:
    """Become a worker of the system that DATABASE_URL and REDIS_URL name, or of the one that runs in this home."""
    if concurrency is not None:
        os.environ["QUESTMILL_CALLS_IN_FLIGHT"] = str(concurrency)
    settings = load_settings()
    if settings.names_database != settings.names_broker:
        only = "DATABASE_URL" if settings.names_database else "REDIS_URL"
        raise LocalProblem(f"Only {only} is set: a worker needs both DATABASE_URL and REDIS_URL, of one system.")
    if not settings.names_database:
        home = Home(settings.home)
        addresses = home.read()
        if addresses is None:
            raise LocalProblem(
                f"No system runs in {home.path}: start one with `./run up`, or set DATABASE_URL and REDIS_URL."
            )
        os.environ["DATABASE_URL"] = addresses.database_url
        os.environ["REDIS_URL"] = addresses.redis_url
        os.environ.update(addresses.worker)
    for name, value in SMALL_MEMORY.items():
        os.environ.setdefault(name, value)
    root = Path(__file__).parents[1]
    os.chdir(root)
    os.execv(sys.executable, [sys.executable, "-m", "workers"])  # noqa: S606 - no shell is wanted


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _dollars(text: str) -> Decimal:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,4})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of dollars such as 25 or 12.50")
    return Decimal(text)


def _key_name(text: str) -> str:
    from shared.access.key_text import check_name

    try:
        return check_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no name for a key: {error}") from None


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
