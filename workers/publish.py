"""Publish hints to the broker, bounded in time, without retries: what does not get through is repeated later."""

import asyncio
from collections.abc import Sequence

import structlog
from kombu.exceptions import OperationalError

from shared.ids import BatchId
from shared.jobs.hint_names import task_id_of
from shared.jobs.reconcile import HintMessage
from workers.app import TASK_NAMES, app

log = structlog.get_logger()

# A frozen Redis must not hold the reconciler longer than this (FAULTS 4).
SOCKET_SECONDS = 2.0


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
                    task_id=task_id_of(message.batch_id, message.label),
                    connection=connection,
                    retry=False,
                )
                published.append(message.batch_id)
    except (OperationalError, OSError) as error:
        log.warning("broker away", published=len(published), of=len(messages), error=str(error))
    return published
