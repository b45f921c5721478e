"""docs/reference/api.md, from the OpenAPI document that the app publishes. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from reference.markdown import link, paragraphs, prose, table
from reference.schema_words import Schema, default_of, type_of
from reference.shape_sections import answer_of, enumeration, fields_of, reachable, refers_to
from shared import errors

INTRO = """
Every operation that the service has. It publishes the same as an OpenAPI document at `/openapi.json`.

Bodies and answers are JSON, unless something else is said. A scope means: where keys are required, the request needs
one of that scope or a higher one (docs/access.md). Lists come in pages: `next_cursor` of one is the `cursor` of the
next. Answers may get more fields.
"""
PROBLEMS = """
An answer that is no success is a problem (RFC 9457), of the media type `application/problem+json`: a Problem, whose
`type` is one of these. Where several fields are wrong, `errors` names each.
"""
SPEC_PAGE = "job_spec.md"
SPEC = "JobSpec"
PROBLEM_MEDIA = "application/problem+json"
Operation = Mapping[str, Any]


def api_page(document: Mapping[str, Any]) -> list[str]:
    """The page's lines."""
    shapes = document["components"]["schemas"]
    of_specs = set(reachable([SPEC], shapes)) - set(_used(document))

    def show(name: str) -> str:
        heading = "Job spec" if name == SPEC else name
        return link(heading, text=name, page=SPEC_PAGE) if name in of_specs | {SPEC} else link(name)

    lines = ["# API", "", *paragraphs(INTRO), f"{link('Problems')} and {link('Shapes')} are at the end.", ""]
    by_tag = _by_tag(document)
    for tag in by_tag:
        rows = ((link(_heading(*where)), prose(operation["summary"])) for where, operation in by_tag[tag].items())
        lines += table((f"[{tag}](#{tag})", ""), rows)
    for tag, operations in by_tag.items():
        lines += [f"## {tag}", "", *paragraphs(next(x["description"] for x in document["tags"] if x["name"] == tag))]
        for where, operation in operations.items():
            lines += [f"### {_heading(*where)}", "", *_operation(operation, show)]
    lines += ["## Problems", "", *paragraphs(PROBLEMS.replace("a Problem", f"a {link('Problem')}")), *_problems()]
    lines += ["## Shapes", "", "In the order of their names.", ""]
    for name in sorted(set(shapes) - of_specs - {SPEC}):
        lines += [f"### {name}", "", *_shape(name, shapes[name], show)]
    return lines


def _used(document: Mapping[str, Any]) -> list[str]:
    """The shapes that anything but a job spec refers to."""
    shapes = document["components"]["schemas"]
    return reachable([name for name in refers_to(document["paths"]) if name != SPEC], shapes)


def _by_tag(document: Mapping[str, Any]) -> dict[str, dict[tuple[str, str], Operation]]:
    by_tag: dict[str, dict[tuple[str, str], Operation]] = {each["name"]: {} for each in document["tags"]}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            by_tag[operation["tags"][0]][method, path] = operation
    return by_tag


def _heading(method: str, path: str) -> str:
    return f"{method.upper()} {path}"


def _operation(operation: Operation, show: Any) -> Iterator[str]:
    yield from paragraphs(operation["description"])
    scope = operation.get("x-questmill-scope")
    yield from (f"Scope: `{scope}`." if scope else "Scope: none; open to everybody.", "")
    yield from table(
        ("parameter", "in", "type", "default", "what"),
        (
            (
                f"`{each['name']}`",
                each["in"],
                type_of(each["schema"], show).removesuffix(" or null"),
                "required" if each["required"] else default_of(each["schema"]),
                prose(each.get("description", "")),
            )
            for each in operation.get("parameters", ())
        ),
    )
    yield from _body(operation.get("requestBody"), show)
    yield from _answers(operation["responses"], show)


def _body(body: Mapping[str, Any] | None, show: Any) -> list[str]:
    if body is None:
        return []
    shown = [
        type_of(media["schema"], show) if "schema" in media else f"`{kind}`" for kind, media in body["content"].items()
    ]
    return [f"Body: {' or '.join(shown)}{'' if body.get('required') else '; may be left out'}.", ""]


def _answers(responses: Mapping[str, Any], show: Any) -> list[str]:
    told = {status: each for status, each in responses.items() if PROBLEM_MEDIA not in each.get("content", {})}
    lines = []
    for status, each in sorted(told.items()):
        shown = [_media(kind, media, show) for kind, media in each.get("content", {}).items()]
        # Where a route says nothing, FastAPI does.
        unsaid = each["description"] in {"Successful Response", HTTPStatus(int(status)).phrase}
        what = "" if unsaid else f": {each['description']}"
        lines.append(f"- {status}: {' or '.join(shown) or 'no body'}{what}")
    if problems := sorted(set(responses) - set(told)):
        lines.append(f"- {', '.join(problems)}: {link('Problem')}")
    return ["Answers:", "", *lines, ""]


def _media(kind: str, media: Mapping[str, Any], show: Any) -> str:
    schema = media.get("schema")
    if not schema:
        return f"`{kind}`"
    shown = type_of(schema, show)
    return shown if kind == "application/json" else f"`{kind}`: {shown}"


def _shape(name: str, shape: Schema, show: Any) -> list[str]:
    if "enum" in shape:
        return enumeration(name, shape)
    # What is sent refuses unknown fields; an answer may have more.
    is_sent = shape.get("additionalProperties") is False
    return [*paragraphs(shape.get("description", "")), *(fields_of if is_sent else answer_of)(shape, show)]


def _problems() -> list[str]:
    """Each with its HTTP status; those that never leave a worker have none of their own."""
    found: Sequence[type[errors.QuestmillError]] = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.QuestmillError) and "type" in vars(each)
    ]
    served = [each for each in found if each.status != errors.QuestmillError.status or each is errors.QuestmillError]
    return table(
        ("status", "type", "what"),
        (
            (str(each.status), f"`urn:questmill:{each.type}`", (each.__doc__ or "").partition("\n")[0])
            for each in sorted(served, key=lambda each: (each.status, each.type))
        ),
    )
