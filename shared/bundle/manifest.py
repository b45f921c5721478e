"""What manifest.json says of a bundle: made once when it is written, and made again to compare when it is verified."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from shared.bundle.episode_counts import count_episodes, warn_of_cells, warn_of_splits
from shared.bundle.episodes import Episode, Member
from shared.bundle.names import FORMAT, MANIFEST, SPLITS, VERSION
from shared.bundle.options import BundleOptions, Origin
from shared.bundle.splits import SplitOptions, drawn_topic
from shared.bundle.tally import Cell, Tally

Json = dict[str, Any]

UNFINISHED = ("running", "paused")


@dataclass(frozen=True, slots=True)
class Contents:
    """What is counted: the sums of the rows; all rows with their splits, in the order of their ids; the episodes."""

    tally: Tally
    members: Sequence[tuple[str, Member]]
    episodes: Sequence[Episode]


def make_manifest(
    origin: Origin, options: BundleOptions, contents: Contents, left_out: Json, parent: Json | None
) -> Json:
    """The manifest but for its files."""
    jobs = [describe_job(job, origin.prompts.get(job["id"], [])) for job in origin.jobs]
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "dataset": origin.dataset,
        "options": options.to_json(),
        "left_out": left_out,
        "jobs": jobs,
        "parent": parent,
    }
    return manifest | count_contents(manifest, contents, options, planned_cells(origin.jobs))


def count_contents(manifest: Json, contents: Contents, options: BundleOptions, planned: Mapping[Cell, int]) -> Json:
    """What the manifest says that follows from the rows and episodes, and from the rest of it."""
    members = contents.members
    counted = contents.tally.to_json(planned)
    episodes = count_episodes(members, contents.episodes, options.episodes.tasks)
    return {
        "rehearsal": counted["rehearsed_rows"] > 0 or any(job["rehearsal"] for job in manifest["jobs"]),
        **counted,
        "clusters": count_clusters(member for _, member in members),
        "topics": sorted({member.topic for _, member in members}),
        "held_out": held_out(members, options.splits),
        "episodes": episodes,
        "warnings": [
            *_warn_of_jobs(manifest["jobs"]),
            *_warn_of_rows(counted, manifest["left_out"]),
            *warn_of_cells(members, options.episodes),
            *warn_of_splits(episodes, options.episodes),
        ],
    }


def _warn_of_jobs(jobs: Iterable[Json]) -> list[str]:
    return [
        f"job {job['id']} is {job['state']}: what it makes later is not in here"
        for job in jobs
        if job["state"] in UNFINISHED
    ]


def _warn_of_rows(counted: Json, left_out: Json) -> list[str]:
    told = []
    if len(counted["tokenizers"]) > 1:
        told.append(f"tokens are counted with several tokenizers: {', '.join(counted['tokenizers'])}")
    if left_out["unanswered"]:
        told.append(f"{left_out['unanswered']:,} questions without an answer were left out")
    if left_out["torn"]:
        told.append(f"{len(left_out['torn']):,} questions that repeat rows of several splits were left out")
    return told


def planned_cells(jobs: Sequence[Mapping[str, Any]]) -> dict[Cell, int]:
    """The targets of the newest job that generates, else of the newest; they are of the dataset as a whole."""
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
    """The domains that are held out, and the topics of other ones that are: all their rows there are in that split."""
    topics = {member.topic for _, member in members if member.domain not in options.domains}
    shares = options.validation_topics, options.test_topics
    by_topic = {each: options.topics.get(each) or drawn_topic(each, options.seed, *shares) for each in topics}
    return {
        split: {
            "domains": sorted(name for name, its in options.domains.items() if its == split),
            "topics": sorted(name for name, its in by_topic.items() if its == split),
        }
        for split in SPLITS[1:]
    }


def describe_files(folder: Path, rows: Mapping[str, int]) -> dict[str, Json]:
    """Size and hash of each file of a bundle but for the manifest, by its path; with `rows`, those of each split and of
    episodes.jsonl, how many it has.
    """
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {path: {**hash_file(folder / path), **_rows_of(path, rows)} for path in paths if path != MANIFEST}


def hash_file(path: Path) -> Json:
    """Size and hash of a file."""
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}


def _rows_of(path: str, rows: Mapping[str, int]) -> Json:
    name = PurePosixPath(path)
    known = rows.get(name.stem) if name.parent.name in {"data", "jsonl", "openai"} else rows.get(path)
    return {} if known is None else {"rows": known}


def as_json(content: Json) -> bytes:
    """Always the same bytes for the same content."""
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()
