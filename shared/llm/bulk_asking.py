"""One question to a provider about bulk submissions, and what it becomes when it goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import anthropic
import httpx2
import openai

from shared.llm.bulk import BulkProblem, BulkStatus
from shared.llm.bulk_reading import malformed
from shared.llm.failures import RateReader, body_without_key, reply_from_broken_connection, reply_from_error
from shared.llm.provider import Outcome


@asynccontextmanager
async def asking(read_rate: RateReader, seconds: float, *, submits: bool = False) -> AsyncIterator[None]:
    """Turns whatever goes wrong with a question by either SDK into BulkProblem; `read_rate` reads its headers."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise BulkProblem(Outcome.TIMEOUT, f"no answer in {seconds:g} s", maybe_submitted=submits) from None
    except (anthropic.APIStatusError, openai.APIStatusError) as error:
        response = error.response
        reply = reply_from_error(response.status_code, response.headers, body_without_key(response), read_rate)
        raise BulkProblem.from_reply(reply, submits=submits) from None
    except (anthropic.APIConnectionError, openai.APIConnectionError, httpx2.HTTPError) as error:
        raise BulkProblem.from_reply(reply_from_broken_connection(error), submits=submits) from error
    except anthropic.AnthropicError as error:  # such as results before the end
        raise BulkProblem(Outcome.BAD_REQUEST, str(error), maybe_submitted=submits) from error
    except openai.OpenAIError as error:
        raise malformed(str(error), submits=submits) from error


async def listed_since(
    earliest: datetime,
    ask_page: Callable[[str | None], Awaitable[Mapping[str, Any]]],
    read_status: Callable[[Mapping[str, Any]], BulkStatus],
) -> AsyncIterator[tuple[BulkStatus, Mapping[str, Any]]]:
    """The account's submissions, newest first, each with its row, page by page until one is older than `earliest`.

    `ask_page` gets the id that a page follows, None for the first one. Raises BulkProblem.
    """
    after: str | None = None
    while True:
        before = after
        page = await ask_page(after)
        rows = page.get("data")
        for row in rows if isinstance(rows, list) else ():
            status = read_status(row)
            if status.created_at < earliest:
                return
            after = status.provider_id
            yield status, row
        if not page.get("has_more") or after == before:
            return
