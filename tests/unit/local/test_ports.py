import subprocess
import sys
from pathlib import Path

import pytest

from local import process
from local.process import free_port, remembered_port

CHOOSE = "import sys; from local import process; process.SERVER_PORTS = [int(port) for port in sys.argv[1:]];"


def elsewhere(code: str, *ports: int) -> list[int]:
    """What another process prints, which has ended."""
    said = subprocess.check_output([sys.executable, "-c", f"{CHOOSE} {code}", *map(str, ports)], text=True)
    return [int(port) for port in said.split()]


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The only ports that there are to choose from: those of a process that has ended."""
    found = elsewhere("print(*(process.free_port() for _ in range(3)))", *process.SERVER_PORTS)
    monkeypatch.setattr(process, "SERVER_PORTS", found)
    return found


def test_no_port_is_told_twice_before_anything_listens_there(ports: list[int]) -> None:
    assert {free_port() for _ in ports} == set(ports)


def test_no_port_is_told_in_two_processes(ports: list[int]) -> None:
    mine = {free_port(), free_port()}
    assert set(elsewhere("print(process.free_port())", *ports)) == set(ports) - mine


def test_a_port_is_remembered_unless_another_process_was_told_it(ports: list[int], tmp_path: Path) -> None:
    first = remembered_port(tmp_path / "port")
    assert remembered_port(tmp_path / "port") == first
    note = f"from pathlib import Path; print(process.remembered_port(Path({str(tmp_path / 'port')!r})))"
    [other] = elsewhere(note, *ports)
    assert other != first
