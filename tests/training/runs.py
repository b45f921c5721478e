"""Runs of the trainer in this process, on a bundle of short rows."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from training.run import Outcome, train
from training.settings import Algo, Normalise, Settings

SHORT = Settings(
    algo=Algo.MAML,
    model="tiny",
    steps=3,
    tasks_per_step=2,
    inner_steps=2,
    inner_lr=0.1,
    lr=0.002,
    loss=Normalise.TOKENS,
    accumulate=2,
    pack=False,
    max_tokens=512,
    drop_longer=False,
    lora_rank=0,
    baseline=True,
    held_out_tasks=2,
    seed=0,
)


def run(
    bundle: Path, out: Path, *, resume: bool = False, force: bool = False, told: Any = None, **changed: Any
) -> Outcome:
    said = told or (lambda *_: None)
    return train(bundle, out, replace(SHORT, **changed), resume=resume, force=force, told=said)
