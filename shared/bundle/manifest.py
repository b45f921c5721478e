"""What manifest.json says of a bundle: made once when it is written, and made again to compare when it is verified."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.bundle.episode_counts import count_episodes
from shared.bundle.episodes import Episode, Member
from shared.bundle.fields import SPLITS
from shared.bundle.options import BundleOptions, Origin
from shared.bundle.read import FORMAT, MANIFEST, VERSION
from shared.bundle.splits import SplitOptions, drawn_topic
from shared.bundle.tally import Cell, Tally

Json = dict[str, Any]


def make_manifest(
    origin: Origin,
    options: BundleOptions,
    tally: Tally,
    members: Sequence[tuple[str, Member]],
    episodes: Sequence[Episode],
    left_out: Json,
    parent: Json | None,
) -> Json:
    """The manifest but for its files. `members` are all rows with their splits, in the order of their ids."""
    counted = tally.to_json(planned_cells(origin.jobs))
    jobs = [describe_job(job, origin.prompts.get(job["id"], [])) for job in origin.jobs]
    return {
        "format": FORMAT,
        "version": VERSION,
        "dataset": origin.dataset,
        "rehearsal": counted["rehearsed_rows"] > 0 or any(job["rehearsal"] for job in jobs),
        "options": options.to_json(),
        **counted,
        "clusters": count_clusters(member for _, member in members),
        "held_out": held_out(members, options.splits),
        "episodes": count_episodes(members, episodes, options),
        "left_out": left_out,
        "jobs": jobs,
        "parent": parent,
    }


def planned_cells(jobs: Sequence[Mapping[str, Any]]) -> dict[Cell, int]:
    """The targets of the newest job that generates, else of the newest: they are of the dataset, not of the job alone."""
    generating = [job for job in jobs if "generate" in job["spec"].get("stages", ["generate"])]
    for job in [*generating, *jobs][:1]:
        return {(cell["domain"], cell["difficulty"]): cell["target"] for cell in job["plan"]["cells"]}
    return {}


def describe_job(job: Mapping[str, Any], prompts: Iterable[Mapping[str, Any]]) -> Json:
    """What made the rows, by which models and prompts, and what it cost in US dollars."""
    progress = job["progress"]
    return {
        "id": job["id"],
        "state": job["state"],
        "rehearsal": job["rehearsal"],
        "seed": job["spec"].get("seed"),
        "models": job["spec"].get("models", {}),
        "prompt_versions": sorted(each["version"] for each in prompts),
        "cost_usd": progress["cost_usd"],
        "stages": {
            each["stage"]: {"calls": each["actual"]["calls"], "cost_usd": each["actual"]["cost_usd"]}
            for each in progress["stages"]
        },
    }


def count_clusters(members: Iterable[Member]) -> Json:
    """Clusters of rows that repeat one another, and how many rows are in them."""
    sizes = Counter(member.cluster for member in members)
    several = [size for size in sizes.values() if size > 1]
    return {"clusters": len(several), "rows": sum(several)}


def held_out(members: Iterable[tuple[str, Member]], options: SplitOptions) -> Json:
    """The domains and topics whose rows are all in validation or in test, and none in train."""
    topics = {member.topic for _, member in members}
    drawn = {each: drawn_topic(each, options.seed, options.validation_topics, options.test_topics) for each in topics}
    by_topic = {**drawn, **options.topics}
    return {
        split: {
            "domains": sorted(name for name, its in options.domains.items() if its == split),
            "topics": sorted(name for name, its in by_topic.items() if its == split),
        }
        for split in SPLITS[1:]
    }


def describe_files(folder: Path) -> dict[str, Json]:
    """Size, hash and rows of each file of a bundle but for the manifest, by its path; the folders are its own."""
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {path: _describe_file(folder / path) for path in paths if path != MANIFEST}


def _describe_file(path: Path) -> Json:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}


def as_json(content: Json) -> bytes:
    """Always the same bytes for the same content."""
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()
