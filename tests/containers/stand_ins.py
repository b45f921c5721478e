"""The table of `./run test-containers`: which commands of the pages it types, and what is different from the page."""

from tests.docs.entries import Entry, Instead, NotRun, first
from tests.docs.pages import Page
from tests.docs.shell import ShellCommand, commands_of

TYPED = (
    Entry(printed="docker *", why="Docker's own"),
    Entry(printed="sh tests/containers/smoke.sh", why="Docker's own"),
    Entry(printed="kubectl kustomize *", why="needs no cluster"),
)
INSTEAD = (Instead(printed="@sha256:...", run="", why="a digest is yours to add"),)
WHOLE_INSTEAD = (
    Instead(printed="docker compose up", run="docker compose up --wait", why="alone it would stay at the terminal"),
)
NOT_RUN = (NotRun(printed="kubectl *", why="needs a cluster, and none is at hand"),)
TABLE = (*INSTEAD, *WHOLE_INSTEAD, *NOT_RUN)


def takes(command: ShellCommand) -> bool:
    """Whether `./run test-containers` types this command."""
    return first(TYPED, command) is not None


def container_commands(page: Page) -> list[ShellCommand]:
    """The commands of Docker and kubectl in blocks and in sentences, in the order of the page.

    In a sentence `docker compose` alone, or with nothing but a word that a table lists, is a name and no command.
    """
    printed = [
        command
        for command in commands_of(page)
        if command.bare.startswith(("docker ", "kubectl ", "sh tests/containers/"))
    ]
    told = [
        ShellCommand(code.page, code.line, code.text)
        for code in page.codes
        if code.text.startswith(("docker ", "kubectl "))
    ]
    return sorted(printed + [command for command in told if len(command.bare.split()) > 2], key=lambda each: each.line)


def typed(command: ShellCommand) -> str:
    """The command with what stands in for the placeholders."""
    for whole in WHOLE_INSTEAD:
        if command.bare == whole.printed:
            return whole.run
    text = command.printed
    for entry in INSTEAD:
        text = text.replace(entry.printed, entry.run) if entry.matches(command) else text
    return text
