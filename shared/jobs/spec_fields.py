"""The types of a job spec's fields: what each may hold, with words for a person who typed something else."""

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PlainSerializer

from shared.database.states import Stage
from shared.planning.mix import fold_name
from shared.questions.atlas_content import DIGEST_LENGTH

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
MAX_BUDGET_USD = 999_999  # what the ledger has digits for
# What an answer is taken to have when nothing is said: half as much again as its question, and at least a paragraph.
ANSWER_TOKENS_PER_QUESTION_TOKEN = Decimal("1.5")
LEAST_ANSWER_TOKENS = Decimal(100)
# Shares written with six decimals (0.333333 three times) still count as a whole.
SHARE_TOLERANCE = Decimal("0.00001")

DATASET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
PLAIN_NUMBER = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{0,18})?")
MODEL_NAME = re.compile(r"(openai|anthropic)/[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,119}")
# For the OpenAPI document; what is wrong is said by the checks below.
DATASET_NAME_SHAPE: dict[str, JsonValue] = {"pattern": f"^{DATASET_NAME.pattern}$"}
MODEL_NAME_SHAPE: dict[str, JsonValue] = {"pattern": f"^{MODEL_NAME.pattern}$"}


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


def for_all_stages(value: object) -> object:
    """One mode alone is that of every stage."""
    return dict.fromkeys(Stage, value) if isinstance(value, str) else value


def _write_plain(value: Decimal) -> str:
    """Without an exponent, which is refused when the spec is read again."""
    return f"{value:f}"


JsonNumber = Annotated[Decimal, BeforeValidator(_require_plain), PlainSerializer(float, when_used="json")]
Money = Annotated[Decimal, BeforeValidator(_require_plain), PlainSerializer(_write_plain, when_used="json")]
# As many decimals as the ledger keeps.
Budget = Annotated[Money, Field(ge=0, le=MAX_BUDGET_USD, allow_inf_nan=False, decimal_places=12)]
Count = Annotated[int, BeforeValidator(_refuse_bool)]
MeanTokens = Annotated[JsonNumber, Field(ge=1, le=MAX_MEAN_TOKENS, allow_inf_nan=False)]
FoldedKeys = BeforeValidator(_fold_keys)
ModelName = Annotated[str, AfterValidator(_check_model_name), Field(json_schema_extra=MODEL_NAME_SHAPE)]
# Several judges take turns at the votes; of several models each answers every question.
_SeveralModels = Annotated[tuple[ModelName, ...], Field(min_length=1, max_length=MAX_MODELS)]
ModelNames = Annotated[
    _SeveralModels,
    BeforeValidator(
        lambda named: (_check_model_name(named),) if isinstance(named, str) else named,
        json_schema_input_type=ModelName | _SeveralModels,
    ),
    PlainSerializer(lambda named: named[0] if len(named) == 1 else list(named), when_used="json"),
]
PerCall = Annotated[dict[str, Annotated[Count, Field(ge=1, le=MAX_QUESTIONS_PER_CALL)]], FoldedKeys]
AtlasDigest = Annotated[str, Field(pattern=rf"^[0-9a-f]{{{DIGEST_LENGTH}}}$")]


class Strict(BaseModel):
    """A part of a spec: what it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def require_known(name: str, known: Mapping[str, object], where: str, kind: str) -> None:
    """Raise ValueError for a name that the mix does not have."""
    if name not in known:
        raise ValueError(f"{where}: {name!r} is not a {kind} of this mix ({', '.join(known)})")
