"""Atlas files: read from YAML, put into a spec that names them, and shown with what they add up to."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.spec_file import BadSpecFile, read_mapping
from shared.planning.mix import fold_name
from shared.questions.atlas import DomainAtlas, load_atlas
from shared.questions.atlas_content import AtlasContent
from shared.questions.content import count_content, kinds_for
from shared.questions.prompts import distinct_tuples


def resolve_atlases(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The spec with the contents of the atlas files that it names, which are looked for beside it.

    `atlas` is one path, a list of paths, or already a mapping from domains to their content or digest. Raises
    BadSpecFile.
    """
    given = spec.get("atlas")
    paths = [given] if isinstance(given, str) else given
    if not isinstance(paths, list):
        return spec
    contents: dict[str, Any] = {}
    for path in paths:
        if not isinstance(path, str):
            raise BadSpecFile("`atlas` names files: write one path, or a list of paths.")
        domain, content = read_atlas_file(folder / path)
        if domain in contents:
            raise BadSpecFile(f"{folder / path}: there are two atlases for {domain!r}.")
        contents[domain] = content
    return {**spec, "atlas": contents}


def read_atlas_file(path: Path) -> tuple[str, dict[str, Any]]:
    """The domain that a file is about, folded, and its content. Raises BadSpecFile."""
    content = read_mapping(str(path), "an atlas: a mapping with `domain` and `topics`")
    domain = content.pop("domain", None)
    if not isinstance(domain, str) or not fold_name(domain):
        raise BadSpecFile(f"{path} does not say which `domain` it is about.")
    return fold_name(domain), content


def load_atlas_files(paths: Sequence[Path]) -> list[DomainAtlas]:
    """The atlases in these files, checked; those that come with Questmill if there is none. Raises BadSpecFile."""
    if not paths:
        return list(load_atlas().values())
    atlases = []
    for path in paths:
        domain, content = read_atlas_file(path)
        try:
            atlases.append(AtlasContent.model_validate(content).to_atlas(domain))
        except ValidationError as error:
            problems = [
                f"{'.'.join(str(part) for part in each['loc'] if part != '[key]')}: "
                f"{each['msg'].removeprefix('Value error, ')}"
                for each in error.errors()
            ]
            raise BadSpecFile(f"{path}: " + "\n  ".join(line.removeprefix(": ") for line in problems)) from None
    return atlases


def describe_atlas(atlas: DomainAtlas) -> dict[str, Any]:
    """How much there is to ask about: its parts, and the distinct prompts of a cell for each difficulty it names."""
    return {
        "domain": atlas.domain,
        "topics": len(atlas.topics),
        "subtopics": sum(map(len, atlas.topics.values())),
        "settings": len(atlas.settings),
        "digest": atlas.digest,
        "difficulties": {
            difficulty: {
                "forms": len(atlas.forms_for(difficulty)),
                "distinct_prompts": distinct_tuples(atlas, difficulty),
                "contents": count_content(kinds_for(atlas, difficulty)),
            }
            for difficulty in atlas.forms
        },
    }


def atlas_view(described: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The atlases as a table with a line for each difficulty."""
    table = Table(box=None, pad_edge=False)
    for heading in ("domain", "topics", "subtopics", "settings", "difficulty", "forms", "distinct prompts", "contents"):
        table.add_column(heading, justify="left" if heading in {"domain", "difficulty"} else "right")
    for each in described:
        first = [each["domain"], *(f"{each[name]:,}" for name in ("topics", "subtopics", "settings"))]
        for difficulty, its in each["difficulties"].items():
            counts = (f"{its['forms']:,}", f"{its['distinct_prompts']:,}", f"{its['contents']:.1e}")
            table.add_row(*first, difficulty, *counts)
            first = [""] * len(first)
    leaves = sum(each["subtopics"] for each in described)
    note = Text(
        f"{leaves:,} subtopics in all. A prompt is a topic and subtopic, a form, a setting, and content to include; "
        "the first four alone make the distinct prompts."
    )
    return Group(table, note)
