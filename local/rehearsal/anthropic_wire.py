"""Anthropic's messages: bodies, errors and rate limit headers."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from local.rehearsal.quotas import BucketState, Kind
from local.rehearsal.wire import (
    Asked,
    BadRequest,
    Ending,
    Made,
    Trouble,
    count_repeated,
    count_schema,
    read_limit,
    read_messages,
    read_model,
    text_of,
)

_STOP = {
    Ending.COMPLETE: "end_turn",
    Ending.CUT: "max_tokens",
    Ending.REFUSED: "refusal",
    Ending.FILTERED: "refusal",
}
_TROUBLES = {
    Trouble.BAD_REQUEST: (400, "invalid_request_error"),
    Trouble.UNAUTHORISED: (401, "authentication_error"),
    Trouble.NOT_FOUND: (404, "not_found_error"),
    Trouble.RATE_LIMITED: (429, "rate_limit_error"),
    Trouble.NO_MONEY: (402, "billing_error"),
    Trouble.SERVER_ERROR: (500, "api_error"),
    Trouble.OVERLOADED: (529, "overloaded_error"),
}


class AnthropicWire:
    """`POST /v1/messages`."""

    name = "anthropic"
    key_headers: tuple[str, ...] = ("x-api-key", "Authorization")
    client_id_header = "X-Client-Request-Id"

    def read(self, body: Mapping[str, Any]) -> Asked:
        """The request; raises BadRequest."""
        model = read_model(body)
        user, tokens = read_messages(body)
        limit = read_limit(body.get("max_tokens"), "max_tokens")
        if limit is None:
            raise BadRequest("max_tokens: Field required")
        schema = _read_schema(body.get("output_config"))
        system = text_of(body["system"]) if body.get("system") else ""
        return Asked(
            model=model,
            user=user,
            input_tokens=tokens + count_repeated(system) + count_schema(schema),
            schema=schema,
            max_output_tokens=limit,
        )

    def costs(self, input_tokens: float, output_tokens: float) -> dict[Kind, float]:
        """Input and output have a quota each."""
        return {Kind.INPUT: input_tokens, Kind.OUTPUT: output_tokens}

    def answer(self, asked: Asked, made: Made, request_id: str) -> bytes:
        """The body of a 200: an object of type `message`. A refusal has no content, only `stop_details`."""
        refused = made.ending in {Ending.REFUSED, Ending.FILTERED}
        return orjson.dumps(
            {
                "id": f"msg_{request_id.removeprefix('req_')}",
                "type": "message",
                "role": "assistant",
                "model": asked.model,
                "content": [] if refused else [{"type": "text", "text": made.text}],
                "stop_reason": _STOP[made.ending],
                "stop_sequence": None,
                "stop_details": {"type": "refusal", "category": None, "explanation": made.text} if refused else None,
                "usage": {
                    "input_tokens": asked.input_tokens,
                    "output_tokens": made.output_tokens,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "service_tier": "standard",
                },
            }
        )

    def trouble(self, trouble: Trouble, message: str, request_id: str) -> tuple[int, bytes]:
        """Status and body of an error."""
        status, kind = _TROUBLES[trouble]
        body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
        return status, orjson.dumps(body)

    def headers(self, states: Mapping[Kind, BucketState], request_id: str) -> dict[str, str]:
        """`request-id` and the `anthropic-ratelimit-` headers."""
        headers = {"request-id": request_id}
        now = datetime.now(UTC)
        for kind, state in states.items():
            full_at = now + timedelta(seconds=state.full_in_seconds)
            headers[f"anthropic-ratelimit-{kind}-limit"] = str(state.limit)
            headers[f"anthropic-ratelimit-{kind}-remaining"] = str(state.remaining)
            headers[f"anthropic-ratelimit-{kind}-reset"] = full_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return headers


def _read_schema(config: object) -> Mapping[str, Any] | None:
    if not isinstance(config, Mapping) or config.get("format") is None:
        return None
    form = config["format"]
    if (
        not isinstance(form, Mapping)
        or form.get("type") != "json_schema"
        or not isinstance(form.get("schema"), Mapping)
    ):
        raise BadRequest("output_config.format: an object of type json_schema with a schema is required")
    schema: Mapping[str, Any] = form["schema"]
    return schema
