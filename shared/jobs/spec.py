"""The job spec: what a user may ask for, checked field by field before anything is written."""

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    ValidationError,
    field_validator,
    model_validator,
)

from shared.database.states import Stage
from shared.errors import FieldError, InvalidInput
from shared.planning.mix import Difficulty, Means, Measure, Mix, Scope, Surplus, fold_name
from shared.questions.atlas_content import DIGEST_LENGTH, AtlasContent
from shared.questions.gates.table import GATES

# Larger jobs than this are a typing error more often than a wish.
MAX_QUESTIONS = 100_000_000
MAX_DOMAINS = 200
MAX_DIFFICULTIES = 12
MAX_QUESTIONS_PER_CALL = 50
MAX_MEAN_TOKENS = 20_000
MAX_VOTES = 9
MAX_SAMPLES = 16
MAX_TRIES = 10
MAX_MODELS = 8
# What an answer is taken to have when nothing is said: half as much again as its question, and at least a paragraph.
ANSWER_TOKENS_PER_QUESTION_TOKEN = Decimal("1.5")
LEAST_ANSWER_TOKENS = Decimal(100)
# Shares written with six decimals (0.333333 three times) still count as a whole.
SHARE_TOLERANCE = Decimal("0.00001")

DATASET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
PLAIN_NUMBER = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{0,18})?")
MODEL_NAME = re.compile(r"(openai|anthropic)/[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,119}")


def check_dataset_name(name: str) -> str:
    """The name itself, when it is fit for a URL, a file name and a person's eye; ValueError otherwise."""
    if not DATASET_NAME.fullmatch(name):
        raise ValueError("use 1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit")
    return name


def _check_kind_name(name: str) -> str:
    """A folded domain or difficulty name. A slash would be ambiguous in "math/hard"."""
    folded = fold_name(name)
    if not folded or len(folded) > 64:
        raise ValueError("a name has 1 to 64 characters")
    if "/" in folded or any(unicodedata.category(char)[0] in "CZ" and char != " " for char in folded):
        raise ValueError("a name has no slash and no control characters")
    return folded


def _check_model_name(name: str) -> str:
    if not MODEL_NAME.fullmatch(name):
        raise ValueError('write "openai/MODEL" or "anthropic/MODEL"')
    return name


def _fold_keys(value: object) -> object:
    """Fold the names that are keys; two that fold to the same name are an error, not a silent overwrite."""
    if not isinstance(value, Mapping):
        return value
    folded: dict[str, object] = {}
    written: dict[str, object] = {}
    for key, item in value.items():
        name = _check_kind_name(str(key))
        if name in folded:
            raise ValueError(f"{written[name]!r} and {key!r} are the same name: both fold to {name!r}")
        folded[name], written[name] = item, key
    return folded


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")  # noqa: TRY004 - pydantic reports ValueError only
    return value


def _require_plain(value: object) -> object:
    """Exact arithmetic on "1e-99999999" would fill the memory."""
    if isinstance(value, str) and not PLAIN_NUMBER.fullmatch(value):
        raise ValueError('write a plain number, like "25.00"')
    return _refuse_bool(value)


def _for_all_stages(value: object) -> object:
    """One mode alone is that of every stage."""
    return dict.fromkeys(Stage, value) if isinstance(value, str) else value


def _write_plain(value: Decimal) -> str:
    """Without an exponent, which is refused when the spec is read again."""
    return f"{value:f}"


JsonNumber = Annotated[Decimal, BeforeValidator(_require_plain), PlainSerializer(float, when_used="json")]
Money = Annotated[Decimal, BeforeValidator(_require_plain), PlainSerializer(_write_plain, when_used="json")]
Count = Annotated[int, BeforeValidator(_refuse_bool)]
MeanTokens = Annotated[JsonNumber, Field(ge=1, le=MAX_MEAN_TOKENS, allow_inf_nan=False)]
FoldedKeys = BeforeValidator(_fold_keys)
ModelName = Annotated[str, AfterValidator(_check_model_name)]
# Several judges take turns at the votes; of several models each answers every question.
ModelNames = Annotated[tuple[ModelName, ...], Field(min_length=1, max_length=MAX_MODELS)]
PerCall = Annotated[dict[str, Annotated[Count, Field(ge=1, le=MAX_QUESTIONS_PER_CALL)]], FoldedKeys]
AtlasDigest = Annotated[str, Field(pattern=rf"^[0-9a-f]{{{DIGEST_LENGTH}}}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DifficultySpec(_Strict):
    """A difficulty: its share of all tokens, and the mean tokens of one question and of one answer."""

    token_share: Annotated[JsonNumber, Field(ge=0, le=1, allow_inf_nan=False)]
    mean_tokens: MeanTokens
    answer_tokens: MeanTokens | None = None

    @property
    def tokens_of_answer(self) -> Decimal:
        """What an answer is taken to have, if nothing is said."""
        return self.answer_tokens or max(LEAST_ANSWER_TOKENS, ANSWER_TOKENS_PER_QUESTION_TOKEN * self.mean_tokens)


class MixSpec(_Strict):
    """What the data set is to be made of.

    `existing`: it was read off a dataset, for a job that generates nothing; the targets then follow what passes.
    """

    domains: Annotated[dict[str, Annotated[Count, Field(ge=1, le=MAX_QUESTIONS)]], FoldedKeys] = Field(
        min_length=1, max_length=MAX_DOMAINS
    )
    difficulties: Annotated[dict[str, DifficultySpec], FoldedKeys] = Field(min_length=1, max_length=MAX_DIFFICULTIES)
    mean_tokens: Annotated[dict[str, Annotated[dict[str, MeanTokens], FoldedKeys]], FoldedKeys] = Field(
        default_factory=dict
    )
    minimum: Annotated[dict[str, Annotated[Count, Field(ge=0, le=MAX_QUESTIONS)]], FoldedKeys] = Field(
        default_factory=dict
    )
    measure: Measure = Measure.PROMPT
    means: Means = Means.FIXED
    scope: Scope = Scope.GLOBAL
    existing: StrictBool = False

    @field_validator("domains")
    @classmethod
    def _total_in_bounds(cls, domains: dict[str, int]) -> dict[str, int]:
        if sum(domains.values()) > MAX_QUESTIONS:
            raise ValueError(f"the domains add up to more than {MAX_QUESTIONS:,} questions")
        return domains

    @field_validator("difficulties")
    @classmethod
    def _shares_are_whole(cls, difficulties: dict[str, DifficultySpec]) -> dict[str, DifficultySpec]:
        total = sum((each.token_share for each in difficulties.values()), Decimal(0))
        if abs(total - 1) > SHARE_TOLERANCE:
            raise ValueError(f"the token shares add up to {total:f}, not to 1")
        return difficulties

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for domain, means in self.mean_tokens.items():
            _require_known(domain, self.domains, "mean_tokens", "domain")
            for difficulty in means:
                _require_known(difficulty, self.difficulties, f"mean_tokens.{domain}", "difficulty")
        for difficulty in self.minimum:
            _require_known(difficulty, self.difficulties, "minimum", "difficulty")
        return self

    def to_mix(self) -> Mix:
        """The planner's mix; shares are scaled to add up to exactly 1."""
        whole = sum((each.token_share for each in self.difficulties.values()), Decimal(0))
        return Mix(
            domains=self.domains,
            difficulties={
                name: Difficulty(
                    token_share=each.token_share / whole, mean_tokens=self._measured(each, each.mean_tokens)
                )
                for name, each in self.difficulties.items()
            },
            mean_tokens={
                domain: {name: self._measured(self.difficulties[name], mean) for name, mean in own.items()}
                for domain, own in self.mean_tokens.items()
            },
            minimum=self.minimum,
            answer_tokens={name: each.tokens_of_answer for name, each in self.difficulties.items()},
            measure=self.measure,
            means=self.means,
            scope=self.scope,
        )

    def _measured(self, difficulty: DifficultySpec, question_tokens: Decimal) -> Decimal:
        """Of a question with so many tokens, what the mix balances."""
        return {
            Measure.PROMPT: question_tokens,
            Measure.COMPLETION: difficulty.tokens_of_answer,
            Measure.TOTAL: question_tokens + difficulty.tokens_of_answer,
        }[self.measure]


class Mode(StrEnum):
    """How the calls of a stage reach the provider."""

    LIVE = "live"  # one by one, answered at once
    BULK = "bulk"  # in bulk submissions, at half price and within a day


class Judging(_Strict):
    """How questions are validated: each gets `votes` verdicts, and more than half of them must accept it.

    `least` is the lowest score, from 1 to 5, with which a question meets a criterion; it has to meet all of them.
    """

    questions_per_call: PerCall = Field(default_factory=dict)
    votes: Annotated[Count, Field(ge=1, le=MAX_VOTES)] = 1
    least: Annotated[Count, Field(ge=1, le=5)] = 3


class Answering(_Strict):
    """How questions are answered: `samples` times by each model.

    A question that got no answer in `tries` calls, or none that passes the check of it, is rejected.
    """

    questions_per_call: PerCall = Field(default_factory=dict)
    samples: Annotated[Count, Field(ge=1, le=MAX_SAMPLES)] = 1
    tries: Annotated[Count, Field(ge=1, le=MAX_TRIES)] = 3
    check: StrictBool = True


class Novelty(_Strict):
    """How a job keeps finding new questions.

    `steer`: topics that run dry rest. `inject`: prompts carry names, numbers and other content to use. `template_cap`:
    so many questions may differ in nothing but their numbers; null stands for the server's setting.
    """

    steer: StrictBool = True
    inject: StrictBool = True
    template_cap: Annotated[Count, Field(ge=1, le=1_000_000)] | None = None


class JobSpec(_Strict):
    """A job as a user posts it. Only the dataset and the mix's domains and difficulties are required, and those not of a
    job that generates nothing.

    `atlas` holds, for some of the domains, what they are about, or the digest of what was posted before.
    """

    dataset: Annotated[str, AfterValidator(check_dataset_name)]
    mix: MixSpec | None = None
    surplus: Surplus = Surplus.SUBSAMPLE
    models: dict[Stage, Annotated[dict[str, ModelName | ModelNames], FoldedKeys]] = Field(default_factory=dict)
    questions_per_call: PerCall = Field(default_factory=dict)
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)] = (Stage.GENERATE,)
    mode: Annotated[dict[Stage, Mode], BeforeValidator(_for_all_stages)] = Field(default_factory=dict)
    judging: Judging = Judging()
    answering: Answering = Answering()
    # As many decimals as the ledger keeps.
    budget_usd: Annotated[Money, Field(ge=0, le=10_000_000, allow_inf_nan=False, decimal_places=12)] | None = None
    seed: Annotated[Count, Field(ge=0, lt=2**63)] = 2025
    atlas: Annotated[dict[str, AtlasContent | AtlasDigest], FoldedKeys] = Field(default_factory=dict)
    novelty: Novelty = Novelty()
    # Which rules on a question's form are on, by the reasons they are counted under: docs/gates.md.
    gates: Annotated[dict[str, StrictBool], FoldedKeys] = Field(default_factory=dict)

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
    def _one_model_generates(
        cls, models: dict[Stage, dict[str, str | tuple[str, ...]]]
    ) -> dict[Stage, dict[str, str | tuple[str, ...]]]:
        for difficulty, named in models.get(Stage.GENERATE, {}).items():
            if not isinstance(named, str):
                raise ValueError(f"generate.{difficulty}: one model only; several may validate and answer")
        for stage, by_difficulty in models.items():
            for difficulty, named in by_difficulty.items():
                if not isinstance(named, str) and len(set(named)) < len(named):
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
        elif self.mix.measure is not Measure.PROMPT and self.mix.means is Means.MEASURED:
            if Stage.ANSWER not in self.stages:
                raise ValueError(f'mix.measure: "{self.mix.measure}" is measured on answers; add the stage answer')
        elif self.mix.means is Means.MEASURED and Stage.GENERATE not in self.stages:
            raise ValueError('mix.means: "measured" needs the stage generate')
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
                _require_known(difficulty, self.mix.difficulties, where, "difficulty")
        for domain in self.atlas:
            _require_known(domain, self.mix.domains, "atlas", "domain")
        return self


def parse_spec(data: object) -> JobSpec:
    """A checked spec. Raises InvalidInput that names each wrong field."""
    try:
        return JobSpec.model_validate(data)
    except ValidationError as error:
        problems = [FieldError(loc=_dotted(item["loc"]), msg=_message(item)) for item in error.errors()]
    first = f"{problems[0].loc}: {problems[0].msg}" if problems[0].loc else problems[0].msg
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    raise InvalidInput(f"{first}{more}", problems)


def _require_known(name: str, known: Mapping[str, object], where: str, kind: str) -> None:
    if name not in known:
        raise ValueError(f"{where}: {name!r} is not a {kind} of this mix ({', '.join(known)})")


def _dotted(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc if part != "[key]")


def _message(item: Any) -> str:
    if item["type"] == "extra_forbidden":
        return "unknown key"
    if item["type"] == "missing":
        return "required"
    return str(item["msg"]).removeprefix("Value error, ")
