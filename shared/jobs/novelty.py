"""What people see of a job's search for new questions: how each cell and each topic yields, and what may be left."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.topic_yields import TopicYield, estimate_pools
from shared.errors import InvalidInput, NotFound
from shared.ids import JobId
from shared.jobs.decide import yield_of
from shared.jobs.observe import observe_all, survey
from shared.jobs.observed import CellStatus, Observed
from shared.jobs.steer import floor_of, topic_states
from shared.planning.mix import fold_name
from shared.questions.prompts import distinct_tuples


async def read_novelty(engine: AsyncEngine, job_id: JobId) -> dict[str, Any]:
    """Each cell: its yield, how much is over-asked, its topics by state, its estimated pool. Raises NotFound."""
    async with engine.connect() as conn:
        observed = await _look(conn, job_id)
    steered = any(status.ground for status in observed.cells)
    return {"job_id": str(job_id), "steered": steered, "cells": [_describe_cell(status) for status in observed.cells]}


async def read_topics(engine: AsyncEngine, job_id: JobId, *, domain: str, difficulty: str) -> list[dict[str, Any]]:
    """The topics of one cell, those that yield least first.

    Raises NotFound, or InvalidInput for a cell that the job does not have.
    """
    async with engine.connect() as conn:
        observed = await _look(conn, job_id)
    for status in observed.cells:
        if (status.cell.domain, status.cell.difficulty) == (fold_name(domain), fold_name(difficulty)):
            return _describe_topics(status)
    cells = ", ".join(str(status.cell) for status in observed.cells)
    raise InvalidInput(f"this job has no cell {domain}/{difficulty}; it has {cells}")


async def _look(conn: AsyncConnection, job_id: JobId) -> Observed:
    looks = await observe_all(conn, [job_id])
    if not looks:
        raise NotFound(f"there is no job {job_id}")
    return await survey(conn, looks[0])


def _describe_cell(status: CellStatus) -> dict[str, Any]:
    described: dict[str, Any] = {
        "domain": status.cell.domain,
        "difficulty": status.cell.difficulty,
        "generated": status.generated,
        "admitted": status.admitted,
        "yield": round(status.admitted / status.generated, 4) if status.generated else None,
        "expected_yield": round(yield_of(status), 4),
        "over_asking": round(1 / yield_of(status), 3),
        "prompts_taken": status.next_ordinal,
        "stopped": status.stopped,
        "distinct_prompts": None,
        "floor": None,
        "topics": None,
        "pool": None,
    }
    ground = status.ground
    if ground is None:
        return described
    states = list(map(str, topic_states(ground).values()))
    pools = estimate_pools(list(ground.atlas.topics), ground.yields)
    known = sum(each.admitted for each in ground.yields.values())
    estimated = None if pools is None else round(sum(pools.values()))
    return described | {
        "distinct_prompts": distinct_tuples(ground.atlas, status.cell.difficulty),
        "floor": floor_of(ground),
        "topics": {name: states.count(name) for name in ("open", "resting", "dry")},
        "pool": None if estimated is None else {"known": known, "estimated": estimated, "left": estimated - known},
    }


def _describe_topics(status: CellStatus) -> list[dict[str, Any]]:
    ground = status.ground
    if ground is None:
        return []
    topics = list(ground.atlas.topics)
    states = topic_states(ground)
    pools = estimate_pools(topics, ground.yields) or {}
    described = []
    for topic in topics:
        its = ground.yields.get(topic, TopicYield(topic))
        described.append(
            {
                "topic": topic,
                "state": states[topic],
                "generated": its.generated,
                "admitted": its.admitted,
                "recent_yield": round(its.recent, 4) if its.generated else None,
                "estimated": round(pools[topic]) if topic in pools else None,
            }
        )
    return sorted(described, key=lambda each: (each["recent_yield"] is None, each["recent_yield"], each["topic"]))
