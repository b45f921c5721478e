"""Every error is one helpful sentence, whatever the command."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cli.complaints import describe
from local.process import free_port
from tests.unit.cli.conftest import Here

ROOT = Path(__file__).parents[3]
JOB = "01a20522-28f0-76d0-8f24-787f8aa135cb"
SPEC = "dataset: d\nmix: {domains: {m: 3}, difficulties: {easy: {token_share: 1, mean_tokens: 15}}}\n"
ROW = '{"question": "Why?", "domain": "m", "difficulty": "easy"}\n'
COMMANDS = [
    "plan ok.yaml", "submit ok.yaml", "submit ok.yaml --watch", "watch d", f"watch {JOB}", "jobs", "submissions d",
    f"submissions {JOB}", f"novelty {JOB}", f"novelty {JOB} --cell m/easy", "prompts show", "prompts show answer",
    "prompts diff answer", f"pause {JOB}", f"resume {JOB}", f"cancel {JOB}", "import d rows.jsonl",
    "export d --out out.jsonl", "check d rows.jsonl", "dedup-report d", "decontaminate d --against rows.jsonl",
    "prune --dry-run", "prune --yes", "sample d", f"verdicts {JOB}", f"reparse {JOB} --dry-run", f"reparse {JOB} --yes",
]  # fmt: skip


@contextmanager
def stranger(body: bytes, status: int = 200, asked: threading.Event | None = None) -> Iterator[str]:
    """A server that is not ours: it answers everything so; with `asked` it says so, and then nothing."""
    ended = threading.Event()

    class Stranger(BaseHTTPRequestHandler):
        def answer(self) -> None:
            if asked is not None:
                asked.set()
                ended.wait(20)
                return
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 - the base class looks for these names

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            ended.set()
            server.shutdown()
            serving.join()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "ok.yaml").write_text(SPEC)
    (tmp_path / "rows.jsonl").write_text(ROW)
    return tmp_path


def test_another_program_at_the_address_is_told_in_one_line(here: Here, files: Path) -> None:
    with stranger(b'{"hello": 1}') as address:
        for command in COMMANDS:
            said = here.at(address).run(*command.split(), status=1)
            assert "is not Questmill; set QUESTMILL_API_URL" in said, command
            assert len(said.splitlines()) == 1, said
    assert {path.name for path in files.iterdir()} == {"ok.yaml", "rows.jsonl"}


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"<html>", 200, "is not Questmill"),
        (b"[1, 2]", 200, "is not Questmill"),
        (b"\xff", 404, "is not Questmill"),
        (b"{}", 502, "answered 502 without saying why; look at its log"),
    ],
)
def test_no_answer_makes_a_traceback(here: Here, files: Path, body: bytes, status: int, sentence: str) -> None:
    with stranger(body, status) as address:
        for command in ("jobs", f"watch {JOB}", "export d --out out.jsonl", "check d rows.jsonl"):
            assert sentence in here.at(address).run(*command.split(), status=1), command


def test_no_api_is_told_in_one_line(here: Here, files: Path) -> None:
    here.at(f"http://127.0.0.1:{free_port()}")
    for command in COMMANDS[::4]:
        said = here.run(*command.split(), status=1)
        assert "Start it with ./run up" in said
        assert len(said.splitlines()) == 1, said


@pytest.mark.parametrize("address", ["http://host:port", "ftp://host", "host", "http://[::1"])
def test_an_address_that_is_none_is_told(here: Here, address: str) -> None:
    said = here.at(address).run("jobs", status=1)
    assert "Mend QUESTMILL_API_URL" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("watch", "Error: Missing argument 'JOB'. See ./run questmill watch --help"),
        ("frobnicate", "Error: No such command 'frobnicate'. See ./run questmill --help"),
        ("import d none.jsonl", "file 'none.jsonl' does not exist. See ./run questmill import --help"),
        ("export d --format xml --out x", "'xml' is not one of 'jsonl', 'parquet'"),
        ("jobs --colour", "No such option"),
        ("wtach d", "Did you mean 'watch'? See ./run questmill --help"),
        ("completion powershell", "'shell': 'powershell' is not one of 'bash', 'zsh', 'fish'. See"),
        ("init --questions lots", "'--questions': write a whole number. See"),
        ("init --questions -5", "'--questions': write a number greater than or equal to 1. See"),
    ],
)
def test_a_command_typed_wrong_is_one_line_and_names_its_help(here: Here, command: str, sentence: str) -> None:
    said = here.run(*command.split(), status=2)
    assert sentence in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "out.jsonl: no room is left on its disk. Free some, or choose another place."),
        (errno.EACCES, "out.jsonl: permission denied. Choose another place, or change who may use it."),
        (errno.EIO, "out.jsonl: Input/output error."),
    ],
)
def test_what_the_system_refuses_names_the_file_and_what_to_do(number: int, sentence: str) -> None:
    assert describe(OSError(number, os.strerror(number), "out.jsonl")) == sentence


def test_a_disk_that_fills_up_leaves_no_half_file(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, _: Path) -> Path:
        assert path.exists()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", refuse)
    assert (
        here.run("init", status=1)
        == "Error: job.yaml: no room is left on its disk. Free some, or choose another place.\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["jobs", "export d --out out.jsonl"])
def test_ctrl_c_is_one_line_and_leaves_nothing(files: Path, command: str) -> None:
    asked = threading.Event()
    with stranger(b"", asked=asked) as address:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "QUESTMILL_API_URL": address}
        argv = [sys.executable, "-m", "cli", *command.split()]
        with subprocess.Popen(argv, env=environment, cwd=files, stderr=subprocess.PIPE, text=True) as process:
            assert asked.wait(30)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == "Error: Interrupted; the same command can be given again.\n"
    assert {path.name for path in files.iterdir()} == {"ok.yaml", "rows.jsonl"}
