"""The command line in this process: as main() runs it, without the second that a new process takes."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.app import main
from shared.settings import load_settings


class Here:
    """Runs `questmill` here; `address` is the API that it asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def at(self, address: str) -> "Here":
        self.monkeypatch.setenv("QUESTMILL_API_URL", address)
        return self

    def run(self, *arguments: object, stdin: str = "", status: int = 0) -> str:
        """The command's output, of stdout and stderr together."""
        self.monkeypatch.setattr(sys, "argv", ["questmill", *map(str, arguments)])
        typed = io.StringIO(stdin)
        self.monkeypatch.setattr(
            sys,
            "stdin",
            SimpleNamespace(buffer=io.BytesIO(stdin.encode()), isatty=lambda: False, readline=typed.readline),
        )
        load_settings.cache_clear()
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        finally:
            load_settings.cache_clear()
        said, complained = self.capsys.readouterr()
        assert (code or 0) == status, (code, said, complained)
        return said + complained

    def json(self, *arguments: object, **options: Any) -> Any:
        return json.loads(self.run(*arguments, "--json", **options))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Here:
    monkeypatch.setenv("QUESTMILL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return Here(monkeypatch, capsys)
