"""The OpenAPI document: FastAPI's, with the bodies that are read by hand and the problem shape added."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.responses import JSONResponse, Response

from api.access import READ, scope_of
from api.answers import NO_NUL
from api.job_shapes import BudgetBody, ResumeBody
from api.near_duplicate_shapes import NearLineShape
from api.problems import Problem, declared_problems
from api.reparse_shapes import ReparseBody
from api.schemas import PruneBody, TextsBody
from api.security import COOKIE
from api.session_shapes import SignInBody
from shared.jobs.spec import JobSpec

REF = "#/components/schemas/{model}"
SECURITY: list[dict[str, list[str]]] = [{"key": []}, {"session": []}]
# Where none is required, one that is given counts all the same.
OPTIONAL_SECURITY: list[dict[str, list[str]]] = [*SECURITY, {}]
SCHEMES = {
    "key": {"type": "http", "scheme": "bearer", "bearerFormat": "qm_..."},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}
# What the operations of each tag are about, in the order in which a person reads of them.
TAGS = {
    "jobs": "Plan a job, submit it, follow it, steer it.",
    "datasets": "What there is: import, look, compare, export, delete.",
    "questions": "One question: where it comes from; take it out, or back.",
    "contamination": "Benchmarks that a dataset must not hold.",
    "prompts": "What the models are asked with.",
    "limits": "The rate limits of the models.",
    "retention": "Let go of what ended jobs have left behind.",
    "settings": "What a page needs to know of the service.",
    "session": "For browsers; programs send their key each time.",
    "health": "For whoever watches the service.",
}

BODIES = (JobSpec, TextsBody, ResumeBody, BudgetBody, PruneBody, ReparseBody, SignInBody)
"""What is read by `api.json_body`, of which FastAPI knows nothing."""


def model_body(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """The `openapi_extra` of a route whose JSON body is this model."""
    schema = {"$ref": REF.format(model=model.__name__)}
    return {"requestBody": {"content": {"application/json": {"schema": schema}}, "required": required}}


def spec_body() -> dict[str, Any]:
    """The `openapi_extra` of a route that takes a job spec."""
    return model_body(JobSpec)


# What pydantic writes of limits that are checked after a validator of ours, and what JSON Schema calls them.
LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def _in_json_schema(schema: Any) -> Any:
    """The schema with its limits in the words of JSON Schema, at every depth; decimal places have no word there."""
    if isinstance(schema, list):
        return [_in_json_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    of_numbers = "type" in schema or "anyOf" in schema
    return {
        LIMITS.get(key, key) if of_numbers else key: _in_json_schema(value)
        for key, value in schema.items()
        if not (of_numbers and key == "decimal_places")
    }


# The words of a schema whose value is a schema, and those where it is a list of them.
WITHIN = ("additionalProperties", "items")
ANY_OF = ("anyOf", "oneOf", "allOf")


def _without_nul(schema: Any) -> Any:
    """The schema of a JSON body, saying of each text and name in it what `api.json_body.parse_json` refuses."""
    if not isinstance(schema, dict):
        return schema
    of_any_text = schema.get("type") == "string" and not schema.keys() & {"enum", "const"}
    said: dict[str, Any] = {**(NO_NUL if of_any_text else {}), **schema}
    if said.get("additionalProperties"):
        said["propertyNames"] = {**NO_NUL, **said.get("propertyNames", {})}
    said |= {word: _without_nul(said[word]) for word in WITHIN if word in said}
    said |= {word: [_without_nul(each) for each in said[word]] for word in ANY_OF if word in said}
    if "properties" in said:
        said["properties"] = {name: _without_nul(each) for name, each in said["properties"].items()}
    return said


def _definitions(mode: JsonSchemaMode, *models: type[BaseModel]) -> dict[str, Any]:
    """The shapes of the models, and of all that they refer to."""
    _, definitions = models_json_schema([(model, mode) for model in models], ref_template=REF)
    found: dict[str, Any] = _in_json_schema(definitions["$defs"])
    return found


def _add_shapes(shapes: dict[str, Any], more: dict[str, Any]) -> None:
    """Raises LookupError for two shapes of one name: what refers to the first would mean the second."""
    for name, shape in more.items():
        if shapes.setdefault(name, shape) != shape:
            raise LookupError(f"two shapes of the document are called {name}")


def _summarise(document: dict[str, Any]) -> None:
    """Of every operation, the first sentence of what it does; FastAPI takes the name of our function."""
    for item in document["paths"].values():
        for operation in item.values():
            operation["summary"] = " ".join(operation["description"].split()).partition(". ")[0].removesuffix(".")


def _describe_invalid_input(document: dict[str, Any]) -> None:
    """Where FastAPI adds its own 422, it is a problem of ours that is answered."""
    for item in document["paths"].values():
        for operation in item.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                operation["responses"]["422"] = declared_problems(422)[422]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def _describe_bad_requests(document: dict[str, Any]) -> None:
    """What is no HTTP, and what says its length twice, is refused before anybody knows for which operation it is."""
    for item in document["paths"].values():
        for operation in item.values():
            operation["responses"].setdefault("400", declared_problems(400)[400])


def install_openapi(app: FastAPI, *, keys_required: bool) -> None:
    """Serve the completed document at /openapi.json, which needs a key where all does."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes, description=app.description)
            components = document.setdefault("components", {})
            shapes = components.setdefault("schemas", {})
            _add_shapes(shapes, _definitions("serialization", NearLineShape, Problem))
            bodies = _definitions("validation", *BODIES)
            _add_shapes(shapes, bodies)
            shapes |= {name: _without_nul(shapes[name]) for name in bodies}
            components["securitySchemes"] = SCHEMES
            document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
            _summarise(document)
            _add_scopes(app, document, SECURITY if keys_required else OPTIONAL_SECURITY)
            _describe_invalid_input(document)
            _describe_bad_requests(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign] # the documented way to extend the document

    async def show(_: Request) -> Response:
        return JSONResponse(app.openapi())

    app.add_api_route("/openapi.json", show, dependencies=[READ], include_in_schema=False)


def _add_scopes(app: FastAPI, document: dict[str, Any], security: list[dict[str, list[str]]]) -> None:
    """Say of every operation which scope it needs."""
    for route in (each.original_route for each in iter_route_contexts(app.routes)):
        if isinstance(route, APIRoute) and route.include_in_schema and (scope := scope_of(route)):
            for method in route.methods or ():
                operation = document["paths"][route.path][method.lower()]
                operation["security"] = security
                operation["x-questmill-scope"] = scope
