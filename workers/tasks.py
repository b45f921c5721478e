"""The three tasks. Each takes a batch id, blocks its thread while the loop does the work, and keeps no result."""

from uuid import UUID

from celery.exceptions import Reject

from shared.database.states import Stage
from shared.ids import BatchId
from workers.app import TASK_NAMES, app
from workers.batch import Ending
from workers.current import worker_process


def _run(batch_id: str) -> str:
    ending = worker_process().run_batch(BatchId(UUID(batch_id)))
    if ending is Ending.DRAINED:
        # The batch is free again; another worker gets the message at once instead of after the next tick.
        raise Reject(reason="draining", requeue=True)
    return ending


@app.task(name=TASK_NAMES[Stage.GENERATE])
def generate(batch_id: str) -> str:
    """Make a batch's questions."""
    return _run(batch_id)


@app.task(name=TASK_NAMES[Stage.VALIDATE])
def validate(batch_id: str) -> str:
    """Judge a batch's questions."""
    return _run(batch_id)


@app.task(name=TASK_NAMES[Stage.ANSWER])
def answer(batch_id: str) -> str:
    """Answer a batch's questions."""
    return _run(batch_id)
