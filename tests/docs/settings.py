"""Which settings there are, and which the pages name."""

import re
from collections.abc import Iterable

from local.rehearsal.config import RehearsalConfig
from shared.secret_files import FIELDS, SUFFIX
from shared.settings import Settings
from tests.docs.pages import ROOT

NAME = re.compile(r"\bQUESTMILL_[A-Z0-9_]*[A-Z0-9]\b")
REHEARSAL = "QUESTMILL_REHEARSAL_"
CONSTANT = re.compile(r'[A-Z_]+ = "QUESTMILL_')
# Where the code reads variables that are no field of Settings: the scripts, compose, and the suites.
SCRIPTS = ("run", ".ci/run", "docker-compose.yml")
FOLDERS = ("api", "bench", "cli", "local", "shared", "tests", "training", "workers")


def settable() -> set[str]:
    """The settings of a deployment and of the rehearsal server: all of these have to be documented."""
    rehearsal = {f"{REHEARSAL}{name.upper()}" for name in RehearsalConfig.model_fields}
    return _names(Settings.model_fields) | rehearsal


def read_elsewhere() -> set[str]:
    """Names that other code reads, by the place in which it does: the environment, a shell's or compose's ${...}."""
    found: set[str] = {f"{name}{SUFFIX}" for name in FIELDS if name.startswith("QUESTMILL_")}
    paths = [ROOT / name for name in SCRIPTS] + [path for name in FOLDERS for path in (ROOT / name).rglob("*.py")]
    for path in paths:
        for line in path.read_text().splitlines():
            if "environ" in line or "${" in line or CONSTANT.match(line):
                found.update(NAME.findall(line))
    return found


def named_in(texts: Iterable[str]) -> set[str]:
    """The settings that these texts name."""
    return {name for text in texts for name in NAME.findall(text)}


def _names(fields: Iterable[str]) -> set[str]:
    conventional = ("database", "redis", "openai", "anthropic", "otlp")
    return {f"QUESTMILL_{name.upper()}" for name in fields if not name.startswith(conventional)}
