"""Reads a bundle: what a trainer needs of it, without asking anybody."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from shared.bundle.episodes import Episode
from shared.bundle.fields import SCHEMA, Row
from shared.bundle.manifest import hash_file
from shared.bundle.names import EPISODES, FORMAT, MANIFEST, SPLITS, VERSION, BadBundle, parquet_path

__all__ = ["BadBundle", "Episode", "read_episodes", "read_manifest", "read_rows", "require_as_exported"]

# What pyarrow raises for a Parquet file that is damaged, also within its values: texts that are no UTF-8, no dates.
UNREADABLE = (OSError, ValueError, OverflowError, pa.ArrowException)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the bundle says of itself. Raises BadBundle."""
    try:
        manifest = orjson.loads((folder / MANIFEST).read_bytes()) if (folder / MANIFEST).is_file() else None
    except (orjson.JSONDecodeError, OSError) as error:
        raise BadBundle(f"{folder / MANIFEST} cannot be read: {error}.") from None
    if manifest is None:
        raise BadBundle(f"{folder} is no bundle: it has no {MANIFEST}; questmill export --format bundle makes one.")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BadBundle(f"{folder / MANIFEST} is not of a Questmill bundle; name the folder of one.")
    if manifest.get("version") != VERSION:
        raise BadBundle(
            f"{folder} is a bundle of version {manifest.get('version')!r}, and this Questmill reads {VERSION}; "
            "export it again."
        )
    return manifest


def read_rows(folder: Path, split: str) -> list[Row]:
    """All rows of a split in the order of its file; `created_at` is a datetime in UTC. Raises BadBundle.

    Of each row there are the fields of `shared.bundle.fields.SCHEMA`.
    """
    if split not in SPLITS:
        raise BadBundle(f"A bundle has no split {split!r}; there are {', '.join(SPLITS)}.")
    read_manifest(folder)
    path = folder / parquet_path(split)
    try:
        table = pq.read_table(path)
        rows: list[Row] = table.to_pylist()
    except UNREADABLE as error:
        raise BadBundle(f"{path} cannot be read: {' '.join(str(error).split())}.") from None
    if not table.schema.equals(SCHEMA):
        raise BadBundle(f"{path} has other columns than a bundle's; export it again.")
    return rows


def require_as_exported(folder: Path, splits: Iterable[str]) -> None:
    """Raise BadBundle when the episodes, or the rows of these splits, are not the bytes that the manifest names."""
    files = read_manifest(folder).get("files")
    for path in (EPISODES, *map(parquet_path, splits)):
        said = files.get(path) if isinstance(files, dict) else None
        if not isinstance(said, dict) or said.get("sha256") != hash_file(folder / path)["sha256"]:
            raise BadBundle(f"{folder / path} is not as it was exported; questmill verify {folder} says more.")


def read_episodes(folder: Path) -> list[Episode]:
    """All episodes of all splits, in the order of their file. Raises BadBundle."""
    read_manifest(folder)
    path = folder / EPISODES
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise BadBundle(f"{path} cannot be read: {error.strerror}.") from None
    return [_read_episode(path, number, line) for number, line in enumerate(lines, 1)]


def _read_episode(path: Path, number: int, line: bytes) -> Episode:
    try:
        said = orjson.loads(line)
        kind = said["domain"], said["topic"], said["difficulty"]
        episode: Episode | None = Episode(
            said["episode"], said["split"], *kind, tuple(said["support"]), tuple(said["query"])
        )
    except (orjson.JSONDecodeError, KeyError, TypeError):
        episode = None
    if episode is None or episode.to_json() != said or not _is_typed(episode):
        raise BadBundle(f"{path}, line {number} is no episode; export the bundle again.")
    return episode


def _is_typed(episode: Episode) -> bool:
    names = episode.name, episode.split, episode.domain, episode.topic or "", episode.difficulty or ""
    return {*map(type, names)} == {str} and {*map(type, (*episode.support, *episode.query))} <= {int}
