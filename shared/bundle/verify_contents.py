"""Whether a bundle's episodes, counts and cards are what its rows make."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from shared.bundle.card import loading_of
from shared.bundle.croissant import described_files
from shared.bundle.episodes import Episode, cut_episodes
from shared.bundle.findings import Findings
from shared.bundle.manifest import Contents, count_contents
from shared.bundle.names import CROISSANT, EPISODES, MANIFEST, SPLITS, BadBundle, files_of
from shared.bundle.options import BundleOptions
from shared.bundle.read import read_episodes
from shared.bundle.tally import Tally
from shared.bundle.verify_episodes import verify_episodes
from shared.bundle.verify_splits import Placed

Json = dict[str, Any]

_FRONT_MATTER = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)


def contents_of(placed: Placed, options: BundleOptions, tally: Tally) -> Contents:
    """What the rows make: their kinds and clusters, and the episodes that are cut from them."""
    index, clusters = placed.index, placed.clusters
    members = [(placed.split(place), index.member(place, clusters[place])) for place in range(len(index))]
    episodes: list[Episode] = []
    in_files = sorted(range(len(members)), key=lambda place: index.lines[place])
    for split in SPLITS:
        its = (members[place][1] for place in in_files if members[place][0] == split)
        episodes += cut_episodes(split, its, options.episodes)
    return Contents(tally, members, episodes)


def verify_contents(
    folder: Path, manifest: Json, options: BundleOptions, contents: Contents, findings: Findings
) -> int:
    """How many episodes there are; what is wrong with them, with the counts and with the cards is told."""
    try:
        episodes = read_episodes(folder)
    except BadBundle as problem:
        findings.add(EPISODES, str(problem))
        return 0
    by_id = {member.id: (split, member) for split, member in contents.members}
    findings.take(verify_episodes(episodes, by_id, contents.episodes, options.episodes))
    try:
        _compare_counts(manifest, contents, options, findings)
        _compare_cards(folder, manifest, findings)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        findings.add("manifest", f"{MANIFEST} is not as it was written: {type(error).__name__} at {error}.")
    return len(episodes)


def _compare_counts(manifest: Json, contents: Contents, options: BundleOptions, findings: Findings) -> None:
    cells = manifest["cells"]
    planned = {(its["domain"], its["difficulty"]): its["planned"] for its in cells if its["planned"] is not None}
    counted = count_contents(manifest, contents, options, planned)
    del counted["warnings"]  # their words are those of the release that made the bundle
    for name, value in counted.items():
        if manifest.get(name) != json.loads(json.dumps(value)):
            where = _where(manifest.get(name), value)
            findings.add("manifest", f"{MANIFEST} has other {name} than the rows make{where}.")
    stems = {path: Path(path).stem for path in files_of(openai=options.openai)}
    rows: Mapping[str, int] = {
        **{path: counted["rows"][stem] for path, stem in stems.items() if stem in SPLITS},
        EPISODES: len(contents.episodes),
    }
    for path, count in rows.items():
        said = manifest["files"][path].get("rows")
        if said != count:
            findings.add("manifest", f"{MANIFEST} says that {path} has {said} rows, and it has {count}.")


def _where(said: Any, counted: Any) -> str:
    """The first place where two values part, as far as it is in a mapping."""
    if isinstance(said, dict) and isinstance(counted, dict):
        for key in (*counted, *said):
            if said.get(key) != counted.get(key):
                return f": {key}{_where(said.get(key), counted.get(key))}"
    if isinstance(said, list) and isinstance(counted, list):
        for place, (one, other) in enumerate(zip(said, counted, strict=False)):
            if one != other:
                return f", number {place + 1}{_where(one, other)}"
    return f" ({said} and not {counted})" if isinstance(counted, int | str) else ""


def _compare_cards(folder: Path, manifest: Json, findings: Findings) -> None:
    """What programs read in them; their words are those of the release that made the bundle."""
    for path, loading in loading_of(manifest).items():
        front = _read_front_matter((folder / path).read_text(encoding="utf-8"))
        if {name: front.get(name) for name in loading} != loading:
            findings.add("cards", f"{path} lets load_dataset read something else than the bundle's files.")
    described = json.loads((folder / CROISSANT).read_bytes())
    said = {each["contentUrl"]: each["sha256"] for each in described["distribution"]}
    if said != {path: manifest["files"][path]["sha256"] for path in described_files()}:
        findings.add("cards", f"{CROISSANT} has other files or hashes than {MANIFEST}.")
    if described.get("name") != manifest["dataset"]:
        findings.add("cards", f"{CROISSANT} is of another dataset than {MANIFEST} says.")


def _read_front_matter(card: str) -> Json:
    head = _FRONT_MATTER.match(card)
    try:
        front = yaml.safe_load(head[1]) if head else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return front if isinstance(front, dict) else {}
