import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from cli.completion import SCRIPTS, Shell, completion_script
from tests.unit.cli.conftest import Here

ROOT = Path(__file__).parents[3]
BASH = shutil.which("bash") or "/bin/bash"
JOBS = [
    {"id": "01a2", "dataset": "seed", "state": "running"},
    {"id": "01a1", "dataset": "seed", "state": "failed"},
    {"id": "01a0", "dataset": "sea", "state": "succeeded"},
]


@contextmanager
def api(*, answers: bool = True) -> Iterator[str]:
    """An API that knows a few jobs and datasets, or never answers."""
    done = threading.Event()

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not answers:
                done.wait(10)
                return
            items: list[dict[str, Any]] = JOBS if "jobs" in self.path else [{"name": "seed"}, {"name": "old"}]
            body = orjson.dumps({"items": items, "next_cursor": None})
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            done.set()
            server.shutdown()
            serving.join()


def words(here: Here, line: str) -> list[str]:
    here.monkeypatch.setenv("_QUESTMILL_COMPLETE", f"questmill {line}")
    return [each.partition("\t")[0] for each in here.run().splitlines() if each]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("can", ["cancel"]),
        ("watch se", ["seed", "sea"]),
        ("watch 01a", ["01a2", "01a1", "01a0"]),
        ("pause ", ["seed", "sea"]),
        ("export s", ["seed"]),
        ("export seed --format p", ["parquet"]),
        ("export seed --inc", ["--include-contaminated"]),
        ("prompts d", ["diff"]),
        ("completion z", ["zsh"]),
        ("plan ", []),  # a file: the shell's business
    ],
)
def test_commands_options_jobs_and_datasets_are_completed(here: Here, line: str, expected: list[str]) -> None:
    here.monkeypatch.setattr("cli.completion.ANSWER_SECONDS", 10)
    with api() as address:
        assert words(here.at(address), line) == expected


def test_an_api_that_is_slow_or_away_completes_nothing_and_says_nothing(here: Here) -> None:
    with api(answers=False) as address:
        assert words(here.at(address), "watch ") == []
    assert words(here.at(address), "export ") == []


@pytest.mark.parametrize("shell", list(Shell))
def test_each_script_names_this_clone_and_every_command_of_run(here: Here, shell: Shell) -> None:
    script = here.run("completion", shell)
    assert script == completion_script(shell)
    assert str(ROOT / "run") in script
    assert "@RUN@" not in script
    shown = set(re.findall(r"^\./run ([a-z-]+)", (ROOT / "run").read_text(), re.MULTILINE))
    assert shown <= set(re.findall(r"[a-z-]+", (SCRIPTS / f"questmill.{shell}").read_text()))


def test_bash_completes_after_run_and_after_the_name_alone() -> None:
    told = f"""
        cd {ROOT}
        eval "$PRINTED"
        COMP_WORDS=(./run que); COMP_CWORD=1; _questmill_run; echo "${{COMPREPLY[*]}}"
        COMP_WORDS=(./run questmill can); COMP_CWORD=2; _questmill_run; echo "${{COMPREPLY[*]}}"
        COMP_WORDS=(questmill export seed --fo); COMP_CWORD=3; _questmill; echo "${{COMPREPLY[*]}}"
        COMP_WORDS=(/bin/ls x); COMP_CWORD=1; COMPREPLY=(); _questmill_run; echo "${{COMPREPLY[*]}}"
    """
    environment = {"PATH": os.environ["PATH"], "PRINTED": completion_script(Shell.BASH)}
    said = subprocess.run([BASH, "-c", told], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == ["questmill", "cancel", "--format --force", ""]
