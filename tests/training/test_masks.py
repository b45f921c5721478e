"""What is trained of each row: its answer and EOS, by position, whatever its text says."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers

from tests.training.models import CHATML, bpe_tokenizer, prefixing_tokenizer
from tests.training.rows import NASTY, row, some_rows
from training.encoding import IGNORED, Encoded, answer_of, chat_ids, encode
from training.masks import Wrong, check_rows, trained_ids, wrong_labels, wrong_template
from training.tokenizing import PLAIN_TEMPLATE, byte_tokenizer

ROWS = some_rows(80)
BYTES = byte_tokenizer()
# ChatML as most write it: a line's end after every turn.
ENDING_LINES = """\
{% for message in messages %}\
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
BPE = bpe_tokenizer(row["answer"] for row in ROWS)


@pytest.mark.parametrize("tokenizer", [BYTES, BPE], ids=["bytes", "bpe"])
def test_trained_ids_of_every_row_decode_to_its_answer_and_eos(tokenizer: Any) -> None:
    for each, encoded in zip(ROWS, encode(tokenizer, ROWS), strict=True):
        *answer, eos = trained_ids(encoded)
        assert tokenizer.decode(answer) == answer_of(each)
        assert eos == tokenizer.eos_token_id


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=300)
def test_bytes_give_back_any_text(text: str) -> None:
    (encoded,) = encode(BYTES, [row(1, "q", text)])
    assert BYTES.decode(encoded.completion_ids[:-1]) == text
    assert list(encoded.completion_ids) == [*text.encode(), BYTES.eos_token_id]


@pytest.mark.parametrize("tokenizer", [BYTES, BPE], ids=["bytes", "bpe"])
def test_text_that_reads_like_a_special_token_stays_text(tokenizer: Any) -> None:
    special = [each.content for each in tokenizer.added_tokens_decoder.values()]
    text = " ".join(special)
    (plain,), (nasty,) = (encode(tokenizer, [row(1, said, said)]) for said in ("x", text))
    count = {token: nasty.ids.count(token) for token in tokenizer.added_tokens_decoder}
    assert count == {token: plain.ids.count(token) for token in tokenizer.added_tokens_decoder}
    report = check_rows(tokenizer, [row(1, text, text)])
    assert report.like_special == 1
    assert report.wrong == {}


def test_a_clean_bundle_has_nothing_wrong() -> None:
    for tokenizer in (BYTES, BPE):
        report = check_rows(tokenizer, ROWS)
        assert report.wrong == {}
        assert report.rows == len(ROWS)
        trained = sum(len(trained_ids(each)) for each in encode(tokenizer, ROWS))
        assert sum(cell.trained_tokens for cell in report.cells.values()) == trained


def test_shares_are_of_trained_tokens() -> None:
    rows = [row(1, "two words", "a" * 9), row(2, "four words are here", "b" * 29, difficulty="hard")]
    report = check_rows(BYTES, rows)
    assert report.shares("easy") == {
        "rows": 1 / 2,
        "prompt_tokens": 2 / 6,
        "completion_tokens": 1 / 2,
        "trained_tokens": 10 / 40,
    }


ENCODED = encode(BYTES, [row(1, "why?", "so")])[0]


class Relabelled(Encoded):
    """A mutant: its labels are what it is told."""

    def __init__(self, labels: tuple[int, ...], encoded: Encoded = ENCODED) -> None:
        super().__init__(encoded.prompt_ids, encoded.completion_ids)
        object.__setattr__(self, "told", labels)

    @property
    def labels(self) -> tuple[int, ...]:
        return self.told  # type: ignore[attr-defined]


def test_each_wrong_label_is_found() -> None:
    labels = ENCODED.labels
    prompt = len(ENCODED.prompt_ids)
    assert wrong_labels(BYTES, Relabelled(labels)) == []
    one_more = (*labels[: prompt - 1], ENCODED.ids[prompt - 1], *labels[prompt:])
    assert wrong_labels(BYTES, Relabelled(one_more)) == [Wrong.PROMPT_TRAINED]
    assert wrong_labels(BYTES, Relabelled((*labels[:-1], IGNORED))) == [Wrong.EOS_UNTRAINED]
    by_id = tuple(IGNORED if label == BYTES.eos_token_id else label for label in labels)  # pad = eos, masked by id
    assert wrong_labels(BYTES, Relabelled(by_id)) == [Wrong.EOS_UNTRAINED]
    assert Wrong.ALL_MASKED in wrong_labels(BYTES, Relabelled((IGNORED,) * len(labels)))
    twice = Encoded((BYTES.bos_token_id, *ENCODED.prompt_ids), ENCODED.completion_ids)
    assert wrong_labels(BYTES, twice) == [Wrong.BOS_AGAIN]


def test_a_lossy_tokenizer_an_empty_answer_and_a_long_row_are_found() -> None:
    lossy = byte_tokenizer()
    lossy.backend_tokenizer.normalizer = normalizers.Lowercase()
    rows = [row(1, "a", "Ada"), row(2, "b", "ada"), row(3, "c", ""), row(4, "d", "d" * 90)]
    report = check_rows(lossy, rows, max_tokens=50)
    assert report.wrong == {Wrong.LOSSY: [1], Wrong.NO_ANSWER: [3], Wrong.TOO_LONG: [4]}
    assert report.wrong_rows == 3


def test_templates_that_differ_with_the_answer_are_found() -> None:
    trims = bpe_tokenizer(NASTY, template=CHATML.replace("message['content']", "message['content'] | trim"))
    rows = [row(1, "q", " padded "), row(2, "q", "plain")]
    assert check_rows(trims, rows).wrong == {Wrong.OTHER_TEMPLATE: [1]}
    other_end = bpe_tokenizer(NASTY)
    other_end.eos_token = "<|im_start|>"  # the template closes with <|im_end|>
    assert check_rows(other_end, rows).wrong == {Wrong.OTHER_TEMPLATE: [1, 2]}


# As two families of models with SentencePiece's tokenizers have it: an answer on a line of its own, or after a blank.
OWN_LINE = """\
{% for message in messages %}\
{{ '<|' + message['role'] + '|>\\n' + message['content'] + eos_token + '\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"""
AFTER_A_BLANK = """\
{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}\
{{ '[INST] ' + message['content'] + '[/INST]' }}{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}\
{% endfor %}"""


@pytest.mark.parametrize("template", [OWN_LINE, AFTER_A_BLANK, PLAIN_TEMPLATE], ids=["line", "blank", "plain"])
def test_an_answer_begins_as_in_the_template_when_a_tokenizer_puts_a_blank_before_a_text(template: str) -> None:
    tokenizer = prefixing_tokenizer((row["answer"] for row in ROWS), template)
    assert check_rows(tokenizer, ROWS).wrong == {}
    ours, (whole, *_) = (
        encode(tokenizer, ROWS[20:21]),
        chat_ids(tokenizer, [[*ROWS[20]["prompt"], *ROWS[20]["completion"]]]),
    )
    assert ours[0].ids == tuple(whole[: len(ours[0])])


def test_other_ids_of_the_same_text_where_an_answer_begins_are_told_and_not_wrong() -> None:
    """Two line ends are one token at the end of the prompt, and two before an answer: at inference it is one."""
    two_lines = CHATML.replace("\\n' + message['content']", "\\n\\n' + message['content']").replace("t\\n'", "t\\n\\n'")
    tokenizer = bpe_tokenizer(["\n\n"] * 50 + NASTY, template=two_lines)
    rows = [row(1, "q", "an answer"), row(2, "q", "another")]
    (ours, _), (whole, _) = (
        encode(tokenizer, rows),
        chat_ids(tokenizer, [[*each["prompt"], *each["completion"]] for each in rows]),
    )
    assert ours.ids != tuple(whole[: len(ours)])
    report = check_rows(tokenizer, rows)
    assert report.wrong == {}
    assert report.cut_otherwise == report.to_json()["cut_otherwise"] == 2


def test_odd_rows_have_labels_and_are_told() -> None:
    rows = [row(1, "", "no question"), row(2, "one blank", " "), row(3, "long", "x" * 100_000), row(4, "", "")]
    report = check_rows(BYTES, rows)
    assert report.wrong == {Wrong.NO_ANSWER: [2, 4]}
    assert report.longest == 3 + len("long") + 100_000 + 1
    assert [each.trained for each in encode(BYTES, rows)] == [12, 2, 100_001, 1]


def test_what_a_template_writes_behind_eos_is_told_and_not_trained() -> None:
    behind = bpe_tokenizer(NASTY, template=ENDING_LINES)
    report = check_rows(behind, ROWS)
    assert report.wrong == {}
    assert set(report.after_eos) == {1}


def test_the_plain_template_writes_bos_once_and_ends_in_eos() -> None:
    plain = byte_tokenizer()
    plain.chat_template = PLAIN_TEMPLATE
    assert check_rows(plain, ROWS).wrong == {}
    (encoded,) = encode(plain, [row(1, "why?", "so")])
    assert plain.decode(encoded.ids) == "<|bos|>User:\nwhy?\n\nAssistant:\nso<|eos|>"


def test_template_of_ours_must_begin_the_templates() -> None:
    assert wrong_template(ENCODED, [*ENCODED.ids, 10]) == []
    assert wrong_template(ENCODED, ENCODED.ids[:-1]) == [Wrong.OTHER_TEMPLATE]
