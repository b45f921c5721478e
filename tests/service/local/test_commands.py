"""What a person meets: one plain sentence for what stands in the way, exit code 2."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from local.home import Addresses, Home
from local.process import LocalProblem

ROOT = Path(__file__).parents[3]


def run_local(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    return subprocess.run(
        [sys.executable, "-m", "local", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**own, **environment},
        timeout=60,
    )


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("variable", ["QUESTMILL_API_PORT", "QUESTMILL_FLOWER_PORT"])
def test_taken_port_is_one_sentence_that_names_the_variable(variable: str, taken_port: int, tmp_path: Path) -> None:
    ports = {"QUESTMILL_API_PORT": "0", "QUESTMILL_FLOWER_PORT": "0"} | {variable: str(taken_port)}
    ended = run_local("up", QUESTMILL_HOME=str(tmp_path), **ports)
    assert ended.stderr == f"Port {taken_port} is taken by another program; set {variable} to a free one.\n"


def test_one_port_for_two_servers_is_one_sentence_that_names_both_variables(tmp_path: Path) -> None:
    ended = run_local("up", QUESTMILL_HOME=str(tmp_path), QUESTMILL_API_PORT="18113", QUESTMILL_FLOWER_PORT="18113")
    assert ended.stderr == (
        "The API and Flower cannot both have port 18113; set QUESTMILL_API_PORT or QUESTMILL_FLOWER_PORT to another "
        "one.\n"
    )
    assert ended.returncode == 2
    assert not (tmp_path / "postgres").exists()


def test_second_up_on_a_home_is_one_sentence_that_names_the_first(tmp_path: Path) -> None:
    with Home(tmp_path).held("http://127.0.0.1:8000"):
        ended = run_local("up", QUESTMILL_HOME=str(tmp_path))
    assert ended.stderr == (
        f"Questmill already runs in {tmp_path} (process {os.getpid()}, http://127.0.0.1:8000): "
        "stop it first, or set QUESTMILL_HOME to another folder.\n"
    )
    assert ended.returncode == 2


def test_home_is_free_again_after_its_holder_was_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from local.home import Home\n"
        "with Home(Path(sys.argv[1])).held('somewhere'): print('held', flush=True); time.sleep(1000)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LocalProblem, match=f"process {holder.pid}, somewhere"), Home(tmp_path).held("here"):
            pass
        holder.send_signal(signal.SIGKILL)
    with Home(tmp_path).held("here"):
        pass


def test_home_and_its_addresses_are_ours_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    addresses = Addresses("http://a", "http://f", "postgresql://u:p@h/d", "redis://:p@h", {"OPENAI_API_KEY": "x"})
    with home.held("http://a"):
        home.publish(addresses)
        assert home.read() == addresses
        assert {(home.path / name).stat().st_mode & 0o777 for name in (".", "env.json")} == {0o700, 0o600}
    assert home.read() is None


def test_worker_without_a_system_says_how_to_get_one(tmp_path: Path) -> None:
    ended = run_local("worker", QUESTMILL_HOME=str(tmp_path))
    assert ended.returncode == 2
    assert "start one with `./run up`, or set DATABASE_URL and REDIS_URL" in ended.stderr


def test_real_demo_without_a_key_is_one_sentence(tmp_path: Path) -> None:
    ended = run_local("demo", "--real", QUESTMILL_HOME=str(tmp_path), OPENAI_API_KEY="", ANTHROPIC_API_KEY="")
    assert ended.returncode == 2
    assert ended.stderr.startswith("--real needs a key in OPENAI_API_KEY or ANTHROPIC_API_KEY")
    assert ended.stderr.count("\n") == 1


def run_script(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "run"), *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=60,
    )


def test_run_alone_lists_exactly_the_commands_there_are(tmp_path: Path) -> None:
    listed = set(re.findall(r"^\./run ([a-z-]+)", run_script(cwd=tmp_path).stdout, re.MULTILINE))
    cases = re.findall(r"^([a-z |-]+)\)$", (ROOT / "run").read_text().partition("case $command in")[2], re.MULTILINE)
    assert listed == {word for case in cases for word in case.split(" | ")} - {"help", "-h", "--help"}


def test_unknown_command_is_refused() -> None:
    ended = run_script("grind")
    assert ended.returncode == 2
    assert ended.stderr.endswith('There is no command "grind".\n')


def test_missing_chromium_fails_in_one_sentence() -> None:
    ended = run_script("test-browser", QUESTMILL_CHROMIUM="/nowhere/chromium")
    assert ended.returncode == 2
    assert ended.stderr.startswith("The browser tests need chromium, and there is no /nowhere/chromium: install it")
    assert (ended.stdout, ended.stderr.count("\n")) == ("", 1)


def test_missing_python_is_one_sentence(tmp_path: Path) -> None:
    for tool in ("sh", "dirname", "cat", "cksum"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    clone = tmp_path / "clone"
    (clone / "requirements").mkdir(parents=True)
    for name in ("run", "requirements/core.txt", "requirements/dev.txt"):
        (clone / name).write_bytes((ROOT / name).read_bytes())
    (clone / "run").chmod(0o755)
    ended = _run_without_python(clone, {"PATH": str(tmp_path)})
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == "Questmill needs Python 3.11 or newer, and none is on the PATH."


def _run_without_python(clone: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(clone / "run"), "demo"],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
