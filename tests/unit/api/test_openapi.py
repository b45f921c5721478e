"""The OpenAPI document: what it says of our own bodies is JSON Schema, and every shape is the one that is meant."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from pydantic import BaseModel

from api import openapi
from api.app import create_app
from api.work_shapes import BatchShape, CallShape, SubmissionShape
from shared.jobs.progress import BATCH_COLUMNS, CALL_COLUMNS, SUBMISSION_COLUMNS
from shared.settings import Settings


@cache
def shapes() -> dict[str, Any]:
    found: dict[str, Any] = create_app(Settings()).openapi()["components"]["schemas"]
    return found


def test_the_scope_of_a_key_is_not_that_of_token_shares() -> None:
    assert shapes()["SignedInShape"]["properties"]["scope"]["$ref"] == openapi.REF.format(model="Scope")
    assert shapes()["Scope"]["enum"] == ["read", "submit", "admin"]
    assert shapes()["MixSpec"]["properties"]["scope"]["$ref"] == openapi.REF.format(model="ShareScope")
    assert shapes()["ShareScope"]["enum"] == ["global", "domain"]


def test_two_shapes_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class JobShape(BaseModel):
        """Another one."""

    monkeypatch.setattr(openapi, "BODIES", (*openapi.BODIES, JobShape))
    with pytest.raises(LookupError, match="JobShape"):
        create_app(Settings()).openapi()


def test_limits_are_said_in_the_words_of_json_schema() -> None:
    votes = shapes()["Judging"]["properties"]["votes"]
    assert (votes["minimum"], votes["maximum"]) == (1, 9)
    assert shapes()["JobSpec"]["properties"]["seed"]["maximum"] == 2**63 - 1
    budget = shapes()["BudgetBody"]["properties"]["budget_usd"]
    assert (budget["minimum"], budget["maximum"]) == (0, 999_999)
    assert not {"ge", "gt", "le", "lt", "decimal_places"} & words_of(shapes())


def test_limits_of_parameters_are_said_in_the_words_of_json_schema() -> None:
    operations = [each for path in create_app(Settings()).openapi()["paths"].values() for each in path.values()]
    parameters = [each["schema"] for operation in operations for each in operation.get("parameters", ())]
    numbers = [part for each in parameters for part in each.get("anyOf", [each]) if part.get("type") == "integer"]
    assert len(numbers) > 10
    for each in numbers:
        assert "minimum" in each
        assert {"maximum", "exclusiveMaximum"} & set(each)


def test_every_text_and_name_in_a_json_body_is_said_to_hold_no_nul() -> None:
    told = [place for model in openapi.BODIES for place in texts_within(shapes()[model.__name__], model.__name__)]
    assert len(told) > 40
    assert {place for place, schema in told if may_hold_nul(schema)} == set()


def texts_within(schema: dict[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where a client writes text, and the schema of it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from texts_within(shapes()[name], f"{place} {name}")
    if schema.get("type") == "string":
        yield place, schema
    if schema.get("additionalProperties"):
        yield f"{place}, a name", schema.get("propertyNames", {})
    for name, part in schema.get("properties", {}).items():
        yield from texts_within(part, f"{place}.{name}")
    choices = [each for word in ("anyOf", "oneOf", "allOf") for each in schema.get(word, [])]
    for part in (schema.get("items"), schema.get("additionalProperties"), *choices):
        if isinstance(part, dict):
            yield from texts_within(part, place)


def may_hold_nul(schema: dict[str, Any]) -> bool:
    return not schema.keys() & {"enum", "const"} and bool(re.search(schema.get("pattern", ""), "a\0b"))


def words_of(schema: Any) -> set[str]:
    """All keys of a schema and of what is in it."""
    if isinstance(schema, list):
        return set().union(*map(words_of, schema))
    return set(schema).union(*map(words_of, schema.values())) if isinstance(schema, dict) else set()


@pytest.mark.parametrize(
    ("shape", "columns"),
    [(BatchShape, BATCH_COLUMNS), (CallShape, CALL_COLUMNS), (SubmissionShape, SUBMISSION_COLUMNS)],
)
def test_rows_that_are_shown_are_described_column_by_column(shape: type[BaseModel], columns: str) -> None:
    assert shape.model_fields.keys() == {name.strip() for name in columns.split(",")}
