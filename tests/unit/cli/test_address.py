"""Where the client's key comes from, and that it is not shown."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from cli.address import api_key
from cli.client import ApiProblem
from cli.exchange import bearing
from shared.access.key_text import make_key
from shared.errors import InvalidInput
from shared.settings import Settings

KEY = make_key()


def found(**set_to: object) -> str | None:
    key = api_key(Settings.model_validate(set_to))
    assert KEY not in repr(key)
    return key.get_secret_value() if key else None


def test_the_variable_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    assert found() is None
    assert found(api_key_file=file) == KEY
    assert found(api_key="qm_other", api_key_file=file) == "qm_other"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"QUESTMILL_API_KEY_FILE: .*key cannot be read"):
        found(api_key_file=file)


@pytest.mark.parametrize(
    "wrong", ["", "sk-123", f"{KEY}x", f"{KEY[:20]}\n{KEY[20:]}"], ids=["none", "foreign", "long", "cut"]
)
def test_what_is_no_key_is_not_sent_and_not_shown(wrong: str) -> None:
    with pytest.raises(ApiProblem) as caught:
        bearing(SecretStr(wrong))
    assert not wrong or wrong not in str(caught.value)
    assert bearing(SecretStr(f" {KEY}\n")) == {"Authorization": f"Bearer {KEY}"}
    assert bearing(None) == {}
