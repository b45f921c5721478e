"""Typing what pages print: what goes wrong is told with page, line, command and output."""

from pathlib import Path

import pytest

from tests.docs import session as typing
from tests.docs.entries import Asks, Instead, NotRun, Repeats, Stays
from tests.docs.pages import parse_page
from tests.docs.reports import Broken, Report, Verdict, account_of
from tests.docs.scratch import Scratch
from tests.docs.session import Session
from tests.docs.shell import ShellCommand, commands_of

PAGE = "docs/page.md"


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """In an empty folder; no entry of the real table but these is known."""
    for name in ("root", "person"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(typing, "ASKS", (Asks(printed="* asks*", why="it asks"),))
    monkeypatch.setattr(typing, "STAYS", (Stays(printed="stays*", why="it stays", ready="ready"),))
    monkeypatch.setattr(typing, "INSTEAD", (Instead(printed="NAME", run="me", why="a placeholder"),))
    monkeypatch.setattr(typing, "REPEATS", (Repeats(printed="kept_1", said=r"kept_\d+", why="its name"),))
    monkeypatch.setattr(typing, "NOT_RUN", (NotRun(printed="kubectl *", why="no cluster"),))
    return Session(Scratch(tmp_path / "root", tmp_path / "person"))


def typed(session: Session, *lines: str) -> list[Report]:
    page = parse_page(PAGE, "\n".join(["```sh", *lines, "```"]))
    return [session.type(command) for command in commands_of(page)]


def test_a_command_that_fails_is_told_with_its_place_and_what_it_said(session: Session) -> None:
    with pytest.raises(Broken, match=r"^docs/page\.md:3: ls NAME  # ours\ntyped: ls me  # ours\nexit code 2\n.*'me'"):
        typed(session, "true", "ls NAME  # ours")


def test_a_command_goes_on_over_lines_and_knows_what_the_page_has_exported(session: Session) -> None:
    reports = typed(session, "export WORD='a b'", "# a remark", "", 'test "$WORD" = \\', "    'a b' # it is")
    assert [(each.command.line, each.verdict) for each in reports] == [(2, Verdict.RUN), (5, Verdict.RUN)]
    session.begin_page()
    with pytest.raises(Broken, match="exit code 1"):
        typed(session, 'test "$WORD" = "a b"')


def test_what_a_command_has_said_stands_in_for_what_the_page_prints(session: Session) -> None:
    typed(session, "echo it is kept_77", "touch kept_1", "test -e kept_77")
    assert not (session.scratch.root / "kept_1").exists()


def test_a_question_is_answered_and_has_to_be_asked(session: Session) -> None:
    ask = "read -p 'Go on? [y/N] ' said; test \"$said\" = y; : asks"
    typed(session, f"{ask} # asks")
    with pytest.raises(Broken, match=r"(?s)did not end.*it asked nothing"):
        typed(session, "echo done asks")


@pytest.mark.parametrize("line", ["sleep 1000", "sleep 1000; : asks"])
def test_a_command_that_hangs_is_ended_and_told(session: Session, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typing, "LIMIT_SECONDS", 0.3)
    with pytest.raises(Broken, match="did not end"):
        typed(session, line)


def test_what_stays_has_to_be_ready_and_to_end_well_on_ctrl_c(session: Session) -> None:
    well = "trap 'exit 0' INT; echo ready; while :; do sleep 0.1; done"
    ill = "trap 'exit 3' INT; echo ready; while :; do sleep 0.1; done"
    typed(session, f"stays() {{ {well}; }}; stays")
    session.end_page()
    typed(session, f"stays() {{ {ill}; }}; stays")
    with pytest.raises(Broken, match=r"Ctrl-C: .*\nexit code 3"):
        session.end_page()
    with pytest.raises(Broken, match=r"never said 'ready'"):
        typed(session, "stays() { echo no; }; stays")


def test_what_is_not_run_is_listed_with_its_reason(session: Session) -> None:
    reports = [*typed(session, "true", "kubectl apply x"), Report(ShellCommand(PAGE, 9, "x"), Verdict.BEFORE)]
    count, _, listed = account_of(reports)
    assert count == "1 run, 1 run on an earlier page, 0 run elsewhere, 1 not run"
    assert listed == "not run: docs/page.md:3: kubectl apply x: no cluster"
