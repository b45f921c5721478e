"""One run of schemathesis against an API that needs keys: all checks, examples to stateful, no failure.

`QUESTMILL_HOSTILE_SECONDS` (for all runs together) and `QUESTMILL_HOSTILE_SEED` make another one of it.
"""

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from api.security import COOKIE

SECONDS = int(os.environ.get("QUESTMILL_HOSTILE_SECONDS", "130"))
SEED = int(os.environ.get("QUESTMILL_HOSTILE_SEED", "1"))
CONFIG = Path(__file__).with_name("schemathesis.toml")
# For one request: all cores are busy meanwhile.
ANSWER_SECONDS = 60
# Shrinking a failure, and the last request, take longer than a run.
GRACE_SECONDS = 180
BY_KEY = '[auth.openapi.key]\nbearer = "{key}"\n'
# As the dashboard does it: it signs in, and what it sends comes from its own page.
BY_COOKIE = f"""
[auth.dynamic.openapi.session]
path = "/v1/session"
payload = {{{{key = "{{key}}"}}}}
extract_from = "cookie"
extract_selector = "{COOKIE}"
[headers]
Origin = "{{url}}"
"""

Known = Mapping[str, Sequence[str | int]]


def bearing(key: str) -> dict[str, str]:
    """The header that shows the key."""
    return {"Authorization": f"Bearer {key}"}


def attack(
    url: str, key: str, folder: Path, *, share: float, known: Known, way: str = BY_KEY, only: Sequence[str] = ()
) -> None:
    """Attack all operations, or `only` those of these names, with the key for a `share` of SECONDS.

    Half of all requests name what is `known` to be there: else most would end at "there is no such job".
    """
    seconds = max(round(SECONDS * share), 5)
    document, config, report = (folder / name for name in ("openapi.json", "schemathesis.toml", "report.txt"))
    described = httpx2.get(f"{url}/openapi.json", headers=bearing(key), timeout=ANSWER_SECONDS)
    document.write_bytes(described.raise_for_status().content)
    dictionaries = "".join(f"[dictionaries.{name}]\nvalues = {json.dumps(list(known[name]))}\n" for name in known)
    config.write_text(CONFIG.read_text() + dictionaries + way.format(key=key, url=url))
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", str(document), "--url", url),
        *("--checks", "all", "--continue-on-failure", "--max-time", str(seconds), "--seed", str(SEED)),
        *(word for name in only for word in ("--include-name", name)),
    ]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.hostile.bodies", "NO_COLOR": "1"}
    with report.open("w") as file:
        done = subprocess.run(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            timeout=seconds * 2 + GRACE_SECONDS,
            check=False,
        )
    said = report.read_text()
    print(said[said.rfind("= SUMMARY =") - 40 :])
    assert done.returncode == 0, said[-20_000:]
    assert re.search(r"[1-9]\d* generated, [1-9]\d* passed", said), said[-2_000:]


def is_ready(url: str) -> bool:
    """Whether the API says so; it rightly says no while a server, or itself, is too slow for a probe."""
    told: object = httpx2.get(f"{url}/readyz", timeout=ANSWER_SECONDS).json()
    return told == {"status": "ready", "database": "ok", "broker": "ok"}


def answers(url: str, key: str) -> dict[tuple[str, str], dict[int, int]]:
    """How often each operation was answered with which status so far, as the server itself counted it."""
    counted: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    told = httpx2.get(f"{url}/metrics", headers=bearing(key), timeout=ANSWER_SECONDS).raise_for_status().text
    for family in text_string_to_metric_families(told):
        for sample in family.samples:
            if sample.name == "questmill_http_requests_total":
                of = sample.labels
                counted[of["method"], of["route"]][int(of["status"])] = int(sample.value)
    return counted
