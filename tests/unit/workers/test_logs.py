"""A log's lines are ours: what a provider, a model or a person wrote begins none of its own."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.settings import Settings
from workers.logs import configure_logs

FORGED = 'refused\n2026-01-01T00:00:00Z [error    ] forged job=1\r\n{"event": "forged"}\x1b[2J'


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("as_json", [True, False])
def test_text_of_others_stays_in_its_line(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    configure_logs(Settings(log_json=as_json))
    structlog.get_logger().warning("call failed", detail=FORGED)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "\r" not in said
    assert "\x1b" not in said
    if as_json:
        assert json.loads(said)["detail"] == FORGED
