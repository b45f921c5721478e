"""Structured logs: readable in a terminal, JSON when QUESTMILL_LOG_JSON is set."""

import logging
import sys

import structlog
from celery.exceptions import Reject

from shared.settings import Settings


def _without_traceback_of_rejects(record: logging.LogRecord) -> bool:
    """A batch given back on the way out is no accident."""
    if record.exc_info and isinstance(record.exc_info[1], Reject):
        record.exc_info = None
    return True


def configure_logs(settings: Settings) -> None:
    """Send structlog and the standard library's records to stderr in one format."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if settings.log_json else structlog.dev.ConsoleRenderer(colors=False)
    )
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processor=renderer))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("celery.app.trace").addFilter(_without_traceback_of_rejects)
    # Every request is in the ledger; a line for each in the log would hide the rest.
    for noisy in ("httpx2", "httpcore2", "openai", "anthropic"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
