"""An atlas that a user brings: checked field by field, completed from the generic one, and named by its digest."""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from shared.questions.atlas import DomainAtlas, generic_facets, make_atlas, shared_pools
from shared.questions.content import NUMBER_KINDS

MOST_TOPICS = 2_000
MOST_SUBTOPICS = 500
MOST_LEAVES = 20_000
MOST_WORDS = 5_000
MOST_CHARACTERS = 200
DIGEST_LENGTH = 32

_FIELD = re.compile(r"\{(\w+)\}")


def _check_line(text: str) -> str:
    """A text of a prompt's line. A semicolon would separate what is listed to include."""
    if text != " ".join(text.split()) or any(unicodedata.category(char)[0] == "C" for char in text):
        raise ValueError("write one line, without control characters and doubled spaces")
    if ";" in text:
        raise ValueError("write no semicolon: it separates what is listed to include")
    return text


Line = Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS), AfterValidator(_check_line)]
Names = Annotated[tuple[Line, ...], Field(min_length=1, max_length=MOST_SUBTOPICS)]


class AtlasContent(BaseModel):
    """What one domain is about. Only `topics` is required; what is left out comes from the generic atlas."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topics: Annotated[dict[Line, Names], Field(min_length=1, max_length=MOST_TOPICS)] = Field(
        description="subtopics by topic"
    )
    forms: Annotated[dict[str, Names], Field(min_length=1, max_length=12)] | None = Field(
        default=None, description="forms of a question, by difficulty"
    )
    settings: Annotated[tuple[Line, ...], Field(min_length=1, max_length=MOST_SUBTOPICS)] | None = Field(
        default=None, description="where a question may be set"
    )
    include: (
        Annotated[
            dict[str, Annotated[tuple[str, ...], Field(min_length=1, max_length=12)]],
            Field(min_length=1, max_length=12),
        ]
        | None
    ) = Field(default=None, description="kinds of content that prompts carry, by difficulty")
    guidance: dict[str, Annotated[str, Field(min_length=1, max_length=1_000)]] | None = Field(
        default=None, description="more to say to the model, by length: `short`, `rich`"
    )
    pools: Annotated[dict[str, dict[str, Any]], Field(max_length=50)] = Field(
        default_factory=dict,
        description="kinds of content of your own: a sentence `say` with {fields}, and words for each",
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        _refuse_twins("topics", list(self.topics))
        for topic, subtopics in self.topics.items():
            _refuse_twins(f"topics.{topic}", list(subtopics))
        if sum(map(len, self.topics.values())) > MOST_LEAVES:
            raise ValueError(f"there are more than {MOST_LEAVES:,} subtopics in all")
        for difficulty, forms in (self.forms or {}).items():
            _refuse_twins(f"forms.{difficulty}", list(forms))
        _refuse_twins("settings", list(self.settings or ()))
        for length in self.guidance or {}:
            if length not in {"short", "rich"}:
                raise ValueError(f"guidance.{length}: there is guidance for `short` and for `rich` questions only")
        return self

    @model_validator(mode="after")
    def _content_can_be_drawn(self) -> Self:
        for name, pool in self.pools.items():
            _check_pool(name, pool)
        known = {*NUMBER_KINDS, *shared_pools(), *self.pools}
        for difficulty, kinds in (self.include or {}).items():
            for kind in kinds:
                if kind not in known:
                    raise ValueError(
                        f"include.{difficulty}: there is no kind of content {kind!r}; "
                        f"there are {', '.join(sorted(known))}, and what `pools` defines"
                    )
        return self

    def to_json(self) -> dict[str, Any]:
        """All that it says, and nothing that it leaves out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def digest(self) -> str:
        """Names the content: 32 hex digits. Order counts, since topics are dealt in the order in which they stand."""
        return hashlib.sha256(json.dumps(self.to_json(), ensure_ascii=False).encode()).hexdigest()[:DIGEST_LENGTH]

    def to_atlas(self, domain: str) -> DomainAtlas:
        """The atlas of a domain, completed from the generic one."""
        generic = generic_facets()
        own = {name: value for name, value in self.to_json().items() if value}
        return make_atlas({**generic, **own, "domain": domain}, known=True, digest=self.digest)


def _refuse_twins(where: str, names: list[str]) -> None:
    """Two that differ in case only would be asked for as if they were different."""
    for name, times in Counter(name.casefold() for name in names).items():
        if times > 1:
            raise ValueError(f"{where}: {name!r} stands there {times} times")


def _check_pool(name: str, pool: Mapping[str, Any]) -> None:
    """A sentence `say` with {fields}, and a list of words for each."""
    where = f"pools.{name}"
    say = pool.get("say")
    if not isinstance(say, str):
        raise ValueError(f'{where}: write `say`, a sentence with {{fields}}, such as "the boat {{boat}}"')  # noqa: TRY004
    _check_line(say)
    fields = _FIELD.findall(say)
    # Whatever else stands in braces, str.format would take as an expression.
    if re.search(r"[{}]", _FIELD.sub("", say)) or any(field.isdigit() for field in fields):
        raise ValueError(f"{where}: braces hold a field's name, such as {{boat}}")
    if len(say) > MOST_CHARACTERS or not fields or len(set(fields)) != len(fields):
        raise ValueError(f"{where}: `say` has up to {MOST_CHARACTERS} characters and names each field once")
    if unknown := set(pool) - {"say", *fields}:
        raise ValueError(f"{where}: {min(unknown)!r} is no field of `say`")
    for field in fields:
        words = pool.get(field)
        if not isinstance(words, list) or not words or len(words) > MOST_WORDS:
            raise ValueError(f"{where}: {field!r} needs a list of 1 to {MOST_WORDS:,} texts")
        for word in words:
            if not isinstance(word, str) or not word or len(word) > MOST_CHARACTERS:
                raise ValueError(f"{where}: every {field!r} is a text of up to {MOST_CHARACTERS} characters")
            _check_line(word)
        _refuse_twins(f"{where}.{field}", words)
