import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run(code: str) -> str:
    """In a process of its own: the flag is module-level and stays set."""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)
    return ran.stdout


def test_listeners_are_called_once_draining_begins() -> None:
    code = """
from workers.drain import is_draining, start_draining, when_draining
calls = []
when_draining(lambda: calls.append(is_draining()))
print(calls, is_draining())
start_draining()
print(calls, is_draining())
"""
    assert run(code).splitlines() == ["[] False", "[True] True"]


def test_a_signal_before_anybody_listens_is_not_lost() -> None:
    code = """
import os, signal
from workers.drain import start_draining, when_draining
signal.signal(signal.SIGTERM, lambda *_: start_draining())
os.kill(os.getpid(), signal.SIGTERM)
calls = []
when_draining(lambda: calls.append("stop"))
print(calls)
"""
    assert run(code).splitlines() == ["['stop']"]
