"""The wording of the prompts: files that people can read, and the version that every row names them by."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from shared.questions.atlas import ATLAS_FOLDER

WORDING_FOLDER = Path(__file__).parent / "prompts"
STAGES = ("generate", "validate", "answer")
"""The stages of a job in their order; each has a folder of wording."""


@dataclass(frozen=True, slots=True)
class Wording:
    """What a stage's prompts are written with; `files` maps names such as "system.txt" to their text.

    The files of generate include the built-in atlas, "atlas/math.yaml" and so on: its words are in the prompts too.
    """

    stage: str
    version: str
    files: Mapping[str, str]

    def text(self, name: str) -> str:
        """One text file by its name without the ending, without white space around it."""
        return self.files[f"{name}.txt"].strip()


@cache
def wording(stage: str) -> Wording:
    """A stage's present wording; any change of its files changes its version. Raises ValueError on another name."""
    if stage not in STAGES:
        raise ValueError(f'there is no stage "{stage}"; the stages are {", ".join(STAGES)}')
    stage = str(stage)
    paths = {path.name: path for path in sorted((WORDING_FOLDER / stage).glob("*.txt"))}
    if stage == "generate":
        paths = {f"atlas/{path.name}": path for path in sorted(ATLAS_FOLDER.glob("*.yaml"))} | paths
    digest = hashlib.sha256()
    files: dict[str, str] = {}
    for name, path in paths.items():
        content = path.read_bytes()
        digest.update(path.name.encode() + b"\0" + content + b"\0")
        files[name] = content.decode()
    return Wording(stage, f"{stage}-1-{digest.hexdigest()[:8]}", MappingProxyType(files))
