"""The table of `./run test-containers`: which commands of the pages it types, and what is different from the page."""

from tests.docs.entries import Entry, Instead, NotRun, first
from tests.docs.pages import Page
from tests.docs.shell import ShellCommand, commands_of

TYPED = (
    Entry(printed="docker *", why="Docker's own"),
    Entry(printed="sh tests/containers/*", why="Docker's own"),
    Entry(printed="kubectl kustomize *", why="needs no cluster"),
)
INSTEAD = (
    Instead(printed="@sha256:...", run="", why="a digest is yours to add"),
    Instead(
        printed="docker compose up",
        whole=True,
        run="docker compose up --wait",
        why="alone it would stay at the terminal",
    ),
    Instead(
        printed="docker compose exec -T postgres psql --username=questmill questmill",
        whole=True,
        run="docker compose exec -T postgres psql --username=questmill questmill < /dev/null",
        why="it reads statements until they end",
    ),
    Instead(printed="worker=N", run="worker=2", why="a placeholder"),
    Instead(printed=" CONTAINER", run=" $(docker compose ps --quiet worker | head -n 1)", why="a placeholder"),
)
NOT_RUN = (NotRun(printed="kubectl *", why="needs a cluster, and none is at hand"),)
TABLE = (*TYPED, *INSTEAD, *NOT_RUN)
BEGINNINGS = ("docker ", "kubectl ", "sh tests/containers/")


def takes(command: ShellCommand) -> bool:
    """Whether `./run test-containers` types this command."""
    return first(TYPED, command) is not None


def container_commands(page: Page) -> list[ShellCommand]:
    """The commands of Docker and kubectl in blocks and in sentences, in the order of the page.

    In a sentence two words are a name: `docker compose`, `kubectl apply`.
    """
    told = [ShellCommand(code.page, code.line, code.text) for code in page.codes if len(code.text.split()) > 2]
    found = [each for each in commands_of(page) + told if each.bare.startswith(BEGINNINGS)]
    return sorted(found, key=lambda each: each.line)


def typed(command: ShellCommand) -> str:
    """The command with what stands in for the placeholders."""
    text = command.printed
    for entry in INSTEAD:
        text = entry.replace_in(text) if entry.matches(command) else text
    return text
