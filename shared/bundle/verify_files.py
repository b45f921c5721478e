"""Whether the files of a bundle are those that its manifest names, byte for byte."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.bundle.findings import Findings
from shared.bundle.manifest import hash_file
from shared.bundle.names import MANIFEST, files_of


def verify_files(folder: Path, named: Any, *, openai: bool, findings: Findings) -> bool:
    """Whether all files are there to be read; what is wrong with them is told. Opens nothing outside of the folder."""
    expected = files_of(openai=openai)
    there = _walk(folder, findings)
    if not isinstance(named, dict):
        findings.add("manifest", f"{MANIFEST} names no files.")
        return False
    for path in sorted(set(map(str, named)) - set(expected) | ({MANIFEST} & named.keys())):
        findings.add("manifest", f"{MANIFEST} names {path!r}, which is no file of a bundle.")
    for path in sorted(there - set(expected)):
        findings.add("files", f"{path} is not of the bundle; take it out of the folder.")
    for path in expected:
        if path not in there:
            findings.add("files", f"{path} is missing.")
        elif path != MANIFEST:
            _compare(folder / path, path, named.get(path), findings)
    return there >= set(expected)


def _walk(folder: Path, findings: Findings) -> set[str]:
    """The regular files below the folder; links are followed nowhere."""
    found = set()
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root) / name
            shown = path.relative_to(folder).as_posix()
            if path.is_symlink():
                findings.add("files", f"{shown} is a link; a bundle has none.")
            elif path.is_file():
                found.add(shown)
            elif not path.is_dir():
                findings.add("files", f"{shown} is no file.")
    return found


def _compare(path: Path, shown: str, said: Any, findings: Findings) -> None:
    if not isinstance(said, Mapping):
        findings.add("manifest", f"{MANIFEST} says nothing of {shown}.")
        return
    its = hash_file(path)
    if its["bytes"] != said.get("bytes"):
        findings.add("files", f"{shown} has {its['bytes']:,} bytes, and {MANIFEST} says {said.get('bytes')}.")
    elif its["sha256"] != said.get("sha256"):
        findings.add("files", f"{shown} is not as it was written: its sha256 is another than {MANIFEST} says.")
