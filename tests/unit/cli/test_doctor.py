"""What `questmill doctor` finds on this machine and on the way to the models; the rest is in tests/service/cli."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.doctor_check import Check, Verdict
from cli.doctor_here import disk_check, model_checks, port_checks, rate_limit_checks
from cli.doctor_jobs import clock_check
from cli.doctor_providers import provider_checks
from cli.doctor_servers import broker_check, database_checks
from local.process import free_port
from shared.settings import Settings
from tests.unit.cli.conftest import Here

KEY = "sk-secret"


@contextmanager
def provider(status: int) -> Iterator[tuple[str, list[str]]]:
    """A server that answers every request so; its address, and the keys that it was sent."""
    keys: list[str] = []

    class Provider(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers.get("Authorization") or self.headers.get("x-api-key") or "")
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1", keys
        finally:
            server.shutdown()
            serving.join()


def of(settings: dict[str, Any], *, call: bool = False) -> dict[str, Check]:
    return {each.name: each for each in provider_checks(Settings.model_validate(settings), call=call)}


def test_no_key_is_a_note_that_says_what_follows() -> None:
    found = of({})
    assert {each.verdict for each in found.values()} == {Verdict.NOTE}
    assert "rehearses" in found["keys"].text


def test_a_base_url_is_tried_without_the_key() -> None:
    name = "OPENAI_BASE_URL"
    for status, verdict, told in ((401, Verdict.OK, "answers"), (404, Verdict.NOTE, "usually ends in /v1")):
        with provider(status) as (address, keys):
            found = of({"openai_api_key": KEY, "openai_base_url": address})
        assert (found[name].verdict, keys) == (verdict, [""])
        assert told in found[name].text
    assert of({"openai_base_url": f"http://127.0.0.1:{free_port()}"})[name].verdict is Verdict.MISSING
    assert "https://" in of({"openai_base_url": "localhost:8080"})[name].text


@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_a_key_is_sent_only_with_call_and_its_refusal_told(name: str) -> None:
    for status, verdict, told in ((200, Verdict.OK, "is taken"), (401, Verdict.MISSING, "is refused (401)")):
        with provider(status) as (address, keys):
            settings = {f"{name}_api_key": KEY, f"{name}_base_url": address}
            assert f"{name} call" not in of(settings)
            found = of(settings, call=True)[f"{name} call"]
        assert (found.verdict, KEY in keys[-1], KEY in found.text) == (verdict, True, False)
        assert told in found.text


def test_servers_that_are_away_are_told_without_their_passwords() -> None:
    port = free_port()
    (database,) = database_checks(f"postgresql://me:hidden@127.0.0.1:{port}/q")
    broker = broker_check(f"redis://:hidden@127.0.0.1:{port}/0")
    for check, setting in ((database, "DATABASE_URL"), (broker, "REDIS_URL")):
        assert check.verdict is Verdict.MISSING
        assert setting in check.text
        assert "hidden" not in check.text


@pytest.mark.parametrize(("free", "verdict"), [(1e8, Verdict.MISSING), (1e9, Verdict.NOTE), (1e10, Verdict.OK)])
def test_a_disk_that_is_nearly_full_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: float, verdict: Verdict
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    assert disk_check(tmp_path / "not" / "there").verdict is verdict


def test_a_port_that_another_program_has_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(api_port=taken.getsockname()[1], flower_port=free_port())
        api, flower = port_checks(settings)
    assert (api.verdict, flower.verdict) == (Verdict.MISSING, Verdict.OK)
    assert "set QUESTMILL_API_PORT to a free one" in api.text


def test_models_without_a_price_or_with_an_end_are_told() -> None:
    models = ("openai/gpt-unheard-of", "anthropic/claude-sonnet-4", "openai/gpt-4o-mini")
    told = "\n".join(f"{each.verdict} {each.text}" for each in model_checks(Settings(cheap_models=models)))
    assert "missing openai/gpt-unheard-of is not in the price list" in told
    assert "missing anthropic/claude-sonnet-4 was retired on 2026-06-15" in told
    assert "openai/gpt-4o-mini" in told
    assert [each.verdict for each in model_checks(Settings())] == [Verdict.OK]


def test_a_rate_limit_that_nothing_obeys_is_told() -> None:
    settings = Settings.model_validate({"rate_limits": {"gpt-6-luna": {"requests_per_minute": 5}}})
    (found,) = rate_limit_checks(settings)
    assert "names no provider" in found.text


@pytest.mark.parametrize(
    ("seconds", "verdict", "told"),
    [(0, Verdict.OK, "agrees"), (-60, Verdict.NOTE, "60 s behind"), (60, Verdict.NOTE, "60 s ahead of")],
)
def test_clocks_that_disagree_are_told(seconds: int, verdict: Verdict, told: str) -> None:
    now = datetime.now(UTC)
    found = clock_check("API", now + timedelta(seconds=seconds), now)
    assert found.verdict is verdict
    assert told in found.text


def test_settings_that_are_wrong_are_told_and_the_rest_is_examined_all_the_same(here: Here) -> None:
    here.monkeypatch.setenv("QUESTMILL_RATE_LIMITS", "500 a minute")
    here.monkeypatch.setenv("QUESTMILL_API_PORT", "eighty")
    here.at(f"http://127.0.0.1:{free_port()}")
    said = here.run("doctor", status=1)
    assert 'QUESTMILL_RATE_LIMITS: not valid JSON; write it like {"openai/gpt-6-luna": {"requests' in said
    assert "missing  QUESTMILL_API_PORT: Input should be a valid integer" in said
    assert "missing  api: No Questmill answers" in said
