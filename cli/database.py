"""`questmill db`: the schema, on the database itself; the API need not run."""

from typing import Annotated

import typer

from cli.plain_words import BadArgument

CONTRACT_FIRST = "End all processes of the release before, then: questmill db upgrade --contract"

# Its drivers take a fifth of a second to import, which no other command needs: each imports them itself.
db = typer.Typer(no_args_is_help=True, help="Look at the database's schema and bring it up to date.")


@db.command()
def upgrade(
    contract: Annotated[
        bool, typer.Option("--contract", help="Also what processes of the release before cannot live with; end them.")
    ] = False,
) -> None:
    """Bring the schema to what this release needs, also while the release before runs."""
    from cli.schema import in_words, look_at, take_steps, why_refused

    schema = look_at()
    if why := why_refused(schema, contract=contract):
        raise BadArgument(why)
    for step in take_steps(schema):
        typer.echo(f"{step.revision}  {step.what}")
    typer.echo(in_words(look_at()))


@db.command()
def current() -> None:
    """Print the revision of the database's schema; nothing for an empty one."""
    from cli.schema import look_at

    revision = look_at().current
    if revision is not None:
        typer.echo(revision)


@db.command()
def check(
    compare: Annotated[
        bool, typer.Option("--compare", help="Also compare every table with the code, for changes by hand.")
    ] = False,
) -> None:
    """Say whether this release can run on the schema.

    Exit code 0: it can. 3: the schema is older, and upgrading it does not disturb who runs. 4: older, and the upgrade
    would break processes of the release before. 5: not a schema of ours.
    """
    from cli.schema import Verdict, in_words, list_differences, look_at, verdict_of

    schema = look_at()
    verdict = verdict_of(schema)
    typer.echo(in_words(schema))
    if compare and (differences := list_differences(schema)):
        typer.echo("Somebody changed it by hand; to be as this release's code says, it lacks:")
        typer.echo("\n".join(f"  {each}" for each in differences))
        verdict = Verdict.DIFFERENT
    raise typer.Exit(verdict)
