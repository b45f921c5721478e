"""JSON bodies, read strictly: what a lenient parser would drop or bend in silence is an error that names the place."""

import asyncio
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Annotated, NoReturn, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from api.limits import SIGN_IN_BYTES, SPEC_BYTES, TEXTS_BYTES, read_limited
from api.problems import plain_message
from shared.errors import FieldError, InvalidInput

AnyModel = TypeVar("AnyModel", bound=BaseModel)


class _Object(dict[str, object]):
    """A JSON object that remembers a key it was given twice."""

    repeated: str | None = None


# Reading what is larger takes long enough for others to notice. One at a time: 16 MB may need 400 MB to be read.
AT_ONCE_BYTES = 64_000
_reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="json")


async def _read_json(request: Request, limit_bytes: int) -> object:
    body = await read_limited(request, limit_bytes)
    if len(body) <= AT_ONCE_BYTES:
        return parse_json(body)
    return await asyncio.get_running_loop().run_in_executor(_reader, parse_json, body)


async def _read_sign_in_json(request: Request) -> object:
    return await _read_json(request, SIGN_IN_BYTES)


async def _read_spec_json(request: Request) -> object:
    return await _read_json(request, SPEC_BYTES)


async def _read_texts_json(request: Request) -> object:
    return await _read_json(request, TEXTS_BYTES)


TOO_DEEP = "nested too deeply"
MAX_DEPTH = 100
"""Brackets within each other. orjson writes no more than 254 of them, and what is taken must be shown again."""
MOST_NAMES = 10_000
"""In one object; the largest of ours, an atlas of topics, has 2,000."""
MOST_OBJECTS = 100_000
MOST_SHOWN = 10
"""Mistakes that the sentence names; the list has all that problems show."""
SignInJson = Annotated[object, Depends(_read_sign_in_json)]
SpecJson = Annotated[object, Depends(_read_spec_json)]
TextsJson = Annotated[object, Depends(_read_texts_json)]


def parse_json(body: bytes) -> object:
    """The value of a JSON body.

    Raises InvalidInput for invalid UTF-8, malformed JSON, a key given twice, a number beyond a float, more names or
    objects than any body of ours has, and for text that Postgres cannot hold (U+0000, half a surrogate pair).
    """
    objects = count(1)

    def collect(pairs: list[tuple[str, object]]) -> _Object:
        if len(pairs) > MOST_NAMES or next(objects) > MOST_OBJECTS:
            raise ValueError(f"more than {MOST_NAMES:,} names in an object, or than {MOST_OBJECTS:,} objects")
        return _collect(pairs)

    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        _refuse("body", f"not valid UTF-8 at byte {error.start}")
    try:
        value: object = json.loads(
            text, object_pairs_hook=collect, parse_constant=_refuse_constant, parse_float=_finite
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
        wrong = [(".".join(map(str, item["loc"])) or "body", item) for item in error.errors(include_url=False)]
    errors = [FieldError(loc=loc, msg=plain_message(item["type"], item["msg"])) for loc, item in wrong]
    more = f" (and {len(errors) - MOST_SHOWN:,} more)" if len(errors) > MOST_SHOWN else ""
    raise InvalidInput("; ".join(f"{each.loc}: {each.msg}" for each in errors[:MOST_SHOWN]) + more, errors)


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
        raise ValueError(f"the number {number[:20]}{'...' * (len(number) > 20)} is too large")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _refuse(loc: str, msg: str) -> NoReturn:
    raise InvalidInput(f"{loc}: {msg}", [FieldError(loc=loc, msg=msg)])
