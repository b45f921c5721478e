"""Browse and search a dataset's questions. A page looks at a bounded number of rows, however large the dataset is."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.find_dataset import find_dataset
from shared.corpus.question_rows import COLUMNS, shown
from shared.database.states import QuestionState
from shared.planning.mix import fold_name

# So many texts are searched in some 100 ms.
MOST_READ = 20_000

KINDS = text("""
SELECT domain, difficulty, state, questions FROM question_count WHERE dataset_id = :dataset_id AND questions > 0
""")
SEARCH = "strpos(lower(text), lower(:text)) > 0"
# Few enough to be read whole: by an index that knows where they are.
FEW = """
SELECT id FROM unnest(CAST(:domains AS text[]), CAST(:difficulties AS text[]), CAST(:states AS text[]))
    AS kind (domain, difficulty, state)
CROSS JOIN LATERAL (
    SELECT id FROM question WHERE dataset_id = :dataset_id AND question.domain = kind.domain
      AND question.difficulty = kind.difficulty AND question.state = kind.state AND id > :after {search}) AS fitting
ORDER BY id LIMIT :limit
"""
# In their order, until the page is full or so many were looked at.
WALK = """
SELECT id FROM (
    SELECT id, domain, difficulty, state, text FROM question WHERE dataset_id = :dataset_id AND id > :after
    ORDER BY id LIMIT :most) AS looked_at
WHERE {kind} {search} ORDER BY id LIMIT :limit
"""
LAST_LOOKED_AT = text("""
SELECT id FROM question WHERE dataset_id = :dataset_id AND id > :after ORDER BY id OFFSET :most - 1 LIMIT 1
""")


@dataclass(frozen=True, slots=True)
class Kind:
    """Which questions: each of these if it is given."""

    domain: str | None = None
    difficulty: str | None = None
    state: QuestionState | None = None
    selected: bool | None = None

    def holds(self, domain: str, difficulty: str, state: str) -> bool:
        """Whether questions of this cell and state are meant."""
        return (
            self.domain in {None, domain}
            and self.difficulty in {None, difficulty}
            and self.state in {None, state}
            and self.selected in {None, state == QuestionState.SELECTED}
        )

    @property
    def condition(self) -> str:
        """The same in SQL, with `values`; what is not asked for is not in it."""
        parts = [f"{name} = :{name}" for name in self.values]
        if self.selected is not None:
            parts.append("state = 'selected'" if self.selected else "state <> 'selected'")
        return " AND ".join(parts) or "true"

    @property
    def values(self) -> dict[str, str]:
        """What the condition compares with, by the name of the column."""
        named = {"domain": self.domain, "difficulty": self.difficulty, "state": self.state and self.state.value}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Found:
    """Questions in the order of their ids. `looked_until`: others may come behind this id; None: there are none."""

    rows: list[dict[str, Any]]
    looked_until: int | None


async def browse_questions(
    engine: AsyncEngine, name: str, kind: Kind, *, text: str | None, after: int | None, limit: int
) -> Found:
    """At most `limit` questions behind the id `after`, whose text holds `text` in any case. Raises NotFound.

    They may be fewer although others come later: then `looked_until` says where to go on.
    """
    kind = Kind(
        kind.domain and fold_name(kind.domain),
        kind.difficulty and fold_name(kind.difficulty),
        kind.state,
        kind.selected,
    )
    async with engine.connect() as conn:
        dataset_id = await find_dataset(conn, name)
        counted = [row for row in await conn.execute(KINDS, {"dataset_id": dataset_id}) if kind.holds(*row[:3])]
        most = {"most": MOST_READ}
        values = {"dataset_id": dataset_id, "after": after or 0, "limit": limit, **({"text": text} if text else {})}
        search = f"AND {SEARCH}" if text else ""
        if sum(row.questions for row in counted) <= MOST_READ:
            values["domains"], values["difficulties"], values["states"] = (
                [row[place] for row in counted] for place in range(3)
            )
            return Found(await _read(conn, FEW.format(search=search), values), None)
        rows = await _read(conn, WALK.format(kind=kind.condition, search=search), {**values, **kind.values, **most})
        if len(rows) == limit:
            return Found(rows, None)
        behind = {"dataset_id": dataset_id, "after": after or 0, **most}
        return Found(rows, (await conn.execute(LAST_LOOKED_AT, behind)).scalar_one_or_none())


def _with_columns(ids: str) -> TextClause:
    return text(f"""
        SELECT {COLUMNS} FROM ({ids}) AS page JOIN question ON question.id = page.id
        LEFT JOIN job ON job.id = question.job_id ORDER BY question.id
    """)  # noqa: S608 - constants of this module and question_rows


async def _read(conn: AsyncConnection, ids: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    return [shown(row) for row in (await conn.execute(_with_columns(ids), values)).mappings()]
