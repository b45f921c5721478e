import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.spec_file import BadSpecFile, read_spec

SPEC = {"dataset": "d", "mix": {"domains": {"math": 3}}}
# Some hundred bytes that stand for a thousand million values.
BOMB = b"a0: &a0 [x]\n" + b"".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n".encode() for n in range(1, 10))
MERGED_BOMB = b"a0: &a0 {x: 1}\n" + b"".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n".encode() for n in range(1, 10)
)


def write(folder: Path, content: bytes) -> str:
    path = folder / "spec"
    path.write_bytes(content)
    return str(path)


def test_json_and_yaml_say_the_same(tmp_path: Path) -> None:
    assert read_spec(write(tmp_path, json.dumps(SPEC, indent="\t").encode())) == SPEC
    assert read_spec(write(tmp_path, b"dataset: d\nmix:\n  domains: {math: 3}\n")) == SPEC
    assert read_spec(write(tmp_path, b"{dataset: d, mix: {domains: {math: 3}}}")) == SPEC


def test_stdin_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(json.dumps(SPEC).encode())))
    assert read_spec("-") == SPEC


def test_anchors_and_merges_work(tmp_path: Path) -> None:
    found = read_spec(write(tmp_path, b"a: &one {x: 1}\nb: {<<: *one, y: 2}\n"))
    assert found["b"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a: 1\na: 2\n", "'a' is given twice (line 2, column 1)"),
        (b'{"a": {"b": 1, "b": 2}}', "'b' is given twice"),
        (b'{"a": 1', "spec is not valid"),
        (b"a: [1\nb: 2", "not valid YAML"),
        (b"\xff", "not UTF-8 (byte 0)"),
        (b"- a\n- b\n", "a mapping with `dataset` and `mix`"),
        (b"", "a mapping with `dataset` and `mix`"),
        (b"when: 2024-01-01\n", "spec is not valid: when: YAML reads this as a date; put quotes around it."),
        (b"2024-01-01: 1\n", "spec is not valid: 2024-01-01: YAML reads this as a date"),
        (b"a: {b: [1, !!binary aGk=]}\n", "spec is not valid: a.b.1: YAML reads this as a bytes"),
        (b"share: .nan\n", "spec is not valid: share: nan is no number to count with."),
        (b'{"mix": {"share": -Infinity}}', "spec is not valid: mix.share: -inf is no number to count with."),
        (b"a: &a [*a]\n", "with its aliases it stands for more than 1,000,000 values"),
        (BOMB, "with its aliases it stands for more than 1,000,000 values"),
        (MERGED_BOMB, "with its aliases it stands for more than 1,000,000 values"),
        (b"a: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
        (b"? [a]\n: 1\n", "a key must be plain text"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(BadSpecFile) as caught:
        read_spec(write(tmp_path, content))
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = write(tmp_path_factory.getbasetemp(), content)
    complaint = ""
    try:
        read_spec(path)
    except BadSpecFile as error:
        complaint = str(error)
    assert "\n" not in complaint
