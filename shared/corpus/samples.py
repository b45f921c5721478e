"""Questions of a dataset drawn at random, with all that a person wants to know of each."""

import secrets
from decimal import Decimal
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.find_dataset import find_dataset
from shared.corpus.question_rows import COLUMNS, shown
from shared.corpus.results import FIRST_ANSWER, FIRST_MODELS, SCORES
from shared.database.states import QuestionState
from shared.errors import FieldError, InvalidInput
from shared.ids import DatasetId

SEEDS = 1_000_000  # short enough to be typed again

COUNT = text("""
    SELECT domain, difficulty, SUM(questions) FILTER (WHERE CAST(:state AS text) IS NULL OR state = :state)::bigint AS n
    FROM question_count WHERE dataset_id = :dataset_id GROUP BY domain, difficulty ORDER BY domain, difficulty
""")
_SHARE = "SUM(call.cost_usd / GREATEST(jsonb_array_length(call.prompt -> 'question_ids'), 1))"


def _spent_on(table: str) -> str:
    """A question's share of the calls that brought its results; NULL when one of them is archived."""
    return f"""
        (SELECT CASE WHEN COUNT(*) = COUNT(call.id) THEN COALESCE({_SHARE}, 0) END
        FROM {table} LEFT JOIN call ON call.id = {table}.call_id WHERE {table}.question_id = question.id)
    """  # noqa: S608 - constants


# By a keyed hash: the same seed draws the same questions as long as they are there.
DRAW = text(f"""
    WITH {FIRST_MODELS}
    SELECT {COLUMNS}, maker.prompt ->> 'topic' AS topic, maker.id IS NULL AS archived,
        maker.cost_usd / GREATEST(maker.admitted, 1) AS generate_usd, {_spent_on("verdict")} AS validate_usd,
        {_spent_on("answer")} AS answer_usd, judged.scores, said.verdicts, first.text AS answer,
        first.model AS answer_model, first.checked, first.prompt_version AS answer_version,
        first.call_id AS answer_call_id,
        (SELECT COUNT(*) FROM answer WHERE answer.question_id = question.id) AS answer_count
    FROM (
        SELECT question.*, sha256(int8send(:seed) || question.text_hash) AS place FROM question
        WHERE question.dataset_id = :dataset_id
          AND (CAST(:domain AS text) IS NULL OR question.domain = :domain)
          AND (CAST(:difficulty AS text) IS NULL OR question.difficulty = :difficulty)
          AND (CAST(:state AS text) IS NULL OR question.state = :state)
        ORDER BY place LIMIT :n
    ) AS question
    LEFT JOIN job ON job.id = question.job_id
    LEFT JOIN call AS maker ON maker.id = question.call_id
    {FIRST_ANSWER} {SCORES}
    CROSS JOIN LATERAL (
        SELECT COALESCE(json_agg(json_build_object('model', model, 'vote', vote, 'accepted', accepted, 'scores', scores,
            'reason', reason) ORDER BY vote, created_at, model, prompt_version), '[]') AS verdicts
        FROM verdict WHERE verdict.question_id = question.id
    ) AS said
    ORDER BY question.place
""")  # noqa: S608 - constants


async def draw_sample(
    engine: AsyncEngine,
    name: str,
    *,
    n: int,
    domain: str | None = None,
    difficulty: str | None = None,
    state: QuestionState | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Up to `n` questions, and how many there are to draw from. Raises NotFound, or InvalidInput for no such cell."""
    seed = secrets.randbelow(SEEDS) if seed is None else seed
    async with engine.connect() as conn:
        dataset_id = await find_dataset(conn, name)
        wanted = {"domain": domain, "difficulty": difficulty, "state": state and state.value}
        among = await _count(conn, dataset_id, name, wanted)
        rows = await conn.execute(DRAW, {"dataset_id": dataset_id, "seed": seed, "n": n, **wanted})
        return {"dataset": name, "seed": seed, "among": among, "items": [_item(row) for row in rows.mappings()]}


async def _count(conn: AsyncConnection, dataset_id: DatasetId, name: str, wanted: dict[str, str | None]) -> int:
    cells = (await conn.execute(COUNT, {"dataset_id": dataset_id, "state": wanted["state"]})).all()
    domain, difficulty = wanted["domain"], wanted["difficulty"]
    fitting = [each for each in cells if domain in {None, each.domain} and difficulty in {None, each.difficulty}]
    if not fitting and (domain or difficulty):
        there = ", ".join(f"{each.domain}/{each.difficulty}" for each in cells) or "none, it is empty"
        missing = f"dataset {name} has no cell {domain or '*'}/{difficulty or '*'}; its cells: {there}"
        raise InvalidInput(missing, [FieldError("domain" if domain else "difficulty", missing)])
    return sum(each.n or 0 for each in fitting)


def _item(row: RowMapping) -> dict[str, Any]:
    item = shown(row)
    archived, generated = item.pop("archived"), item.pop("generate_usd")
    costs: dict[str, Decimal | None] = {
        # A baseline's questions cost nothing.
        "generate": Decimal(0) if row["call_id"] is None else None if archived else generated,
        "validate": item.pop("validate_usd"),
        "answer": item.pop("answer_usd"),
    }
    known = [cost for cost in costs.values() if cost is not None]
    item["cost_usd"] = {**costs, "total": sum(known) if len(known) == len(costs) else None}
    item["verdict"] = _verdict(row)
    return item


def _verdict(row: RowMapping) -> str | None:
    if row["validated"]:
        return "accepted"
    return "rejected" if row["state"] == QuestionState.REJECTED and row["verdicts"] else None
