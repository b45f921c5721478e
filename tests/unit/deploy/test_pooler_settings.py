"""Where sessions are, with a pooler between and without."""

from collections.abc import Iterator

import pytest

from shared.errors import InvalidInput
from shared.settings import load_settings


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("DATABASE_URL", "DATABASE_DIRECT_URL"):
        monkeypatch.delenv(name, raising=False)
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def test_without_a_pooler_there_is_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://server/q")
    settings = load_settings()
    assert (settings.session_database_url, settings.is_pooled) == ("postgresql://server/q", False)


def test_behind_a_pooler_sessions_are_at_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://pooler/q")
    monkeypatch.setenv("DATABASE_DIRECT_URL", "postgresql://server/q")
    settings = load_settings()
    assert (settings.database_url, settings.session_database_url) == ("postgresql://pooler/q", "postgresql://server/q")
    assert settings.is_pooled


def test_a_server_without_its_pooler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_DIRECT_URL", "postgresql://server/q")
    with pytest.raises(InvalidInput, match=r"DATABASE_DIRECT_URL: .*set both or neither"):
        load_settings()
