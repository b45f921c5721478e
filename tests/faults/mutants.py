"""The code with one defence taken out: what the fault tests must be able to see."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.faults.system import ROOT

PARTS = ("api", "workers", "cli", "local", "shared", "migrations", "alembic.ini")


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces a text that occurs exactly once in a file."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """What is taken out, for which fault it is there, and what the suite then says."""

    name: str
    fault: int
    edits: tuple[Edit, ...]
    red: str


def plant(mutant: Mutant, folder: Path) -> Path:
    """A copy of the source in `folder` with the mutant's edits."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    for edit in mutant.edits:
        path = folder / edit.path
        text = path.read_text()
        assert text.count(edit.old) == 1, f"{mutant.name}: {edit.path} has changed; the mutant must follow it"
        path.write_text(text.replace(edit.old, edit.new))
    return folder


NO_EXPIRY = Mutant(
    "a lease never runs out",
    1,
    (
        Edit(
            "shared/jobs/claim.py",
            "(batch.state = 'pending' OR batch.state = 'leased' AND batch.lease_until < clock_timestamp())",
            "batch.state = 'pending'",
        ),
    ),
    "still waits",
)
NO_REPEATED_HINTS = Mutant(
    "hints are not repeated",
    3,
    (
        Edit(
            "shared/jobs/decide.py",
            "if batch.hinted_at is None or observed.now - batch.hinted_at >= limits.hint_repeat:",
            "if batch.hinted_at is None:",
        ),
    ),
    "nothing has moved",
)
NO_FENCE = Mutant(
    "no fence",
    5,
    (
        Edit(
            "shared/database/fence.py",
            "ON batch.id = held.id AND batch.fence = held.fence\nWHERE batch.state = 'leased' ORDER BY",
            "ON batch.id = held.id\nORDER BY",
        ),
    ),
    "question of a stale holder|generated",
)
NO_HOLD = Mutant(
    "a held batch can be claimed",
    6,
    (
        Edit(
            "shared/jobs/claim.py",
            "(batch.state = 'pending' OR batch.state = 'leased' AND batch.lease_until < clock_timestamp())",
            "batch.state IN ('pending', 'leased')",
        ),
    ),
    "claimed",
)
API_PUBLISHES = Mutant(
    "the API publishes after its commit, and nobody repeats it",
    10,
    (
        Edit("shared/jobs/decide.py", NO_REPEATED_HINTS.edits[0].old, NO_REPEATED_HINTS.edits[0].new),
        Edit(
            "shared/jobs/submit.py",
            "await apply(conn, job_id, actions)\n    return job_id\n",
            "await apply(conn, job_id, actions)\n"
            '    marked = text("UPDATE batch SET hinted_at = clock_timestamp() WHERE job_id = :job_id")\n'
            '    await conn.execute(marked, {"job_id": job_id})\n'
            "    return job_id\n",
        ),
        Edit(
            "api/routes/jobs.py",
            "    job = await read_job(wired.engine, job_id)\n    return answer(job, 202",
            "    import asyncio\n"
            "    from shared.database.states import Stage\n"
            "    from shared.jobs.reconcile import HintMessage\n"
            "    from workers.publish import publish_hints\n"
            "    await asyncio.sleep(0.5)\n"
            "    open_batches = await list_batches(wired.engine, job_id, state=None, after=None, limit=1000)\n"
            '    await publish_hints([HintMessage(each["id"], Stage.GENERATE, "mutant") for each in open_batches])\n'
            "    job = await read_job(wired.engine, job_id)\n    return answer(job, 202",
        ),
    ),
    "nothing has moved",
)
NO_MEMORY_OF_COMMITS = Mutant(
    "a repeated admission is not recognised",
    18,
    (
        Edit(
            "workers/admitter.py",
            "            if read.hold in standing and read.call_id in marked:\n"
            "                marked.remove(read.call_id)\n",
            "            if read.hold in standing:\n",
        ),
    ),
    "generated",
)
NOT_LOOKED_FOR = Mutant(
    "a bulk submission whose id is not known is made again",
    1,
    (
        Edit(
            "workers/bulk_keeper.py",
            "        found = await self._search(provider, submission)\n        if isinstance(found, BulkStatus):\n",
            "        found: BulkStatus | Undecided | None = None\n        if isinstance(found, BulkStatus):\n",
        ),
    ),
    "not all were found again",
)
