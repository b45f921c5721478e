"""What can be wrong on the way to the models: keys and addresses. Nothing is paid to find out."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
from pydantic import SecretStr

from cli.doctor_check import Check, Verdict
from shared.server_urls import hide_password
from shared.settings import Settings

ANSWER_SECONDS = 5.0
NO_KEY = "no key is set: ./run up rehearses, and its workers can call no real model"
OWN = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}
LIST = {"openai": "/models", "anthropic": "/v1/models"}
ENDING = {"openai": "usually ends in /v1", "anthropic": "does not end in /v1"}


def provider_checks(settings: Settings, *, call: bool) -> Iterator[Check]:
    """Each provider's key and address; with `call` a list of its models is asked for, which costs nothing."""
    keys = {"openai": settings.openai_api_key, "anthropic": settings.anthropic_api_key}
    bases = {"openai": settings.openai_base_url, "anthropic": settings.anthropic_base_url}
    for provider, key in keys.items():
        yield _key(provider, key, bases[provider])
        if base := bases[provider]:
            yield _address(provider, base)
        if call and key is not None:
            yield _call(provider, key, base or OWN[provider])
    if not any(keys.values()) and not settings.rehearsal:
        yield Check("keys", Verdict.NOTE, NO_KEY)


def _key(provider: str, key: SecretStr | None, base_url: str | None) -> Check:
    name, where = f"{provider.upper()}_API_KEY", f", sent to {hide_password(base_url)}" if base_url else ""
    if key is not None:
        return Check(name, Verdict.OK, f"set (not shown){where}")
    return Check(name, Verdict.NOTE, f"not set: set it before ./run up to use {provider} models")


def _address(provider: str, base: str) -> Check:
    """Asked without the key: an address that is wrong must not see it."""
    name, shown = f"{provider.upper()}_BASE_URL", hide_password(base)
    if urlsplit(base).scheme not in {"http", "https"}:
        return Check(name, Verdict.MISSING, f"{shown} is no web address: it begins with http:// or https://")
    try:
        answer = _ask(provider, base, {})
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return Check(
            name, Verdict.MISSING, f"nothing answers at {shown} ({type(error).__name__}): start it, or mend it"
        )
    if answer.status_code == 404:
        return Check(name, Verdict.NOTE, f"{shown} answers but lists no models: such an address {ENDING[provider]}")
    return Check(name, Verdict.OK, f"{shown} answers")


def _call(provider: str, key: SecretStr, base: str) -> Check:
    name, secret = f"{provider} call", key.get_secret_value()
    headers = {
        "openai": {"Authorization": f"Bearer {secret}"},
        "anthropic": {"x-api-key": secret, "anthropic-version": "2023-06-01"},
    }[provider]
    try:
        answer = _ask(provider, base, headers)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        return Check(name, Verdict.MISSING, f"{hide_password(base)} was not reached: {type(error).__name__}")
    if answer.status_code in {401, 403}:
        told = f"the key is refused ({answer.status_code}): make a new one and set {provider.upper()}_API_KEY"
        return Check(name, Verdict.MISSING, told)
    if not answer.is_success:
        return Check(name, Verdict.NOTE, f"the key was sent, and {hide_password(base)} answered {answer.status_code}")
    return Check(name, Verdict.OK, "the key is taken")


def _ask(provider: str, base: str, headers: dict[str, str]) -> httpx2.Response:
    return httpx2.get(base.rstrip("/") + LIST[provider], headers=headers, timeout=ANSWER_SECONDS)
