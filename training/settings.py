"""What a run is made by. Kept in metrics.json, and compared when a run is resumed."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

TINY = "tiny"
BYTES = "bytes"  # the tokenizer that needs no file
BASELINE = "multi-task"
# Of all gradients of a step together; the same for every algorithm.
GRADIENT_NORM_LIMIT = 1.0


class Algo(StrEnum):
    """How the parameters are trained."""

    SFT = "sft"  # all rows of all tasks alike: the multi-task baseline
    FOMAML = "fomaml"
    MAML = "maml"
    REPTILE = "reptile"


class Normalise(StrEnum):
    """What the loss of a step is divided by."""

    TOKENS = "tokens"  # every trained token of the step weighs the same
    TASKS = "tasks"  # every task of the step weighs the same, within it every trained token


SAID = {
    Normalise.TOKENS: "the mean over all trained tokens of a step",
    Normalise.TASKS: "the mean over the tasks of a step of each task's mean over its trained tokens",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """All that decides the outcome, beside the bundle and the model's weights. Learning rates are of one step."""

    algo: Algo
    model: str
    steps: int
    tasks_per_step: int
    inner_steps: int
    inner_lr: float
    lr: float
    loss: Normalise
    accumulate: int
    pack: bool
    max_tokens: int
    drop_longer: bool
    lora_rank: int
    baseline: bool
    held_out_tasks: int
    seed: int

    @property
    def learners(self) -> tuple[str, ...]:
        """What is trained side by side; sft is the baseline itself."""
        return (self.algo.value, BASELINE) if self.baseline and self.algo is not Algo.SFT else (self.algo.value,)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {name: str(value) if isinstance(value, StrEnum) else value for name, value in asdict(self).items()}
