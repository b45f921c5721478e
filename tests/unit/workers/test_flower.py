from typing import Any

import pytest

from shared.settings import Settings
from workers.flower import flower_arguments, why_refused


def settings(**values: Any) -> Settings:
    return Settings.model_validate(values)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_on_loopback_nobody_is_asked(host: str) -> None:
    assert why_refused(settings(flower_host=host)) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "flower.example.org"])  # noqa: S104
def test_elsewhere_it_does_not_start_without_a_password(host: str) -> None:
    assert "QUESTMILL_FLOWER_AUTH" in (why_refused(settings(flower_host=host)) or "")
    assert why_refused(settings(flower_host=host, flower_auth="me:secret")) is None


def test_a_container_is_judged_by_where_it_is_published() -> None:
    everywhere = "0.0.0.0"  # noqa: S104
    assert why_refused(settings(flower_host=everywhere, flower_published_host="127.0.0.1")) is None
    assert why_refused(settings(flower_host=everywhere, flower_published_host=everywhere)) is not None
    assert why_refused(settings(flower_host="127.0.0.1", flower_published_host=everywhere)) is not None


@pytest.mark.parametrize("auth", ["secret", "me:secret,you", ":", "me:", ":secret", "me:secret,", "me:s\xe9cret"])
def test_a_user_without_a_password_that_counts_is_refused(auth: str) -> None:
    assert "user:password" in (why_refused(settings(flower_auth=auth)) or "")


def test_the_password_is_not_on_the_command_line() -> None:
    assert "secret" not in " ".join(flower_arguments(settings(flower_auth="me:secret")))
