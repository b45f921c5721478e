"""Where a run is kept: what must not be overwritten, and files that are either whole or as they were."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training.errors import BadRun

METRICS, PLOT, CHECKPOINT, MODEL = "metrics.json", "loss.png", "checkpoint.pt", "model"
# What is being written, or was when a run was killed.
UNFINISHED = {name: f".{name}.unfinished" for name in (METRICS, CHECKPOINT)}
KEPT = {"manifest_sha256", "settings", "step", "progress", "learners"}


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run."""

    path: Path

    def require_free(self, *, force: bool) -> None:
        """Raise BadRun when there is something in it; with `force`, unless that is a run."""
        if self.path.exists() and not self.path.is_dir():
            raise BadRun(f"{self.path} is a file: name another --out.")
        held = {each.name for each in self.path.iterdir()} if self.path.exists() else set()
        held -= set(UNFINISHED.values())
        if held and not {METRICS, CHECKPOINT} & held:
            raise BadRun(f"{self.path} holds something else than a run: name another --out.")
        if held and not force:
            raise BadRun(
                f"{self.path} holds a run: go on with --resume, overwrite it with --force, or name another --out."
            )

    def begin(self) -> None:
        """Make the folder; what a former run left goes."""
        self.path.mkdir(parents=True, exist_ok=True)
        if (self.path / MODEL).exists():
            shutil.rmtree(self.path / MODEL)
        # What tells that this folder is a run's goes last.
        for name in (PLOT, *UNFINISHED.values(), CHECKPOINT, METRICS):
            (self.path / name).unlink(missing_ok=True)

    def load_checkpoint(self) -> dict[str, Any]:
        """What the last save kept. Raises BadRun."""
        path = self.path / CHECKPOINT
        try:
            kept = torch.load(path, weights_only=True)
        except FileNotFoundError:
            raise BadRun(f"There is nothing to resume in {self.path}; leave out --resume to begin.") from None
        except Exception as error:  # noqa: BLE001 - torch raises whatever its unpicklers do
            why = " ".join(str(error).split())[:100]
            raise BadRun(f"{path} cannot be read ({why}); begin anew with --force.") from None
        if not isinstance(kept, dict) or not kept.keys() >= KEPT:
            raise BadRun(f"{path} is no checkpoint of such a run; begin anew with --force.")
        return kept

    def save_checkpoint(self, kept: Mapping[str, Any]) -> None:
        """Replace the last one. Raises BadRun when it cannot be written; the last one stays then."""
        unfinished = self.path / UNFINISHED[CHECKPOINT]
        try:
            torch.save(dict(kept), unfinished)
        except (OSError, RuntimeError) as error:  # torch writes the file itself, and says no more than that it failed
            unfinished.unlink(missing_ok=True)
            raise unwritten(self.path / CHECKPOINT, error) from None
        unfinished.replace(self.path / CHECKPOINT)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Replace metrics.json."""
        unfinished = self.path / UNFINISHED[METRICS]
        unfinished.write_text(
            json.dumps(metrics, ensure_ascii=False, indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )
        unfinished.replace(self.path / METRICS)


def unwritten(path: Path, error: Exception) -> BadRun:
    """What is said when a file, or a folder of them, cannot be written."""
    why = " ".join(str(error).split())[:150]
    return BadRun(f"{path} cannot be written ({why}): make room on its disk, then go on with --resume.")


def require_same(kept: Mapping[str, Any], settings: Mapping[str, Any], manifest_sha256: str, where: Path) -> None:
    """A resumed run is the same run, but for how many steps it takes. Raises BadRun."""
    if kept["manifest_sha256"] != manifest_sha256:
        raise BadRun(
            f"{where} was trained on another bundle than this one; give it the same --data, or begin with --force."
        )
    differing = [
        f"--{name.replace('_', '-')} was {kept['settings'][name]}, now {value}"
        for name, value in settings.items()
        if name != "steps" and kept["settings"].get(name) != value
    ]
    if differing:
        raise BadRun(f"{where} was begun with other settings ({'; '.join(differing)}): resume with the same.")
    if kept["step"] > settings["steps"]:
        raise BadRun(f"{where} has {kept['step']} steps already, and --steps is {settings['steps']}.")
