"""Secrets by file: read once, never beside the variable itself, and an error never says what a file holds."""

from pathlib import Path

import pytest

from cli.doctor_here import load_what_can_be
from local.stack import common_environment
from shared.errors import InvalidInput
from shared.secret_files import FIELDS, MOST_BYTES, read_secret_files
from shared.settings import Settings, load_settings

SECRET = "postgresql://u:marked-secret@h/d"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return path


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FIELDS:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


@pytest.mark.parametrize("name", FIELDS)
def test_each_secret_may_come_from_a_file(name: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "DATABASE_DIRECT_URL":
        monkeypatch.setenv("DATABASE_URL", "postgresql://pooler/d")  # beside which alone it may be set
    monkeypatch.setenv(f"{name}_FILE", str(file))
    secret = SECRET
    if name == "REDIS_URL":
        secret = "redis://:marked-secret@h/0"
        file.write_text(secret)
    value = getattr(Settings(), FIELDS[name])
    assert (value if isinstance(value, str) else value.get_secret_value()) == secret


def test_a_database_by_file_is_a_database_that_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Settings().names_database
    monkeypatch.setenv("DATABASE_URL", "")
    assert not Settings().names_database
    monkeypatch.setenv("DATABASE_URL_FILE", str(file))
    settings = Settings()
    assert settings.names_database
    assert not settings.names_broker


@pytest.mark.parametrize("other", ["OPENAI_API_KEY", "openai_api_key"])
def test_a_secret_that_is_set_twice_is_refused(other: str, file: Path) -> None:
    with pytest.raises(InvalidInput, match="OPENAI_API_KEY_FILE: OPENAI_API_KEY is set too; set one of the two"):
        read_secret_files({other: "sk", "OPENAI_API_KEY_FILE": str(file)})
    assert read_secret_files({other: "", "OPENAI_API_KEY_FILE": str(file)}) == {"openai_api_key": SECRET}
    assert read_secret_files({other: "sk", "OPENAI_API_KEY_FILE": ""}) == {}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"marked-secret\xff", "is not UTF-8"),
        (b"marked-secret\nmarked-secret", "holds more than one line"),
        (b"x" * (MOST_BYTES + 1), "is longer than 100,000 bytes"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused_without_its_text(content: bytes, why: str, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=why) as refused:
        read_secret_files({"REDIS_URL_FILE": str(file)})
    assert "marked-secret" not in refused.value.detail
    assert "marked-secret" not in repr(refused.value.__cause__)
    assert [each.loc for each in refused.value.errors] == ["REDIS_URL_FILE"]


def test_what_cannot_be_read_says_why_and_all_of_it_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: no such file or directory") as refused:
        read_secret_files({"REDIS_URL_FILE": str(tmp_path / "none"), "DATABASE_URL_FILE": str(tmp_path)})
    assert "DATABASE_URL_FILE" in refused.value.detail
    assert "cannot be read: is a directory" in refused.value.detail


def test_doctor_names_the_variable_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY_FILE", str(tmp_path / "none"))
    load_settings.cache_clear()
    try:
        _, wrong = load_what_can_be()
    finally:
        load_settings.cache_clear()
    assert [each.name for each in wrong] == ["ANTHROPIC_API_KEY_FILE"]


def test_only_workers_learn_where_provider_keys_are() -> None:
    given = {"OPENAI_API_KEY_FILE": "/a", "anthropic_api_key_file": "/b", "DATABASE_URL_FILE": "/c", "LANG": "C"}
    told = common_environment(given)
    assert not {"OPENAI_API_KEY_FILE", "anthropic_api_key_file"} & set(told)
    assert "DATABASE_URL_FILE" not in told, "each process is told the URL itself"
    assert told["LANG"] == "C"
