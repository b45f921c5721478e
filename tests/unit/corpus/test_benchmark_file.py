import pytest

from shared.corpus import benchmark_file
from shared.corpus.benchmark_file import BadItem, BenchmarkFile, BenchmarkLine, parse_item
from shared.corpus.upload import OVERLONG
from shared.errors import TooLarge


@pytest.mark.parametrize(
    ("line", "item"),
    [
        (b'{"question": "Why?", "id": 7}', BenchmarkLine("Why?", "7", "question")),
        (b'{"prompt": "def f():", "task_id": "HumanEval/3"}', BenchmarkLine("def f():", "HumanEval/3", "prompt")),
        (b'{"text": "Why?", "question": null, "id": " \\u0000"}', BenchmarkLine("Why?", None, "text")),
        (b'{"text": "a", "question": "b", "id": true}', BenchmarkLine("b", None, "question")),
        ("Why\u2026?".encode(), BenchmarkLine("Why\u2026?", None, "line")),
        (b"[1, 2] is a list?", BenchmarkLine("[1, 2] is a list?", None, "line")),
    ],
)
def test_a_line_is_an_object_or_the_question_itself(line: bytes, item: BenchmarkLine) -> None:
    assert parse_item(line) == item


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"question": ', "not JSON: unexpected end of data at column"),
        (b'{"answer": 4}', "none of question, prompt, text is there"),
        (b'{"question": ["Why?"]}', "question is not a text"),
        (b'{"text": " "}', "text is empty"),
        (b'{"question": "\xff"}', "invalid UTF-8 at byte 15"),
        (b"caf\xe9", "invalid UTF-8 at byte 4"),
        (OVERLONG, "longer than 1,000,000 bytes"),
    ],
)
def test_a_bad_line_says_why(line: bytes, why: str) -> None:
    with pytest.raises(BadItem, match=why):
        parse_item(line)


def test_one_bad_line_is_one_problem_and_repeats_count_once() -> None:
    file = BenchmarkFile()
    file.read_lines([b"\xef\xbb\xbf" + b'{"question": "Why is it so?", "id": "a"}', b"", b"{", b"Q: why is it so?"])
    file.read_lines([b'{"text": "And then?"}\r'])
    assert [reference for reference, _ in file.items] == ["a", "line 5"]
    assert (file.read, file.repeats, file.invalid, file.fields) == (4, 1, 1, {"question": 1, "text": 1})
    assert [line for line, _ in file.problems] == [3]


def test_a_set_that_is_too_large_is_refused_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_file, "MOST_HASHES", 20)
    with pytest.raises(TooLarge, match="at line 3"):
        BenchmarkFile().read_lines([b"Ann met Bob and Eve?", b"Who was that?", b"Alpha beta gamma delta epsilon?"])
