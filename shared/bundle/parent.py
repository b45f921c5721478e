"""The bundle that another one goes on from: its rows keep their splits."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shared.bundle.manifest import hash_file
from shared.bundle.names import MANIFEST, SPLITS, BadBundle, parquet_path
from shared.bundle.options import BundleOptions, options_from
from shared.bundle.read import read_manifest


@dataclass(frozen=True, slots=True)
class Parent:
    """An older bundle of the same dataset: the split of each of its rows by id, and how it was made."""

    dataset: str
    manifest_sha256: str
    options: BundleOptions
    splits: Mapping[int, str]

    def to_json(self, splits: Mapping[int, str]) -> dict[str, Any]:
        """As the manifest has it; `splits` are those of the new bundle, by id."""
        shared = [each for each in splits if each in self.splits]
        return {
            "manifest_sha256": self.manifest_sha256,
            "rows": len(self.splits),
            "shared": len(shared),
            "moved": sum(splits[each] != self.splits[each] for each in shared),
            "removed": len(self.splits) - len(shared),
            "added": len(splits) - len(shared),
        }


def read_parent(folder: Path) -> Parent:
    """What a new bundle needs of an older one. Raises BadBundle."""
    manifest = read_manifest(folder)
    digest = hash_file(folder / MANIFEST)["sha256"]
    splits: dict[int, str] = {}
    for split in SPLITS:
        path = folder / parquet_path(split)
        try:
            if hash_file(path)["sha256"] != manifest["files"][parquet_path(split)]["sha256"]:
                raise BadBundle(f"{path} is not as it was written; look at it with: questmill verify {folder}")
            ids = pq.read_table(path, columns=["id"])["id"].to_pylist()
        except (OSError, KeyError, TypeError, pa.ArrowException) as error:
            raise BadBundle(f"{path} cannot be read ({error}); look at it with: questmill verify {folder}") from None
        splits |= dict.fromkeys(ids, split)
    try:
        return Parent(manifest["dataset"], digest, options_from(manifest["options"]), splits)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadBundle(f"{folder / MANIFEST} does not say how the bundle was made; name another bundle.") from None
