"""The OpenAPI document: FastAPI's, with the bodies that are read by hand and the problem shape added."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.near_duplicate_shapes import NearLineShape
from api.problems import Problem
from api.reparse_shapes import ReparseBody
from api.schemas import BudgetBody, PruneBody, ResumeBody, TextsBody
from shared.jobs.spec import JobSpec

REF = "#/components/schemas/{model}"


def model_body(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """The `openapi_extra` of a route whose JSON body is this model."""
    schema = {"$ref": REF.format(model=model.__name__)}
    return {"requestBody": {"content": {"application/json": {"schema": schema}}, "required": required}}


def spec_body() -> dict[str, Any]:
    """The `openapi_extra` of a route that takes a job spec."""
    return model_body(JobSpec)


def install_openapi(app: FastAPI) -> None:
    """Serve the completed document at /openapi.json."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes, description=app.description)
            _, definitions = models_json_schema(
                [
                    (JobSpec, "validation"),
                    (TextsBody, "validation"),
                    (ResumeBody, "validation"),
                    (BudgetBody, "validation"),
                    (PruneBody, "validation"),
                    (ReparseBody, "validation"),
                    (NearLineShape, "serialization"),
                    (Problem, "validation"),
                ],
                ref_template=REF,
            )
            document.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign] # the documented way to extend the document
