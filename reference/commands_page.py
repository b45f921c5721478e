"""docs/reference/commands.md, from the parsers of the commands themselves. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from reference.command_lines import CommandLine
from reference.markdown import link, paragraphs, prose, sentence, slug, table

INTRO = """
What `./run` can do. In each line, what stands in brackets can be left out, and `[...]` are the options below it;
`--help` behind a command shows the same.
"""
UPKEEP = "Upkeep"


def commands_page(
    parts: Mapping[str, Sequence[CommandLine]], claims: Mapping[str, str], listed: Iterable[tuple[str, str]]
) -> list[str]:
    """The page's lines.

    `parts` are the commands by chapter, `claims` what measures claim, `listed` what `./run` says of all its commands,
    those of the script itself included.
    """
    lines = ["# Commands", "", *paragraphs(INTRO)]
    for title, commands in parts.items():
        rows = ((link(each.path), prose(sentence(each.about.partition("\n\n")[0]))) for each in commands)
        lines += table((f"[{title}](#{slug(title)})", ""), rows)
    lines += [f"{link(UPKEEP)} is at the end: tests, checks, and what a change needs.", ""]
    for title, commands in parts.items():
        lines += [f"## {title}", ""]
        for each in commands:
            lines += [
                f"### {each.path}",
                "",
                *paragraphs(sentence(each.about)),
                f"`{each.usage}`",
                "",
                *_arguments(each),
            ]
            if each.path == "./run bench":
                lines += table(("measure", "claim"), ((f"`{name}`", claim) for name, claim in claims.items()))
    told = {each.path.split()[1] for commands in parts.values() for each in commands}
    upkeep = ((f"`{written}`", prose(sentence(what))) for written, what in listed if written.split()[1] not in told)
    return [*lines, f"## {UPKEEP}", "", *table(("command", "what"), upkeep)]


def _arguments(command: CommandLine) -> list[str]:
    rows = ((f"`{each.written}`", prose(sentence(each.what))) for each in command.arguments)
    return table(("argument", "what"), rows)
