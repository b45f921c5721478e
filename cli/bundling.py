"""`questmill export --format bundle`: asks the API for rows and jobs; the bundle is in its place once it is whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cli.bar import showing_progress
from cli.bundle_folder import new_bundle_folder, require_replaceable
from cli.bundle_options import options_of
from cli.connection import Client
from cli.plain_words import BadArgument
from shared.bundle.build import build_bundle
from shared.bundle.options import BundleOptions, Origin
from shared.bundle.parent import read_parent

PHASES = {
    "asking": "reading the dataset",
    "reading": "taking fingerprints",
    "comparing": "splitting",
    "writing": "writing",
}
Json = dict[str, Any]


def make_bundle(client: Client, dataset: str, out: Path, typed: Mapping[str, Any], *, force: bool) -> Json:
    """Make a bundle of a dataset; its manifest. Raises ApiProblem, BadArgument or BadBundle; nothing is left then."""
    require_replaceable(out, force=force)
    parent = read_parent(Path(typed["parent"])) if typed.get("parent") else None
    if parent is not None and parent.dataset != dataset:
        raise BadArgument(f"{typed['parent']} is of the dataset {parent.dataset}; name a bundle of {dataset}.")
    options = options_of(typed, parent.options if parent else BundleOptions(), has_parent=parent is not None)
    with new_bundle_folder(out, force=force) as (work, folder), showing_progress(PHASES) as on_progress:
        on_progress("asking", 0, 0)
        origin = ask_origin(client, dataset)
        export = work / "export.jsonl"
        client.export(dataset, "jsonl", export)
        manifest = build_bundle(export, folder, origin, options, parent=parent, on_progress=on_progress)
        if parent is None:
            _require_held_out(manifest, options)
    return manifest


def ask_origin(client: Client, dataset: str) -> Origin:
    """What the API knows of where a dataset's rows come from. Raises ApiProblem."""
    described = client.dataset(dataset)
    jobs = tuple(client.job(each["id"]) for each in described["jobs"])
    prompts: dict[str, list[Mapping[str, Any]]] = {job["id"]: list(client.prompts(job_id=job["id"])) for job in jobs}
    return Origin(dataset, jobs, prompts, int(described["contamination"]["left_out"]))


def bundle_line(out: Path, manifest: Mapping[str, Any]) -> str:
    """What was made, in a sentence."""
    rows, episodes = manifest["rows"], manifest["episodes"]
    by_split = ", ".join(f"{split} {rows[split]:,} in {episodes[split]['episodes']:,} episodes" for split in episodes)
    return f"wrote {out}: {rows['total']:,} rows ({by_split})"


def _require_held_out(manifest: Mapping[str, Any], options: BundleOptions) -> None:
    """A name with a slip in it would hold out nothing."""
    domains = {cell["domain"] for cell in manifest["cells"] if cell["rows"]["total"]}
    topics = set(manifest["topics"])
    for kind, named, known in (("domain", options.splits.domains, domains), ("topic", options.splits.topics, topics)):
        if unknown := sorted(named.keys() - known):
            raise BadArgument(f"No row is of the {kind} {unknown[0]}; look at how it is written. Nothing was written.")
