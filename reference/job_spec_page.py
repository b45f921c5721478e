"""docs/reference/job_spec.md, from the shape of a job spec in the OpenAPI document. Pure."""

import inspect
from collections.abc import Mapping

from cli.spec_template import Wishes, write_template
from reference.markdown import either, fence, link, paragraphs, prose, table
from reference.schema_words import Schema
from reference.shape_sections import enumeration, fields_of, refers_to
from shared.database.states import Stage
from shared.questions.gates.table import GATES

SPEC = "JobSpec"
INTRO = """
What `./run questmill plan` and `submit` take as a file, YAML or JSON, and POST /v1/plans and POST /v1/jobs as a body.
An unknown key is an error that names it. Names of domains and difficulties are compared without case, and `_` and `-`
count as spaces.

This is what `./run questmill init` writes for a job of all three stages:
"""
GATES_INTRO = "Which rules on a question's form are on, by the reason under which a refusal is counted: docs/gates.md."


def job_spec_page(shapes: Mapping[str, Schema]) -> list[str]:
    """The page's lines."""
    places = _places(shapes)

    def show(name: str) -> str:
        shape = shapes[name]
        return link(name, text=either(shape["enum"])) if "enum" in shape else link(places[name])

    lines = ["# Job spec", "", *paragraphs(INTRO), *fence("yaml", write_template(Wishes(stages=tuple(Stage))))]
    for name, place in places.items():
        heading = [] if name == SPEC else [f"## {place}", ""]
        lines += [*heading, *paragraphs(shapes[name].get("description", "")), *fields_of(shapes[name], show)]
    lines += ["## gates", "", *paragraphs(GATES_INTRO), *_gates()]
    for name in sorted(name for name, shape in shapes.items() if "enum" in shape):
        lines += [f"## {name}", "", *enumeration(name, shapes[name])]
    return lines


def _places(shapes: Mapping[str, Schema], outer: str = SPEC, where: str = "") -> dict[str, str]:
    """Each part of a spec with where it stands: "mix.difficulties.NAME"."""
    places = {outer: where}
    for key, field in shapes[outer]["properties"].items():
        for name in refers_to(field):
            if "properties" in shapes[name]:
                of_each = ".NAME" if "additionalProperties" in field else ""
                places |= _places(shapes, name, f"{where}.{key}{of_each}".lstrip("."))
    return places


def _gates() -> list[str]:
    return table(
        ("gate", "default", "what it refuses"),
        (
            (
                f"`{gate.name}`",
                f"`{str(gate.on).lower()}`",
                prose((inspect.getdoc(gate.refuses) or "").partition("\n")[0]),
            )
            for gate in GATES.values()
        ),
    )
