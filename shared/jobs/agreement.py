"""How far the judges of a job agree, counted from their verdicts."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.states import Stage
from shared.errors import NotFound
from shared.ids import JobId
from shared.planning.mix import Cell
from shared.questions.judging import CRITERIA

SPEC = text("SELECT spec FROM job WHERE id = :job_id")
_SCORES = ", ".join(f"(scores ->> '{name}')::int AS {name}" for name in CRITERIA)
_OF_QUESTION = ", ".join(
    f"SUM({name}) AS {name}_score, MAX({name}) - MIN({name}) AS {name}_spread, "
    f"bool_or(NOT accepted AND {name} < :least) AS {name}_failed"
    for name in CRITERIA
)
_OF_GROUP = ", ".join(
    f"SUM({name}_score)::bigint AS {name}_score, SUM({name}_spread)::bigint AS {name}_spread, "
    f"COUNT(*) FILTER (WHERE {name}_failed) AS {name}_failed"
    for name in CRITERIA
)
# Of each vote the newest verdict counts, as where they are counted.
VOTES = text(f"""
    WITH newest AS (
        SELECT DISTINCT ON (question_id, vote) question_id, accepted, {_SCORES} FROM verdict
        WHERE job_id = :job_id ORDER BY question_id, vote, created_at DESC
    ), judged AS (
        SELECT question_id, COUNT(*) AS votes, COUNT(*) FILTER (WHERE accepted) AS accepting, {_OF_QUESTION}
        FROM newest GROUP BY question_id
    )
    SELECT domain, difficulty, votes, accepting, COUNT(*) AS questions, {_OF_GROUP}
    FROM judged JOIN question ON question.id = judged.question_id
    GROUP BY domain, difficulty, votes, accepting ORDER BY domain, difficulty, votes, accepting
""")  # noqa: S608 - the criteria are constants


@dataclass(slots=True)
class Agreement:
    """Verdicts of some questions, summed. `votes` are so many as each question was to get.

    `accepting` counts the questions with all votes by how many of those accept.
    """

    votes: int
    judged: int = 0
    verdicts: int = 0
    accepting: Counter[int] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    scores: Counter[str] = field(default_factory=Counter)
    spreads: Counter[str] = field(default_factory=Counter)

    def add(self, group: RowMapping) -> None:
        """A row of `VOTES`."""
        questions, votes, accepting = group["questions"], group["votes"], group["accepting"]
        self.judged += questions
        self.verdicts += questions * votes
        self.scores.update({name: group[f"{name}_score"] for name in CRITERIA})
        if votes == self.votes:
            self.accepting[accepting] += questions
            self.spreads.update({name: group[f"{name}_spread"] for name in CRITERIA})
            if 2 * accepting <= votes:
                self.failed.update({name: group[f"{name}_failed"] for name in CRITERIA})

    def to_json(self) -> dict[str, Any]:
        """As people see it."""
        whole = self.accepting.total()
        accepted = sum(count for accepting, count in self.accepting.items() if 2 * accepting > self.votes)
        differing = sum(count for accepting, count in self.accepting.items() if 0 < accepting < self.votes)
        several = whole and self.votes > 1
        return {
            "judged": self.judged,
            "accepted": accepted,
            "rejected": whole - accepted,
            "open": self.judged - whole,
            "verdicts": self.verdicts,
            "rejected_for": {name: self.failed[name] for name in CRITERIA if self.failed[name]},
            "differing": differing / whole if several else None,
            "criteria": {
                name: {
                    "mean": self.scores[name] / self.verdicts if self.verdicts else None,
                    "spread": self.spreads[name] / whole if several else None,
                }
                for name in CRITERIA
            },
            "kappa": fleiss_kappa(self.accepting, self.votes),
        }


def fleiss_kappa(accepting: Mapping[int, int], votes: int) -> float | None:
    """Agreement beyond chance on accepted or not: 1 is perfect, 0 what chance gives, below 0 less than that.

    `accepting` counts questions by how many of their `votes` accept. With p_i the share of pairs of votes on question
    i that agree, P their mean, q the share of votes that accept and E = q^2 + (1 - q)^2: (P - E) / (1 - E). None where
    that is undefined: no question, one vote, or all votes the same. From J. L. Fleiss, "Measuring nominal scale
    agreement among many raters", Psychological Bulletin 76 (1971), 378-382.
    """
    questions = sum(accepting.values())
    if questions == 0 or votes < 2:
        return None
    pairs = votes * (votes - 1)
    agreeing = sum(count * (k * (k - 1) + (votes - k) * (votes - k - 1)) for k, count in accepting.items())
    share = sum(k * count for k, count in accepting.items()) / (questions * votes)
    by_chance = share**2 + (1 - share) ** 2
    return None if by_chance == 1 else (agreeing / (questions * pairs) - by_chance) / (1 - by_chance)


async def read_agreement(engine: AsyncEngine, job_id: JobId, *, by_cell: bool = False) -> dict[str, Any]:
    """A job's verdicts, counted over all questions and, if asked for, by cell. Raises NotFound."""
    async with engine.connect() as conn:
        spec = (await conn.execute(SPEC, {"job_id": job_id})).scalar_one_or_none()
        if spec is None:
            raise NotFound(f"there is no job {job_id}")
        validates = Stage.VALIDATE in spec.get("stages", ())
        votes, least = (spec["judging"]["votes"], spec["judging"]["least"]) if validates else (0, 0)
        groups = (await conn.execute(VOTES, {"job_id": job_id, "least": least})).mappings().all() if validates else []
    told = {"job_id": job_id, "votes": votes, "least": least, **_sum(groups, votes).to_json()}
    if by_cell:
        by: dict[Cell, list[RowMapping]] = {}
        for group in groups:
            by.setdefault(Cell(group["domain"], group["difficulty"]), []).append(group)
        told["cells"] = [
            {"domain": cell.domain, "difficulty": cell.difficulty, **_sum(its, votes).to_json()}
            for cell, its in by.items()
        ]
    return told


def _sum(groups: Iterable[RowMapping], votes: int) -> Agreement:
    agreement = Agreement(votes)
    for group in groups:
        agreement.add(group)
    return agreement
