"""docs/reference/commands.md, from the parsers of the commands themselves. Pure."""

from collections.abc import Mapping, Sequence

from reference.command_lines import CommandLine
from reference.markdown import fence, link, paragraphs, prose, sentence, slug, table

INTRO = """
What `./run` can do. Alone, it prints this list:
"""


def commands_page(overview: str, parts: Mapping[str, Sequence[CommandLine]], claims: Mapping[str, str]) -> list[str]:
    """The page's lines: `overview` is what `./run` prints, `parts` the commands by chapter, `claims` the measures."""
    lines = ["# Commands", "", *paragraphs(INTRO), *fence("text", overview)]
    for title, commands in parts.items():
        rows = ((link(each.path), prose(sentence(each.about.partition("\n\n")[0]))) for each in commands)
        lines += table((f"[{title}](#{slug(title)})", ""), rows)
    for title, commands in parts.items():
        lines += [f"## {title}", ""]
        for each in commands:
            lines += [
                f"### {each.path}",
                "",
                *paragraphs(sentence(each.about)),
                *fence("text", each.usage),
                *_arguments(each),
            ]
            if each.path == "./run bench":
                lines += table(("measure", "claim"), ((f"`{name}`", claim) for name, claim in claims.items()))
    return lines


def _arguments(command: CommandLine) -> list[str]:
    rows = ((f"`{each.written}`", prose(sentence(each.what))) for each in command.arguments)
    return table(("argument", "what"), rows)
