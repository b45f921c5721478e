"""Publish hints to the broker, bounded in time, without retries: what does not get through is repeated later."""

import asyncio
import hashlib
from collections.abc import Sequence

import structlog
from kombu.exceptions import OperationalError

from shared.ids import BatchId
from shared.jobs.reconcile import HintMessage
from workers.app import TASK_NAMES, app

log = structlog.get_logger()

# A frozen Redis must not hold the reconciler longer than this (FAULTS 4).
SOCKET_SECONDS = 2.0


def task_id_of(message: HintMessage) -> str:
    """How Flower lists the task: readable, and the same for a repeated hint ("phase1-math-hard-0005-1f2e3d")."""
    words = message.label.split(",")[0].replace("#", "").replace("/", " ").split()
    return "-".join([*words, hashlib.sha256(message.batch_id.bytes).hexdigest()[:6]])


async def publish_hints(messages: Sequence[HintMessage]) -> list[BatchId]:
    """Send the hints in a thread, off the loop; returns those that reached the broker."""
    return await asyncio.to_thread(_publish, messages)


def _publish(messages: Sequence[HintMessage]) -> list[BatchId]:
    published: list[BatchId] = []
    options = {**app.conf.broker_transport_options, "socket_timeout": SOCKET_SECONDS}
    try:
        with app.connection_for_write(transport_options=options, connect_timeout=SOCKET_SECONDS) as connection:
            for message in messages:
                app.send_task(
                    TASK_NAMES[message.stage],
                    args=(str(message.batch_id),),
                    argsrepr=message.label,
                    kwargsrepr="{}",
                    task_id=task_id_of(message),
                    connection=connection,
                    retry=False,
                )
                published.append(message.batch_id)
    except (OperationalError, OSError) as error:
        log.warning("broker away", published=len(published), of=len(messages), error=str(error))
    return published
