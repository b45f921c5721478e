import json
from typing import Any

import pytest

from local.rehearsal.anthropic_wire import AnthropicWire
from local.rehearsal.openai_wire import OpenAIWire
from local.rehearsal.wire import MESSAGE_TOKENS, Asked
from shared.questions.tokens import count_tokens

SYSTEM = "You write questions for training sets. Reply with JSON only."
USER = "Domain: math\nTopic: fractions\nQuestions: 20\n" + "Simplify $\\frac{3}{9}$, and explain why.\n" * 20
SCHEMA = {"type": "object", "properties": {"answers": {"type": "array", "items": {"type": "string"}}}}


def ask_openai(schema: dict[str, Any] | None) -> Asked:
    form = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}]
    return OpenAIWire().read({"model": "m", "messages": messages} | (form if schema else {}))


def ask_anthropic(schema: dict[str, Any] | None) -> Asked:
    form = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    body = {"model": "m", "max_tokens": 9, "system": SYSTEM, "messages": [{"role": "user", "content": USER}]}
    return AnthropicWire().read(body | (form if schema else {}))


@pytest.mark.parametrize("ask", [ask_openai, ask_anthropic])
def test_input_is_billed_by_the_tokenizer_with_the_schema(ask: Any) -> None:
    texts = count_tokens(SYSTEM) + count_tokens(USER)
    schema = count_tokens(json.dumps(SCHEMA, separators=(",", ":")))
    assert texts <= ask(None).input_tokens <= texts + 2 * MESSAGE_TOKENS
    assert ask(SCHEMA).input_tokens - ask(None).input_tokens == schema


@pytest.mark.parametrize("ask", [ask_openai, ask_anthropic])
def test_the_schema_tells_what_is_wanted(ask: Any) -> None:
    assert ask(SCHEMA).wanted == "answers"
    assert ask(None).wanted == "questions"
    assert ask({"type": "object", "properties": {"a": {}, "b": {}}}).wanted == "questions"
