"""How long a dataset's questions and answers are, and what they are about: of all, or of enough of them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from math import ceil, floor, log2
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.find_dataset import find_dataset

# So many questions are read in some 100 ms, and their shares are true to a percent.
MOST_READ = 20_000
RUNS = 200
MOST_NAMED = 30
# Two bins for each doubling: 15 tokens and 750 are both seen.
BINS_PER_DOUBLING = 2

COUNT = text("""
SELECT COALESCE(SUM(questions), 0)::bigint AS questions,
    COALESCE(SUM(questions) FILTER (
        WHERE (CAST(:domain AS text) IS NULL OR domain = :domain)
          AND (CAST(:difficulty AS text) IS NULL OR difficulty = :difficulty)), 0)::bigint AS wanted
FROM question_count WHERE dataset_id = :dataset_id AND state = 'selected'
""")
_WANTED = """
    state = 'selected' AND (CAST(:domain AS text) IS NULL OR domain = :domain)
    AND (CAST(:difficulty AS text) IS NULL OR difficulty = :difficulty)
"""
_COLUMNS = "domain, difficulty, state, prompt_tokens, completion_tokens, tags, model"
ALL = f"SELECT {_COLUMNS} FROM question WHERE dataset_id = :dataset_id AND {_WANTED}"  # noqa: S608 - constants
# Runs of neighbours, evenly over all that ever came: neighbours share their pages, so that few pages are read.
SOME = f"""
    SELECT * FROM (
        SELECT MIN(id) AS lowest, (MAX(id) - MIN(id) + 1)::float / :runs AS apart
        FROM question WHERE dataset_id = :dataset_id) AS place
    CROSS JOIN generate_series(0, :runs - 1) AS run
    CROSS JOIN LATERAL (
        SELECT {_COLUMNS} FROM question WHERE dataset_id = :dataset_id AND id >= (lowest + run * apart)::bigint
          AND id < (lowest + (run + 1) * apart)::bigint ORDER BY id LIMIT :run_length) AS neighbours
    WHERE {_WANTED}
"""  # noqa: S608 - constants


def _grouped(rows: str) -> TextClause:
    """Counts by what is counted: few rows come back, however many are read."""
    return text(f"""
        WITH looked_at AS MATERIALIZED ({rows})
        SELECT 'prompt' AS what, prompt_tokens AS tokens, NULL AS name, COUNT(*) AS n FROM looked_at GROUP BY 2
        UNION ALL SELECT 'completion', completion_tokens, NULL, COUNT(*) FROM looked_at
            WHERE completion_tokens IS NOT NULL GROUP BY 2
        UNION ALL SELECT 'model', NULL, COALESCE(model, 'baseline'), COUNT(*) FROM looked_at GROUP BY 3
        UNION ALL (SELECT 'topic', NULL, tag, COUNT(*) FROM looked_at CROSS JOIN unnest(tags) AS tag
            GROUP BY 3 ORDER BY 4 DESC, 3 LIMIT :named)
    """)  # noqa: S608 - constants


READ_ALL, READ_SOME = _grouped(ALL), _grouped(SOME)


async def read_distributions(
    engine: AsyncEngine, name: str, *, domain: str | None, difficulty: str | None
) -> dict[str, Any]:
    """Of the selected questions: lengths in tokens, the most frequent topics, and models. Raises NotFound.

    `looked_at` questions are counted; all `questions` of this kind where they are few, else a sample of the dataset.
    """
    async with engine.connect() as conn:
        dataset_id = await find_dataset(conn, name)
        values = {"dataset_id": dataset_id, "domain": domain, "difficulty": difficulty}
        counted = (await conn.execute(COUNT, values)).one()
        sampled = counted.wanted > MOST_READ
        limits = {"named": MOST_NAMED, **({"runs": RUNS, "run_length": MOST_READ // RUNS} if sampled else {})}
        rows = (await conn.execute(READ_SOME if sampled else READ_ALL, {**values, **limits})).all()
    prompt = {row.tokens: row.n for row in rows if row.what == "prompt"}
    completion = {row.tokens: row.n for row in rows if row.what == "completion"}
    return {
        "questions": counted.wanted,
        "looked_at": sum(prompt.values()),
        "sampled": sampled,
        "prompt_tokens": describe_lengths(prompt),
        "completion_tokens": describe_lengths(completion),
        "topics": _named((row.name, row.n) for row in rows if row.what == "topic"),
        "models": _named((row.name, row.n) for row in rows if row.what == "model"),
    }


def describe_lengths(counts: Mapping[int, int]) -> dict[str, Any] | None:
    """Mean, median and a histogram of lengths that so many texts each have; None of no text.

    Bins are [from, to), each about 1.4 times as wide as the one before; empty ones between others are there too.
    """
    if not counts:
        return None
    total, seen, median = sum(counts.values()), 0, 0
    for median in sorted(counts):
        seen += counts[median]
        if seen >= total / 2:
            break
    binned: Counter[int] = Counter()
    for length, n in counts.items():
        binned[_bin_of(length)] += n
    return {
        "mean": round(sum(length * n for length, n in counts.items()) / total, 1),
        "median": median,
        "bins": [
            {"from": _edge(each), "to": _edge(each + 1), "count": binned[each]}
            for each in range(min(binned), max(binned) + 1)
            if _edge(each) < _edge(each + 1)
        ],
    }


def _edge(number: int) -> int:
    """The lowest length of a bin; those of -1 are empty texts."""
    return ceil(2 ** (number / BINS_PER_DOUBLING)) if number >= 0 else 0


def _bin_of(length: int) -> int:
    return floor(BINS_PER_DOUBLING * log2(length)) if length >= 1 else -1


def _named(pairs: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"name": name, "count": n} for name, n in sorted(pairs, key=lambda pair: (-pair[1], pair[0]))]
