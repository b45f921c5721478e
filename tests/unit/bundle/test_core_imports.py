"""A core install trains nothing: no process of the system imports what only training needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
OF_TRAINING = ("torch", "transformers", "peft", "trl", "datasets", "accelerate", "pandas", "training")
IMPORT_ALL = """
import importlib, json, pkgutil, sys
for name in ("api.app", "cli.app", "cli.bundling", "cli.verifying", "local.demo", "workers.app"):
    importlib.import_module(name)
import shared
for found in pkgutil.walk_packages(shared.__path__, "shared."):
    importlib.import_module(found.name)
print(json.dumps(sorted(sys.modules)))
"""


def test_no_process_of_the_system_imports_torch() -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    imported = json.loads(done.stdout)
    assert "shared.bundle.verify" in imported
    assert [name for name in imported if name.split(".")[0] in OF_TRAINING] == []
