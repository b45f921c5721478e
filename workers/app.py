"""The Celery application: how hints travel. Redis may lose them at any time; the reconciler repeats them."""

import ssl

from celery import Celery
from kombu.utils.url import parse_url

from shared.database.states import Stage
from shared.settings import load_settings_or_exit

QUEUE = "questmill"
TASK_NAMES = {stage: f"questmill.{stage}" for stage in Stage}

# The tasks are imported by `python -m workers` alone: publishing and watching need only their names.
broker_url = load_settings_or_exit().redis_url
# By default Celery takes any certificate, unlike the limiter's client. What the URL says of it counts: Celery reads it
# there by itself, Flower only here.
broker_tls = {"ssl_cert_reqs": ssl.CERT_REQUIRED, **parse_url(broker_url).get("ssl", {})}
app = Celery("questmill", broker=broker_url)
app.conf.update(
    broker_use_ssl=broker_tls if broker_url.startswith("rediss:") else None,
    task_default_queue=QUEUE,
    task_acks_late=True,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_send_task_events=True,
    task_send_sent_event=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # By default a killed worker's message comes back after about 100 s, and a frozen Redis blocks for ever.
    broker_transport_options={
        "visibility_timeout": 3600,
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "socket_timeout": 15,
        "socket_connect_timeout": 3,
        "health_check_interval": 10,
    },
)
