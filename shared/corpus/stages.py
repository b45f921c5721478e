"""What a job's spec says about a stage: which model is asked how often, about how many questions at once. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from shared.database.states import Stage

# The value of a spec's `mode` with which a stage's calls go in bulk submissions.
BULK = "bulk"
# So many calls may end without a verdict on a question before it is rejected.
VALIDATION_TRIES = 3


@dataclass(frozen=True, slots=True)
class Slot:
    """One verdict or answer that each question is to get: by which model, and the number of the vote or sample."""

    model: str
    number: int


@dataclass(frozen=True, slots=True)
class StageTerms:
    """A later stage of one difficulty. Every question needs a result for each of the `slots`.

    `least` is the lowest score that meets a criterion; `tries` how many calls may be of no use before a question is
    rejected; with `check`, answers that can be checked are. `bulk`: its calls go in bulk submissions.
    """

    stage: Stage
    questions_per_call: int
    slots: tuple[Slot, ...]
    tries: int
    least: int = 1
    check: bool = False
    bulk: bool = False

    def calls_for(self, questions: int) -> int:
        """How many calls ask about so many questions."""
        return -(-questions // self.questions_per_call) * len(self.slots)


def stages_of(spec: Mapping[str, Any]) -> tuple[Stage, ...]:
    """The stages of a stored spec, in their order."""
    return tuple(Stage(stage) for stage in spec.get("stages", [Stage.GENERATE]))


def later_stages(spec: Mapping[str, Any]) -> tuple[Stage, ...]:
    """The stages that look at questions which are there."""
    return tuple(stage for stage in stages_of(spec) if stage is not Stage.GENERATE)


def is_bulk(spec: Mapping[str, Any], stage: Stage) -> bool:
    """Whether the calls of a stage go in bulk submissions; jobs that are older than these name no mode."""
    return bool(spec.get("mode", {}).get(stage) == BULK)


def terms_of(spec: Mapping[str, Any], stage: Stage, difficulty: str) -> StageTerms:
    """The terms of a later stage in a stored spec, where nothing is left open."""
    named = spec["models"][stage][difficulty]
    models = [named] if isinstance(named, str) else list(named)
    if stage is Stage.VALIDATE:
        judging = spec["judging"]
        return StageTerms(
            stage=stage,
            questions_per_call=judging["questions_per_call"][difficulty],
            slots=tuple(Slot(models[vote % len(models)], vote) for vote in range(judging["votes"])),
            tries=VALIDATION_TRIES,
            least=judging["least"],
            bulk=is_bulk(spec, stage),
        )
    answering = spec["answering"]
    return StageTerms(
        stage=stage,
        questions_per_call=answering["questions_per_call"][difficulty],
        slots=tuple(Slot(model, sample) for model, sample in product(models, range(answering["samples"]))),
        tries=answering["tries"],
        check=answering["check"],
        bulk=is_bulk(spec, stage),
    )
