import tomllib
from pathlib import Path
from typing import Any

import httpx2
import yaml

from api.live_shapes import PublicSettingsShape
from api.routes.public_settings import fit_to_providers
from shared import __version__
from shared.jobs.models import ConfiguredProviders
from shared.settings import Settings

ROOT = Path(__file__).parents[3]


def test_pages_are_told_what_they_need_and_no_secret(http: httpx2.Client, spec: dict[str, Any]) -> None:
    answer = http.get("/v1/settings/public")
    shaped = PublicSettingsShape.model_validate(answer.json())
    assert (shaped.version, shaped.rehearsal, shaped.providers) == (__version__, True, ["anthropic", "openai"])
    assert shaped.flower_url == "http://127.0.0.1:5555"
    assert shaped.presets["seed"] == yaml.safe_load((ROOT / "local" / "demo_job.yaml").read_text())
    assert "postgresql" not in answer.text
    planned = http.post("/v1/plans", json={**shaped.presets["seed"], "dataset": spec["dataset"]})
    assert planned.json()["totals"]["questions"] == 60_000


def test_the_version_is_the_projects() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__


def test_a_preset_names_no_model_that_nobody_can_call() -> None:
    spec = {"dataset": "x", "models": {"generate": {"easy": "openai/a", "hard": "anthropic/b"}}, "budget_usd": "1"}
    both, one, none = (
        ConfiguredProviders(frozenset(names), rehearsal=False) for names in (("openai", "anthropic"), ("openai",), ())
    )
    assert fit_to_providers(spec, both) == spec
    assert fit_to_providers(spec, one) == {"dataset": "x"}
    assert fit_to_providers(spec, none) == spec, "workers that are still to come may have both"


def test_flower_is_where_the_settings_say() -> None:
    assert Settings(flower_port=5000).flower_address == "http://127.0.0.1:5000"
    assert Settings(flower_host="192.168.1.5").flower_address == "http://192.168.1.5:5555"
    assert Settings(flower_host="::1").flower_address == "http://[::1]:5555"
    assert Settings(flower_host="0.0.0.0").flower_address == "http://127.0.0.1:5555"  # noqa: S104
    assert Settings(flower_url="https://flower.example/f/").flower_address == "https://flower.example/f"
