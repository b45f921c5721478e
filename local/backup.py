"""`./run backup`: one file with the whole database, while the system goes on."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import psycopg

from cli.new_file import place_of, require_absent
from cli.plain_words import BadArgument
from local.pg_client import check_server_version, connected, count_contents, open_database, run_client
from local.process import LocalProblem
from shared.settings import Settings

APPLICATION = "questmill-backup"


def back_up(settings: Settings, file: Path, say: Callable[[str], None], *, force: bool) -> None:
    """Dump DATABASE_URL, else what runs in this home, else the home's own database, started for it.

    Raises LocalProblem when there is no database, no file can be there,
    or one is (`force` replaces it, once the new one is whole).
    """
    if not file.parent.is_dir():
        raise LocalProblem(f"There is no folder {file.parent}.")
    try:
        require_absent(file, force=force, what="another FILE")
        place = place_of(file)
    except BadArgument as problem:
        raise LocalProblem(str(problem)) from None
    draft = place.with_name(f"{place.name}.new")
    with open_database(settings, "./run backup") as url, connected(url, APPLICATION) as connection:
        check_server_version(connection)
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        try:
            os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
            # The dump is of the moment at which it was counted, whatever is written meanwhile.
            with connection.transaction():
                connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                contents = count_contents(connection)
                ((snapshot,),) = connection.execute("SELECT pg_export_snapshot()").fetchall()
                run_client("pg_dump", ["--format=custom", f"--snapshot={snapshot}", f"--file={draft}"], url)
            draft.replace(place)
        except OSError as error:
            raise LocalProblem(f"{file} cannot be written: {error.strerror}.") from error
        finally:
            draft.unlink(missing_ok=True)
    say(f"Backup written: {file} ({file.stat().st_size / 1e6:,.2f} MB): {contents}.")
    say(f"To restore it, stop the system; then: ./run restore {shlex.quote(str(file))}")
