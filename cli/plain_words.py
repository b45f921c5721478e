"""What can go wrong between us and the API, as sentences that say what to do."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2

# What only another program at this address would answer, when it does not say why.
NOT_OURS = frozenset({301, 302, 307, 308, 401, 403, 404, 405, 501})

NEEDS_KEY = "urn:questmill:unauthenticated"


class ApiProblem(Exception):
    """The API refused a request, or could not be reached; the text is one sentence for a person."""

    def __init__(
        self,
        message: str,
        status: int | None = None,
        problem: Mapping[str, Any] | None = None,
        *,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.problem = dict(problem or {})
        self.retry_after_seconds = retry_after_seconds

    @property
    def may_pass(self) -> bool:
        """Whether the same request may work later: the API is away, or its database is."""
        return self.status is None or self.status >= 500


class BadArgument(Exception):
    """An argument names nothing, or too much; the text is one sentence for a person."""


@contextmanager
def speaking_plainly(base_url: str) -> Iterator[None]:
    """Turn what httpx2 raises in the block into ApiProblem."""
    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout):
        raise ApiProblem(
            f"No Questmill answers at {base_url}. Start it with ./run up, or set QUESTMILL_API_URL to where it runs."
        ) from None
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        why = str(error).rstrip(".")
        raise ApiProblem(f"{base_url!r} is not an address of an API: {why}. Mend QUESTMILL_API_URL.") from None
    except httpx2.TimeoutException:
        raise ApiProblem(f"The API at {base_url} took too long to answer; look at its log.") from None
    except httpx2.SSEError:
        raise not_questmill(base_url) from None
    except httpx2.HTTPError as error:
        why = (str(error) or type(error).__name__).rstrip(".")
        raise ApiProblem(f"The connection to {base_url} broke: {why}. Try again.") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise not_questmill(base_url) from None


def not_questmill(base_url: str) -> ApiProblem:
    """Something answers that does not speak as we do."""
    return ApiProblem(f"What answers at {base_url} is not Questmill; set QUESTMILL_API_URL to where it runs.", 404)


def raise_problem(base_url: str, answer: httpx2.Response) -> None:
    """Raise ApiProblem, with what the API says, unless the answer is a success."""
    if answer.is_success:
        return
    try:
        problem = answer.json()
        text = str(problem["detail"] or problem["title"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        if answer.status_code in NOT_OURS:
            raise not_questmill(base_url) from None
        raise ApiProblem(
            f"The API answered {answer.status_code} without saying why; look at its log.", answer.status_code
        ) from None
    if problem.get("type") == NEEDS_KEY:
        text = _about_key(base_url, was_sent="Authorization" in answer.request.headers)
    wait = answer.headers.get("Retry-After", "")
    raise ApiProblem(text, answer.status_code, problem, retry_after_seconds=int(wait) if wait.isdecimal() else None)


def _about_key(base_url: str, *, was_sent: bool) -> str:
    if was_sent:
        return (
            f"Questmill at {base_url} does not know the key that was sent, or it is revoked: set QUESTMILL_API_KEY to "
            "another; ./run keys create makes one."
        )
    return f"Questmill at {base_url} needs a key: set QUESTMILL_API_KEY to one; ./run keys create makes one."


def read_object(base_url: str, answer: httpx2.Response, *expected: str) -> Any:
    """The JSON of an answer that must be an object with these keys. Raises ApiProblem."""
    body = answer.json()
    if not isinstance(body, dict) or not all(key in body for key in expected):
        raise not_questmill(base_url)
    return body
