"""Reads a provider's reply body: pure, so that a stored raw reply is read again for free."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import orjson

from shared.llm.provider import Outcome, Usage


@dataclass(frozen=True, slots=True)
class Reading:
    """What a body with status 200 says."""

    outcome: Outcome
    text: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    detail: str | None = None


def read_reply(provider: str, raw: str | bytes) -> Reading:
    """Read the body of a successful reply of "openai" or "anthropic". Never raises on any body."""
    body = load_json(raw)
    if not isinstance(body, dict):
        return Reading(Outcome.MALFORMED, detail="the reply is not a JSON object")
    return _READERS[provider](body)


def storable(body: bytes) -> str:
    """The body as text that Postgres can hold: UTF-8, without the NUL character that `text` refuses."""
    return body.decode("utf-8", "replace").replace("\x00", "\ufffd")


def load_json(raw: str | bytes) -> object:
    """What the JSON says; None when it is none."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    try:  # half a surrogate pair is legal JSON that orjson refuses; it cannot be stored, so it is replaced
        parsed: object = json.loads(raw)
        return orjson.loads(json.dumps(parsed, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def _read_openai(body: dict[str, Any]) -> Reading:
    """A Chat Completions object, as OpenAI, vLLM, Ollama and LM Studio send it."""
    usage = _openai_usage(body.get("usage"))
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        return Reading(Outcome.MALFORMED, usage=usage, detail="the reply has no choices[0].message")
    finish = _text_or_none(choice.get("finish_reason"))
    text = _joined(message.get("content"))
    refusal = _text_or_none(message.get("refusal"))
    # The finish reason first: a cut or filtered reply may still carry text that looks whole.
    if finish == "length":
        return Reading(Outcome.CUT if text.strip() else Outcome.NO_ROOM, text, finish, usage)
    if finish == "content_filter" or refusal:
        return Reading(Outcome.REFUSED, text, finish, usage, refusal or "stopped by the content filter")
    return Reading(Outcome.OK if text.strip() else Outcome.EMPTY, text, finish, usage)


def _read_anthropic(body: dict[str, Any]) -> Reading:
    """A Messages object."""
    usage = _anthropic_usage(body.get("usage"))
    if not isinstance(body.get("content"), list):
        return Reading(Outcome.MALFORMED, usage=usage, detail="the reply has no content")
    finish = _text_or_none(body.get("stop_reason"))
    text = _joined(body["content"])
    if finish in {"max_tokens", "model_context_window_exceeded"}:
        return Reading(Outcome.CUT if text.strip() else Outcome.NO_ROOM, text, finish, usage)
    if finish == "refusal":
        details = body.get("stop_details")
        why = details.get("explanation") if isinstance(details, dict) else None
        return Reading(Outcome.REFUSED, text, finish, usage, _text_or_none(why) or "the model declined")
    return Reading(Outcome.OK if text.strip() else Outcome.EMPTY, text, finish, usage)


_READERS = {"openai": _read_openai, "anthropic": _read_anthropic}


def _joined(content: object) -> str:
    """The text of a message: a string, or the text parts of a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (part for part in content if isinstance(part, dict) and part.get("type") == "text")
    return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _openai_usage(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    inputs, outputs = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not _is_count(inputs) or not _is_count(outputs):
        return None
    prompt_details, completion_details = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cached_tokens=min(_count(prompt_details, "cached_tokens"), inputs),
        cache_write_tokens=_count(prompt_details, "cache_write_tokens"),
        reasoning_tokens=_count(completion_details, "reasoning_tokens"),
    )


def _anthropic_usage(usage: object) -> Usage | None:
    """Anthropic counts cached tokens beside `input_tokens`, not inside."""
    if not isinstance(usage, dict):
        return None
    inputs, outputs = usage.get("input_tokens"), usage.get("output_tokens")
    if not _is_count(inputs) or not _is_count(outputs):
        return None
    cached, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    return Usage(
        input_tokens=inputs + cached + written,
        output_tokens=outputs,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=_count(usage.get("output_tokens_details"), "thinking_tokens"),
    )


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _count(holder: object, key: str) -> int:
    value = holder.get(key) if isinstance(holder, Mapping) else None
    return value if _is_count(value) else 0
