"""Puts the server together: the models' endpoints, and those by which tests read and steer it."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from local.rehearsal.bulk import BulkDesk
from local.rehearsal.bulk_anthropic import AnthropicBulk
from local.rehearsal.bulk_control import bulk_control_routes
from local.rehearsal.bulk_openai import OpenAIBulk
from local.rehearsal.bulk_serving import DESK
from local.rehearsal.config import RehearsalConfig
from local.rehearsal.control import REHEARSAL, control_routes
from local.rehearsal.server import Rehearsal, handler_for, wires

MARK = {"x-questmill-rehearsal": "1"}
MOST_BODY_BYTES = 256 << 20  # a whole bulk submission
MODELS = ("gpt-6-luna", "gpt-6.1-sol", "claude-haiku-5-5", "claude-sonnet-5-5")
_EPOCH = "1970-01-01T00:00:00Z"
_GREETING = (
    "This is Questmill's rehearsal model server. It speaks the wire formats of OpenAI and Anthropic\n"
    "and plays no real model: its questions come from grammars and finite pools, and nothing is paid.\n"
    "\n"
    "POST /v1/chat/completions, /v1/messages     GET /v1/models\n"
    "Bulk submissions: /v1/files, /v1/batches, /v1/messages/batches\n"
    "GET  /rehearsal/record?since=N, /rehearsal/summary\n"
    "POST /rehearsal/faults, /rehearsal/quotas, /rehearsal/pools, /rehearsal/latency\n"
    "POST /rehearsal/judges, /rehearsal/answers, /rehearsal/bulk\n"
)


def make_application(config: RehearsalConfig) -> web.Application:
    """The server as an aiohttp application."""
    application = web.Application(client_max_size=MOST_BODY_BYTES)
    rehearsal = application[REHEARSAL] = Rehearsal(config)
    for path, wire in wires().items():
        application.router.add_post(path, handler_for(rehearsal, wire))
    application.router.add_get("/", _greet)
    application.router.add_get("/v1/models", _list_models)
    application.router.add_routes(control_routes())
    _take_bulk_submissions(application, BulkDesk(rehearsal, config))
    application.on_response_prepare.append(_mark)
    application.cleanup_ctx.append(_keep_record)
    return application


def _take_bulk_submissions(application: web.Application, desk: BulkDesk) -> None:
    application[DESK] = desk
    application.router.add_routes([*OpenAIBulk(desk).routes(), *AnthropicBulk(desk).routes(), *bulk_control_routes()])
    application.on_shutdown.append(_drop_submissions)


async def _drop_submissions(application: web.Application) -> None:
    await application[DESK].close()


async def _keep_record(application: web.Application) -> AsyncIterator[None]:
    record = application[REHEARSAL].record
    flushing = asyncio.create_task(record.flush_for_ever())
    yield
    flushing.cancel()
    await flushing
    record.close()


async def _mark(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(MARK)


async def _greet(_: web.Request) -> web.Response:
    return web.Response(text=_GREETING)


async def _list_models(request: web.Request) -> web.Response:
    if "anthropic-version" in request.headers:
        models = [
            {"type": "model", "id": name, "display_name": name, "created_at": _EPOCH, "lifecycle": "active"}
            for name in MODELS
        ]
        return web.json_response({"data": models, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]})
    known = [{"id": name, "object": "model", "created": 0, "owned_by": "rehearsal"} for name in MODELS]
    return web.json_response({"object": "list", "data": known})
