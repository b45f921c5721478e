"""OpenAI's chat completions: bodies, errors and rate limit headers."""

import math
import time
from collections.abc import Mapping
from typing import Any

import orjson

from local.rehearsal.quotas import BucketState, Kind
from local.rehearsal.wire import (
    Asked,
    BadRequest,
    Ending,
    Made,
    Trouble,
    count_schema,
    read_limit,
    read_messages,
    read_model,
)

# Reasoning tokens as a share of the visible ones; only played when the request asks for reasoning.
_REASONING = {"low": 0.2, "medium": 0.5, "high": 1.0, "xhigh": 1.5}
_FINISH = {
    Ending.COMPLETE: "stop",
    Ending.CUT: "length",
    Ending.REFUSED: "stop",
    Ending.FILTERED: "content_filter",
}
_TROUBLES = {
    Trouble.BAD_REQUEST: (400, "invalid_request_error", None),
    Trouble.UNAUTHORISED: (401, "invalid_request_error", "invalid_api_key"),
    Trouble.NOT_FOUND: (404, "invalid_request_error", None),
    Trouble.RATE_LIMITED: (429, "requests", "rate_limit_exceeded"),
    Trouble.NO_MONEY: (429, "insufficient_quota", "insufficient_quota"),
    Trouble.SERVER_ERROR: (500, "server_error", None),
    Trouble.OVERLOADED: (503, "service_unavailable", None),
}


class OpenAIWire:
    """`POST /v1/chat/completions`."""

    name = "openai"
    key_headers: tuple[str, ...] = ("Authorization",)
    client_id_header = "X-Client-Request-Id"

    def read(self, body: Mapping[str, Any]) -> Asked:
        """The request; raises BadRequest."""
        model = read_model(body)
        user, tokens = read_messages(body)
        schema = _read_schema(body.get("response_format"))
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        return Asked(
            model=model,
            user=user,
            input_tokens=tokens + count_schema(schema),
            schema=schema,
            max_output_tokens=read_limit(limit, "max_completion_tokens"),
            reasoning_share=_REASONING.get(str(body.get("reasoning_effort")), 0.0),
        )

    def costs(self, input_tokens: float, output_tokens: float) -> dict[Kind, float]:
        """One quota counts both kinds of tokens."""
        return {Kind.TOKENS: input_tokens + output_tokens}

    def answer(self, asked: Asked, made: Made, request_id: str) -> bytes:
        """The body of a 200: an object `chat.completion`."""
        refused = made.ending is Ending.REFUSED
        message: dict[str, object] = {
            "role": "assistant",
            "content": None if refused else made.text,
            "refusal": made.text if refused else None,
            "annotations": [],
        }
        return orjson.dumps(
            {
                "id": f"chatcmpl-{request_id}",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": asked.model,
                "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH[made.ending]}],
                "usage": {
                    "prompt_tokens": asked.input_tokens,
                    "completion_tokens": made.output_tokens,
                    "total_tokens": asked.input_tokens + made.output_tokens,
                    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                    "completion_tokens_details": {
                        "reasoning_tokens": made.reasoning_tokens,
                        "audio_tokens": 0,
                        "accepted_prediction_tokens": 0,
                        "rejected_prediction_tokens": 0,
                    },
                },
                "service_tier": "default",
                "system_fingerprint": "fp_rehearsal",
            }
        )

    def trouble(self, trouble: Trouble, message: str, request_id: str) -> tuple[int, bytes]:  # noqa: ARG002 - the id is in the header
        """Status and body of an error."""
        status, kind, code = _TROUBLES[trouble]
        return status, orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})

    def headers(self, states: Mapping[Kind, BucketState], request_id: str) -> dict[str, str]:
        """`x-request-id` and the `x-ratelimit-` headers."""
        headers = {"x-request-id": request_id, "openai-processing-ms": "0"}
        for kind, state in states.items():
            headers[f"x-ratelimit-limit-{kind}"] = str(state.limit)
            headers[f"x-ratelimit-remaining-{kind}"] = str(state.remaining)
            headers[f"x-ratelimit-reset-{kind}"] = format_duration(state.full_in_seconds)
        return headers


def format_duration(seconds: float) -> str:
    """As OpenAI writes it: "17ms", "1.2s", "6m0s", "1h2m3s"."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    if seconds < 60:
        return f"{math.ceil(seconds * 1000) / 1000:g}s"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"


def _read_schema(form: object) -> Mapping[str, Any] | None:
    if form is None:
        return None
    if not isinstance(form, Mapping):
        raise BadRequest("response_format: an object is required")
    if form.get("type") != "json_schema":
        return None
    definition = form.get("json_schema")
    if not isinstance(definition, Mapping) or not definition.get("name"):
        raise BadRequest("response_format.json_schema.name is required")
    schema = definition.get("schema")
    if not isinstance(schema, Mapping):
        raise BadRequest("response_format.json_schema.schema is required")
    return schema
