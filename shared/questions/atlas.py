"""The atlas: what there is to ask about in each domain. docs/atlas.md says how its files are written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

ATLAS_FOLDER = Path(__file__).parent / "atlas"
POOLS_FILE = "_pools.yaml"
GENERIC_FILE = "_generic.yaml"
MOST_DOMAINS = 256  # kept in memory; domains that people invent are without end


@dataclass(
    frozen=True, slots=True, eq=False
)  # one object per domain, so identity is equality and caches are keyed fast
class DomainAtlas:
    """One domain's topics, question forms, settings, and kinds of content to inject.

    `forms` and `include` are keyed by a difficulty's name (`easy`, `hard`), `guidance` by a length (`short`, `rich`).
    `known` is False for the stand-in of a domain that has no file: it works, but repeats itself sooner. `digest` names
    the content of one that a user brought.
    """

    domain: str
    topics: Mapping[str, tuple[str, ...]]
    forms: Mapping[str, tuple[str, ...]]
    settings: tuple[str, ...]
    include: Mapping[str, tuple[str, ...]]
    guidance: Mapping[str, str]
    pools: Mapping[str, Mapping[str, Any]] = field(repr=False)
    known: bool = True
    digest: str | None = None

    def forms_for(self, difficulty: str) -> tuple[str, ...]:
        """The question forms of a difficulty; a difficulty that the atlas does not name may use all of them."""
        if difficulty in self.forms:
            return self.forms[difficulty]
        return tuple(dict.fromkeys(form for forms in self.forms.values() for form in forms))

    def include_for(self, difficulty: str) -> tuple[str, ...]:
        """The kinds of content injected for a difficulty; one that the atlas does not name gets those of the last."""
        return self.include.get(difficulty) or list(self.include.values())[-1]


@cache
def load_atlas() -> Mapping[str, DomainAtlas]:
    """Every domain that has a file, by its folded name."""
    atlases = (_read_domain(path) for path in sorted(ATLAS_FOLDER.glob("[!_]*.yaml")))
    return MappingProxyType({atlas.domain: atlas for atlas in atlases})


@lru_cache(maxsize=MOST_DOMAINS)
def atlas_for(domain: str) -> DomainAtlas:
    """The domain's atlas, or, with `known` False, a generic one whose only topic is the domain's own name."""
    known = load_atlas().get(domain)
    if known is not None:
        return known
    facets = generic_facets()
    return make_atlas({**facets, "domain": domain, "topics": {domain: facets["facets"]}}, known=False)


@cache
def generic_facets() -> Mapping[str, Any]:
    """What stands in for whatever an atlas leaves out, and for a whole one."""
    return MappingProxyType(_read_yaml(ATLAS_FOLDER / GENERIC_FILE))


@cache
def shared_pools() -> Mapping[str, Mapping[str, Any]]:
    """The pools of content that every domain may draw from: names, places, objects ..."""
    return MappingProxyType(_read_yaml(ATLAS_FOLDER / POOLS_FILE))


def _read_domain(path: Path) -> DomainAtlas:
    return make_atlas(_read_yaml(path), known=True)


def _read_yaml(path: Path) -> dict[str, Any]:
    # The C loader reads the whole atlas in a tenth of the time of the Python one; wheels of PyYAML always have it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a safe loader
    return content


def make_atlas(raw: Mapping[str, Any], *, known: bool, digest: str | None = None) -> DomainAtlas:
    """The atlas that a file's content describes; see docs/atlas.md."""
    return DomainAtlas(
        domain=raw["domain"],
        topics=_freeze(raw["topics"]),
        forms=_freeze(raw["forms"]),
        settings=tuple(raw["settings"]),
        include=_freeze(raw["include"]),
        guidance=MappingProxyType(dict(raw.get("guidance", {}))),
        pools=MappingProxyType(dict(raw.get("pools", {}))),
        known=known,
        digest=digest,
    )


def _freeze(lists: Mapping[str, list[str]]) -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({name: tuple(items) for name, items in lists.items()})
