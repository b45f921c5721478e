"""JSON bodies, read strictly: what a lenient parser would drop or bend in silence is an error that names the place."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, NoReturn, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from api.limits import SPEC_BYTES, TEXTS_BYTES, read_limited
from api.problems import plain_message
from shared.errors import FieldError, InvalidInput

AnyModel = TypeVar("AnyModel", bound=BaseModel)


class _Object(dict[str, object]):
    """A JSON object that remembers a key it was given twice."""

    repeated: str | None = None


async def _read_spec_json(request: Request) -> object:
    return parse_json(await read_limited(request, SPEC_BYTES))


async def _read_texts_json(request: Request) -> object:
    return parse_json(await read_limited(request, TEXTS_BYTES))


TOO_DEEP = "nested too deeply"
MAX_DEPTH = 100
"""Brackets within each other. orjson writes no more than 254 of them, and what is taken must be shown again."""
SpecJson = Annotated[object, Depends(_read_spec_json)]
TextsJson = Annotated[object, Depends(_read_texts_json)]


def parse_json(body: bytes) -> object:
    """The value of a JSON body.

    Raises InvalidInput for invalid UTF-8, malformed JSON, a key given twice, a number beyond a float, and for text
    that Postgres cannot hold (U+0000, half a surrogate pair).
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        _refuse("body", f"not valid UTF-8 at byte {error.start}")
    try:
        value: object = json.loads(
            text, object_pairs_hook=_collect, parse_constant=_refuse_constant, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        _refuse("body", f"not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})")
    except ValueError as error:
        _refuse("body", str(error))
    except RecursionError:
        _refuse("body", TOO_DEEP)
    for loc, flaw in _flaws(value, ()):
        _refuse(".".join(loc) or "body", flaw)
    return value


def parse_model(model: type[AnyModel], value: object) -> AnyModel:
    """The value as the model. Raises InvalidInput that names each wrong field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        wrong = [(".".join(map(str, item["loc"])) or "body", item) for item in error.errors()]
    errors = [FieldError(loc=loc, msg=plain_message(item["type"], item["msg"])) for loc, item in wrong]
    raise InvalidInput("; ".join(f"{each.loc}: {each.msg}" for each in errors), errors)


def canonical_hash(value: object) -> bytes:
    """sha256 over the value with sorted keys and no spaces: the same request however it was written."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).digest()


def _collect(pairs: list[tuple[str, object]]) -> _Object:
    collected = _Object(pairs)
    if len(collected) < len(pairs):
        keys = [key for key, _ in pairs]
        collected.repeated = next(key for key, times in Counter(keys).items() if times > 1)
    return collected


def _flaws(value: object, loc: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if len(loc) > MAX_DEPTH:
        yield (), TOO_DEEP
    elif isinstance(value, str):
        if flaw := _text_flaw(value):
            yield loc, flaw
    elif isinstance(value, _Object):
        if value.repeated is not None and not _text_flaw(value.repeated):
            yield (*loc, value.repeated), "given twice"
        for key, item in value.items():
            if flaw := _text_flaw(key):
                yield loc, f"a key with {flaw}"
            else:
                yield from _flaws(item, (*loc, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _flaws(item, (*loc, str(position)))


def _text_flaw(text: str) -> str | None:
    if "\0" in text:
        return "the character U+0000"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair"
    return None


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"the number {number} is too large")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _refuse(loc: str, msg: str) -> NoReturn:
    raise InvalidInput(f"{loc}: {msg}", [FieldError(loc=loc, msg=msg)])
