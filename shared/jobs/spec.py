"""The job spec: what a user may ask for, checked field by field before anything is written."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    ValidationError,
    field_validator,
    model_validator,
)

from shared.database.states import JobState, Stage
from shared.errors import FieldError, InvalidInput
from shared.jobs.mix_spec import MixSpec
from shared.jobs.receivers import check_url
from shared.jobs.spec_fields import (
    DATASET_NAME_SHAPE,
    MAX_SAMPLES,
    MAX_TRIES,
    MAX_VOTES,
    AtlasDigest,
    Budget,
    Count,
    FoldedKeys,
    ModelNames,
    PerCall,
    Strict,
    check_dataset_name,
    for_all_stages,
    require_known,
)
from shared.planning.mix import Means, Surplus
from shared.questions.atlas_content import AtlasContent
from shared.questions.gates.table import GATES


class Mode(StrEnum):
    """How the calls of a stage reach the provider."""

    LIVE = "live"  # one by one, answered at once
    BULK = "bulk"  # in bulk submissions, at half price and within a day


class Judging(Strict):
    """How questions are validated: each gets `votes` verdicts, and more than half of them must accept it."""

    questions_per_call: PerCall = Field(
        default_factory=dict, description="by difficulty; left out, about 8,000 tokens and at most 20 questions"
    )
    votes: Annotated[Count, Field(ge=1, le=MAX_VOTES)] = Field(
        default=1, description="verdicts for each question; several models take turns at them"
    )
    least: Annotated[Count, Field(ge=1, le=5)] = Field(
        default=3, description="the lowest score, of 1 to 5, that meets a criterion; a question has to meet all of them"
    )


class Answering(Strict):
    """How questions are answered: `samples` times by each model."""

    questions_per_call: PerCall = Field(
        default_factory=dict, description="by difficulty; left out, about 300 tokens and at most 10 questions"
    )
    samples: Annotated[Count, Field(ge=1, le=MAX_SAMPLES)] = Field(
        default=1, description="answers of each model to a question"
    )
    tries: Annotated[Count, Field(ge=1, le=MAX_TRIES)] = Field(
        default=3,
        description="calls without an answer, or without one that passes its check, before a question is rejected",
    )
    check: StrictBool = Field(
        default=True, description="whether answers that can be checked have to pass: docs/pipeline.md"
    )


class Novelty(Strict):
    """How a job keeps finding new questions: docs/novelty.md."""

    steer: StrictBool = Field(default=True, description="topics that run dry rest, and others take their turn")
    inject: StrictBool = Field(default=True, description="prompts carry names, numbers and other content to use")
    template_cap: Annotated[Count, Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="so many questions may differ in nothing but their numbers; null: QUESTMILL_TEMPLATE_CAP",
    )


class NotifiedOf(StrEnum):
    """What a receiver can be told: the states that a job comes to."""

    SUCCEEDED = JobState.SUCCEEDED
    FAILED = JobState.FAILED
    CANCELLED = JobState.CANCELLED
    PAUSED = JobState.PAUSED


class Notify(Strict):
    """Who is told by a webhook when the job comes to one of these states: docs/notifications.md.

    Not `on`, which YAML reads as true.
    """

    url: Annotated[str, AfterValidator(check_url)] = Field(description="the receiver, by http or https")
    events: Annotated[tuple[NotifiedOf, ...], Field(min_length=1)] = Field(
        default=tuple(NotifiedOf), description="the states of the job that it is told of"
    )


class JobSpec(Strict):
    """A job as a user posts it. Only the dataset and the mix's domains and difficulties are required, and of a job that
    generates nothing only the dataset.
    """

    dataset: Annotated[str, AfterValidator(check_dataset_name), Field(json_schema_extra=DATASET_NAME_SHAPE)] = Field(
        description="a new name, or one that has questions already: only what is missing is made"
    )
    mix: MixSpec | None = Field(
        default=None,
        description="what the dataset is to be made of; null: it is taken as it is, and nothing is generated",
    )
    surplus: Surplus = Field(
        default=Surplus.SUBSAMPLE, description="what becomes of existing questions beyond a cell's target"
    )
    models: dict[Stage, Annotated[dict[str, ModelNames], FoldedKeys]] = Field(
        default_factory=dict,
        description="by stage, then by difficulty: a model, or several that judge or answer; "
        "left out, they are chosen from the providers whose keys the workers have",
    )
    questions_per_call: PerCall = Field(
        default_factory=dict,
        description="of the stage generate, by difficulty; left out, about 1,500 tokens and at most 20 questions",
    )
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)] = Field(
        default=(Stage.GENERATE,), description="what is done, in this order: generate, validate, answer"
    )
    mode: Annotated[
        dict[Stage, Mode], BeforeValidator(for_all_stages, json_schema_input_type=Mode | dict[Stage, Mode])
    ] = Field(default_factory=dict, description="one for all stages, or by stage; a stage that is left out is live")
    judging: Judging = Field(default=Judging(), description="of the stage validate")
    answering: Answering = Field(default=Answering(), description="of the stage answer")
    budget_usd: Budget | None = Field(
        default=None,
        description="US dollars, a wall: the job pauses before it would cross it; left out, 1.5 times the forecast, "
        "and of a small job at least the forecast and what twenty of its dearest calls may cost",
    )
    seed: Annotated[Count, Field(ge=0, le=2**63 - 1)] = Field(
        default=2025, description="the same seed, spec and baseline give the same plan and prompt tuples"
    )
    atlas: Annotated[dict[str, AtlasContent | AtlasDigest], FoldedKeys] = Field(
        default_factory=dict,
        description="for some of the domains: what they are about, or the digest of what was posted before; the "
        "command line takes files instead",
    )
    novelty: Novelty = Field(default=Novelty(), description="how the job keeps finding new questions")
    gates: Annotated[dict[str, StrictBool], FoldedKeys] = Field(
        default_factory=dict, description="which rules on a question's form are on, by name: docs/gates.md"
    )
    notify: Notify | None = Field(default=None, description="who is told when the job ends or pauses")

    @property
    def settled_mix(self) -> MixSpec:
        """The mix, which is there as soon as the job is planned. Raises ValueError before."""
        if self.mix is None:
            raise ValueError("the job has no mix yet")
        return self.mix

    @field_validator("stages")
    @classmethod
    def _stages_in_order(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        if list(stages) != [stage for stage in Stage if stage in stages]:
            raise ValueError(f"name each stage once, in this order: {', '.join(Stage)}")
        return stages

    @field_validator("models")
    @classmethod
    def _models_make_sense(
        cls, models: dict[Stage, dict[str, tuple[str, ...]]]
    ) -> dict[Stage, dict[str, tuple[str, ...]]]:
        for stage, by_difficulty in models.items():
            for difficulty, named in by_difficulty.items():
                if stage is Stage.GENERATE and len(named) > 1:
                    raise ValueError(f"generate.{difficulty}: one model only; several may validate and answer")
                if len(set(named)) < len(named):
                    raise ValueError(f"{stage}.{difficulty}: a model is named twice")
        return models

    @field_validator("gates")
    @classmethod
    def _gates_are_known(cls, gates: dict[str, bool]) -> dict[str, bool]:
        if unknown := [name for name in gates if name not in GATES]:
            raise ValueError(f"no gate is called {', '.join(map(repr, unknown))}; there are {', '.join(GATES)}")
        return gates

    @model_validator(mode="after")
    def _mix_where_needed(self) -> Self:
        if self.mix is None:
            if Stage.GENERATE in self.stages:
                raise ValueError("mix: required, unless the stages are only validate and answer")
            if self.atlas:
                raise ValueError("atlas: this job generates nothing")
        elif self.mix.existing and Stage.GENERATE in self.stages:
            raise ValueError("mix.existing: only for jobs that generate nothing")
        elif self.mix.means is Means.MEASURED and Stage.GENERATE not in self.stages:
            raise ValueError('mix.means: "measured" needs the stage generate')
        elif self.mix.balances_answers and Stage.ANSWER not in self.stages:
            raise ValueError(f'mix.measure: "{self.mix.measure}" is measured on answers; add the stage answer')
        return self

    @model_validator(mode="after")
    def _difficulties_are_known(self) -> Self:
        if self.mix is None:
            return self  # they are checked once they are known
        by_difficulty: dict[str, Mapping[str, object]] = {
            **{f"models.{stage}": models for stage, models in self.models.items()},
            "questions_per_call": self.questions_per_call,
            "judging.questions_per_call": self.judging.questions_per_call,
            "answering.questions_per_call": self.answering.questions_per_call,
        }
        for where, named in by_difficulty.items():
            for difficulty in named:
                require_known(difficulty, self.mix.difficulties, where, "difficulty")
        for domain in self.atlas:
            require_known(domain, self.mix.domains, "atlas", "domain")
        return self


def parse_spec(data: object) -> JobSpec:
    """A checked spec. Raises InvalidInput that names each wrong field."""
    try:
        return JobSpec.model_validate(data)
    except ValidationError as error:
        problems = [_problem(item) for item in error.errors()]
    first = f"{problems[0].loc}: {problems[0].msg}" if problems[0].loc else problems[0].msg
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    raise InvalidInput(f"{first}{more}", problems)


def _problem(item: Any) -> FieldError:
    loc, message = _dotted(item["loc"]), _message(item)
    named, _, rest = message.partition(": ")
    # What concerns several fields at once is found when all are read; its message begins with the field to change.
    return FieldError(named, rest) if not loc and _FIELD.fullmatch(named) else FieldError(loc, message)


_FIELD = re.compile(r"[a-z_]+(\.[a-z_]+)*")


def _dotted(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc if not str(part).startswith(("[key]", "function-after[")))


def _message(item: Any) -> str:
    plain = _PLAIN.get(item["type"])
    if plain is not None:
        return plain.format(**item.get("ctx", {}))
    return str(item["msg"]).removeprefix("Value error, ")


# What pydantic says of Python's types, for a person who wrote YAML.
_PLAIN = {
    "extra_forbidden": "unknown key",
    "missing": "required",
    "string_type": "write a text; a number, a date, yes or no is one with quotes around it",
    "tuple_type": "a list is needed: [a, b]",
    "dict_type": "a mapping is needed: {{name: value}}",
    "model_type": "a mapping is needed: {{name: value}}",
    "too_short": "give at least {min_length}",
    "too_long": "give at most {max_length}",
    "int_parsing": "write a whole number",
    "int_parsing_size": "write a smaller number",
    "int_from_float": "write a whole number",
    "greater_than_equal": "write a number greater than or equal to {ge}",
    "less_than_equal": "write a number less than or equal to {le}",
}
