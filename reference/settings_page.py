"""docs/reference/settings.md, from the settings classes. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pydantic import AliasChoices
from pydantic_settings import BaseSettings, NoDecode

from reference.markdown import fence, paragraphs, prose, table
from reference.schema_words import Schema, default_of, type_of
from reference.variables import COMPOSE, DEVELOPMENT, Variable
from shared.secret_files import FIELDS, SUFFIX

INTRO = """
Environment variables, read once at the start of each process. An empty one counts as unset; a wrong one ends the
process with a sentence that names it. `./run questmill doctor` says what is set.
"""


class Group(NamedTuple):
    """Settings that belong together: from this field of the class on, up to the next group's."""

    first: str
    title: str
    about: str


GROUPS = (
    Group("database_url", "Servers", "Postgres, which holds all that counts, and the broker."),
    Group("api_host", "API", "Where it listens, and who may ask it: docs/access.md."),
    Group("api_url", "Client", "For `./run questmill`, and `cli.client` in a program: docs/client.md."),
    Group("flower_host", "Flower", ""),
    Group("calls_in_flight", "Workers", "Of workers, the reconciler, and the life of a batch: docs/states.md."),
    Group(
        "openai_api_key", "Models", "Which are asked, how much, and at what price. A model is written `provider/model`."
    ),
    Group("raw_days", "Retention", "Nothing is deleted by itself: docs/operations.md#retention."),
    Group("webhook_url", "Notifications", "How they are signed and repeated: docs/notifications.md."),
    Group("log_level", "Logs and traces", "What is in them: docs/operations.md#logs and docs/tracing.md."),
    Group("home", "Embedded stack", "What `./run` starts on this machine."),
)
REHEARSAL = """
Of the rehearsal server, which plays the models where there is no key. Defaults are those of the server alone; `./run`
and Docker have it rehearse with the faults `demo`, and choose its host and port.
"""
FILES = """
As Docker and Kubernetes mount them: each of these names a file that holds the value in one line, in the place of the
variable without `_FILE`. A secret that is set both ways, and a file that is empty or cannot be read, end the process
with a sentence that says so. The client's is QUESTMILL_API_KEY_FILE.
"""
COMPOSE_ABOUT = """
What `docker-compose.yml` itself reads, from the shell or a file `.env` beside it. All other settings above go into
`settings.env`; what is below is not looked for there.
"""


def settings_page(settings: type[BaseSettings], rehearsal: type[BaseSettings]) -> list[str]:
    """The page's lines."""
    lines = ["# Settings", "", *paragraphs(INTRO)]
    starts = {group.first: group for group in GROUPS}
    by_group: dict[str, list[str]] = {}
    group = GROUPS[0]
    for name in settings.model_fields:
        group = starts.get(name, group)
        by_group.setdefault(group.title, []).append(name)
    about = {each.title: each.about for each in GROUPS}
    for title, names in by_group.items():
        lines += [f"## {title}", "", *paragraphs(about[title]), *_settings(settings, names)]
    lines += ["## Rehearsal server", "", *paragraphs(REHEARSAL), *_settings(rehearsal, list(rehearsal.model_fields))]
    lines += ["## Secrets by file", "", *paragraphs(FILES)]
    lines += table(("variable", "in the place of"), ((f"`{name}{SUFFIX}`", f"`{name}`") for name in FIELDS))
    lines += ["## Docker Compose", "", *paragraphs(COMPOSE_ABOUT), *_others(COMPOSE)]
    lines += ["## Tests and measurements", "", *_others(DEVELOPMENT)]
    return lines


def variable_of(settings: type[BaseSettings], name: str) -> str:
    """How a person sets a field."""
    alias = settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[-1])
    return f"{settings.model_config.get('env_prefix', '')}{name}".upper()


def _settings(settings: type[BaseSettings], names: Sequence[str]) -> list[str]:
    document = settings.model_json_schema()
    fields: Mapping[str, Schema] = document["properties"]
    rows = [
        (
            f"`{variable_of(settings, name)}`",
            _type(settings, name, fields[name]),
            default_of(fields[name]),
            prose(fields[name].get("description", "")),
        )
        for name in names
    ]
    examples = [
        f"export {variable_of(settings, name)}='{json.dumps(example)}'"
        for name in names
        for example in fields[name].get("examples", ())
    ]
    return [
        *table(("variable", "type", "default", "what"), rows),
        *(fence("sh", "\n".join(examples)) if examples else []),
    ]


def _type(settings: type[BaseSettings], name: str, field: Schema) -> str:
    """As one writes it into a variable."""
    if any(each is NoDecode for each in settings.model_fields[name].metadata):
        return "names, by commas"
    written = type_of(field, lambda _: "object").removesuffix(" or null")
    return f"JSON: {written}" if written.startswith(("list", "map")) else written


def _others(variables: Iterable[Variable]) -> list[str]:
    rows = ((f"`{name}`", f"`{default}`" if default else "", prose(what)) for name, default, what in variables)
    return table(("variable", "default", "what"), rows)
