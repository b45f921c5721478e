"""One person who reads the pages and types what they print, in one clone, with one system that runs beside."""

import re
import time
from collections.abc import Callable, Mapping

from local.home import Home
from tests.docs import preparing
from tests.docs.entries import first
from tests.docs.reports import Broken, Report, Verdict, describe, gist
from tests.docs.scratch import Scratch
from tests.docs.shell import ShellCommand
from tests.docs.stand_ins import ASKS, ELSEWHERE, INSTEAD, NEEDS, NOT_RUN, ONCE, PRINTED, REPEATS, STAYS
from tests.docs.terminal import Outcome, Staying, answer_command, type_command

UP = "./run up"
UP_READY = "Questmill is up."
LIMIT_SECONDS = 180
WHAT_TO_DO = "Mend the page or the product; what only a test has to do otherwise is a line of tests/docs/stand_ins.py."


class Session:
    """Types commands; keeps what the page has exported and said, and what stays."""

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self.home = scratch.root / ".questmill"
        self._own = scratch.environment()
        self.environment = dict(self._own)
        self.system: Staying | None = None
        self._is_plain = True
        self._beside: list[Staying] = []
        self._done: set[str] = set()
        self._said = ""

    def begin_page(self) -> None:
        """The folder as a clone has it, and a new terminal."""
        self.scratch.tidy()
        self.environment = dict(self._own)
        self._said = ""

    def end_page(self) -> None:
        """Ctrl-C to what stays, but for a plain system, which the next page finds running."""
        while self._beside:
            self._end(self._beside.pop())
        if not self._is_plain:
            self.stop_system()

    def type(self, command: ShellCommand) -> Report:
        """Do what the page says. Raises Broken where that does not go well."""
        for table, verdict in ((ELSEWHERE, Verdict.ELSEWHERE), (NOT_RUN, Verdict.NOT_RUN)):
            if entry := first(table, command):
                return Report(command, verdict, entry.why)
        began = time.monotonic()
        text = self._replaced(command)
        if (entry := first(ONCE, command)) and text in self._done:
            if text == UP:
                self.start_system()
            return Report(command, Verdict.BEFORE, entry.why)
        self._prepare_for(command)
        outcome = self._execute(command, text)
        self._said += outcome.said
        if outcome.code != 0:
            raise Broken(f"{describe(command, text, outcome)}\n\n{WHAT_TO_DO}")
        self._done.add(text)
        return Report(command, Verdict.RUN, seconds=time.monotonic() - began)

    def run_python(self, command: ShellCommand) -> Report:
        """Run an example in Python, in a file of its own. Raises Broken."""
        began = time.monotonic()
        self._prepare_for(command)
        (self.scratch.root / "example.py").write_text(command.printed)
        beside = f"{self.scratch.person}/questmill:{self.scratch.root}/.train"
        outcome = self._type(f"PYTHONPATH={beside} .venv/bin/python example.py")
        self._said += outcome.said
        if outcome.code != 0:
            raise Broken(describe(command, "python example.py", outcome))
        return Report(command, Verdict.RUN, seconds=time.monotonic() - began)

    def require_printed(self, page: str) -> None:
        """What the table says that the page's examples print. Raises Broken."""
        for expected in PRINTED.get(page, ()):
            if expected not in self._said:
                raise Broken(f"{page}: its examples did not print {expected!r} but\n{gist(self._said)}")

    def do(self, text: str) -> str:
        """A command of a preparation, in a terminal of its own; what it said. Raises Broken."""
        outcome = type_command(text, self.scratch.root, self._own, seconds=LIMIT_SECONDS)
        if outcome.code != 0:
            raise Broken(f"{text}\nexit code {outcome.code}\n{gist(outcome.said)}")
        return outcome.said

    def start_system(self) -> None:
        """`./run up`, unless a system runs. Raises Broken."""
        if self.system is None:
            outcome = self._stay(UP, UP_READY, self._own)
            if outcome.code != 0:
                raise Broken(f"{UP}\nexit code {outcome.code}\n{gist(outcome.said)}")

    def stop_system(self) -> None:
        """Ctrl-C to the system, if one runs. Raises Broken where it does not end with 0."""
        if self.system is not None:
            system, self.system = self.system, None
            self._end(system)

    def _prepare_for(self, command: ShellCommand) -> None:
        try:
            for need in NEEDS:
                if need.matches(command):
                    prepare: Callable[[Session], None] = getattr(preparing, need.preparation)
                    prepare(self)
        except Broken as error:
            raise Broken(f"{command.place}: {command.printed}\n\nwhat it needs could not be made:\n{error}") from None

    def _replaced(self, command: ShellCommand) -> str:
        text = with_stand_ins(command)
        for repeat in REPEATS:
            if repeat.matches(command):
                found = re.findall(repeat.said, self._said)
                if not found:
                    raise Broken(f"nothing on the page has said {repeat.said}")
                text = text.replace(repeat.printed, found[-1])
        return text

    def _execute(self, command: ShellCommand, text: str) -> Outcome:
        if stays := first(STAYS, command):
            return self._stay(text, stays.ready, self.environment)
        if asks := first(ASKS, command):
            return answer_command(
                text, self.scratch.root, self.environment, asks.answer, seconds=LIMIT_SECONDS, may_not_ask=asks.may_not
            )
        if command.bare.startswith("export "):
            return self._export(text)
        return self._type(text)

    def _type(self, text: str) -> Outcome:
        return type_command(text, self.scratch.root, self.environment, seconds=LIMIT_SECONDS)

    def _export(self, text: str) -> Outcome:
        """What is exported holds for the rest of the page."""
        outcome = self._type(f"{text} && env -0")
        told = (pair.partition("=") for pair in outcome.said.split("\0") if "=" in pair)
        self.environment = {name: value for name, _, value in told if name not in {"_", "SHLVL", "PWD", "OLDPWD"}}
        return Outcome(outcome.code, "")

    def _stay(self, text: str, ready: str, environment: Mapping[str, str]) -> Outcome:
        is_system = "./run up" in text
        log = self.scratch.root.parent / f"stays_{'system' if is_system else len(self._beside)}.log"
        staying = Staying(text, self.scratch.root, environment, log)
        outcome = staying.wait_until(ready)
        if outcome.code != 0:
            staying.interrupt()
        elif is_system:
            self.system = staying
            exported = {name for name, value in environment.items() if value and value != self._own.get(name)}
            self._is_plain = text == UP and not exported
            self._tell_addresses()
        else:
            self._beside.append(staying)
        return outcome

    def _tell_addresses(self) -> None:
        """What the table's stand-ins may use of the system that runs."""
        if addresses := Home(self.home).read():
            models = " ".join(f"{name}={value}" for name, value in addresses.worker.items())
            for each in (self._own, self.environment):
                each["RUNNING_API_URL"] = addresses.api_url
                each["RUNNING_DATABASE_URL"] = addresses.database_url
                each["RUNNING_REDIS_URL"] = addresses.redis_url
                each["RUNNING_MODELS"] = models

    def _end(self, staying: Staying) -> None:
        outcome = staying.interrupt()
        if outcome.code != 0:
            raise Broken(f"Ctrl-C: {staying.text}\nexit code {outcome.code}\n{gist(outcome.said)}")


def with_stand_ins(command: ShellCommand) -> str:
    """The command with what the table has for its placeholders and sizes."""
    text = command.printed
    for entry in INSTEAD:
        if entry.matches(command):
            text = entry.replace_in(text)
    return text
