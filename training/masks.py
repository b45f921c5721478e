"""What a trainer will learn of each row: counted by cell, and each row that would teach something else found."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from transformers import PreTrainedTokenizerBase

from training.encoding import IGNORED, Encoded, answer_of, chat_ids, encode, lead_of, plain_ids

ROWS_AT_ONCE = 1000
EXAMPLES = 5
NO_LIMIT = 1_000_000  # transformers' own default for a tokenizer that names no length is far above


class Wrong(StrEnum):
    """What can be wrong with a row."""

    NO_ANSWER = "no_answer"  # only EOS would be trained
    ALL_MASKED = "all_masked"  # no label at all
    PROMPT_TRAINED = "prompt_trained"  # a label where the question stands
    EOS_UNTRAINED = "eos_untrained"  # the last label is not EOS: the model would not learn to stop
    LOSSY = "lossy"  # the trained ids do not decode to answer + EOS
    BOS_AGAIN = "bos_again"  # BOS stands more than once
    TOO_LONG = "too_long"
    OTHER_TEMPLATE = "other_template"  # the chat template of question and answer together gives other ids


MEANING = {
    Wrong.NO_ANSWER: "have an empty answer, so nothing but EOS would be trained",
    Wrong.ALL_MASKED: "would train nothing",
    Wrong.PROMPT_TRAINED: "would train tokens of the question",
    Wrong.EOS_UNTRAINED: "would not train EOS, so the model would not learn to stop",
    Wrong.LOSSY: "do not come back from this tokenizer as they are: it drops or changes some characters",
    Wrong.BOS_AGAIN: "hold BOS more than once",
    Wrong.TOO_LONG: "are longer than --max-tokens; ./run train refuses them, or drops them with --over-length drop",
    Wrong.OTHER_TEMPLATE: "get other ids from the chat template of question and answer together: "
    "at inference the model would see another context, or another end, than it is trained on",
}


@dataclass(slots=True)
class Cell:
    """The sums of one domain and difficulty. The first two token counts are the bundle's, by its own tokenizer."""

    rows: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    trained_tokens: int = 0
    masked_tokens: int = 0


@dataclass(slots=True)
class Report:
    """What was found in all rows."""

    rows: int = 0
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    wrong: dict[Wrong, list[int]] = field(default_factory=dict)  # ids of rows
    wrong_rows: int = 0
    like_special: int = 0  # rows with text that reads like a special token, encoded as text
    cut_otherwise: int = 0  # other rows of which the template of question and answer gives other ids of the same text
    after_eos: Counter[int] = field(default_factory=Counter)  # tokens that the template adds behind EOS, not trained
    longest: int = 0

    def shares(self, difficulty: str) -> dict[str, float]:
        """One difficulty's share of rows and of each kind of token."""
        cells = self.cells.items()
        return {
            name: sum(getattr(cell, name) for key, cell in cells if key[1] == difficulty)
            / max(1, sum(getattr(cell, name) for _, cell in cells))
            for name in ("rows", "prompt_tokens", "completion_tokens", "trained_tokens")
        }

    def to_json(self) -> dict[str, Any]:
        """Plain data; shares from 0 to 1."""
        names = ("rows", "prompt_tokens", "completion_tokens", "trained_tokens", "masked_tokens")
        return {
            "rows": self.rows,
            "longest": self.longest,
            "cells": [
                {"domain": key[0], "difficulty": key[1], **{name: getattr(cell, name) for name in names}}
                for key, cell in sorted(self.cells.items())
            ],
            "shares": {each: self.shares(each) for each in sorted({key[1] for key in self.cells})},
            "wrong_rows": self.wrong_rows,
            "wrong": {
                kind.value: {"rows": len(ids), "first": ids[:EXAMPLES], "meaning": MEANING[kind]}
                for kind, ids in self.wrong.items()
            },
            "like_special": self.like_special,
            "cut_otherwise": self.cut_otherwise,
            "after_eos": dict(self.after_eos),
        }


def check_rows(
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, Any]],
    *,
    max_tokens: int | None = None,
    told: Callable[[int], None] = lambda _: None,
) -> Report:
    """Encode every row as training does and look at the outcome; `told` hears how many rows are done."""
    report = Report()
    special = [each.content for each in tokenizer.added_tokens_decoder.values() if each.special]
    lead = lead_of(tokenizer)
    before = plain_ids(tokenizer, [lead])[0] if lead else []
    for chunk in _chunks(rows):
        encoded = encode(tokenizer, chunk)
        together = chat_ids(tokenizer, [[*row["prompt"], *row["completion"]] for row in chunk])
        # Behind what it is encoded behind: decoders take the blank off that they find at the beginning of a text.
        decoded = tokenizer.batch_decode([[*before, *trained_ids(each)[:-1]] for each in encoded])
        for row, each, whole, behind in zip(chunk, encoded, together, decoded, strict=True):
            text = behind.removeprefix(lead)
            like_special = any(token in _text_of(row) for token in special)
            other = wrong_template(each, whole)
            # Other ids of the same text: cut at what reads like a token, or where the prompt's end and the answer meet.
            same = bool(other) and tokenizer.decode(whole).startswith(tokenizer.decode(each.ids))
            wrong = [*wrong_labels(tokenizer, each), *wrong_text(row, text), *([] if same else other)]
            if max_tokens is not None and len(each) > max_tokens:
                wrong.append(Wrong.TOO_LONG)
            _add(report, row, each, wrong)
            report.cut_otherwise += same and not like_special
            if not other:
                report.after_eos[len(whole) - len(each)] += 1
            report.like_special += like_special
        told(report.rows)
    return report


def trained_ids(encoded: Encoded) -> list[int]:
    """What the labels train, read from the labels."""
    return [label for label in encoded.labels if label != IGNORED]


def wrong_labels(tokenizer: PreTrainedTokenizerBase, encoded: Encoded) -> list[Wrong]:
    """What the labels say, told apart by position."""
    eos, bos = tokenizer.eos_token_id, tokenizer.bos_token_id
    labels, length = encoded.labels, len(encoded.prompt_ids)
    wrong = []
    if all(label == IGNORED for label in labels):
        wrong.append(Wrong.ALL_MASKED)
    if any(label != IGNORED for label in labels[:length]):
        wrong.append(Wrong.PROMPT_TRAINED)
    if labels[-1] != eos:
        wrong.append(Wrong.EOS_UNTRAINED)
    if bos is not None and (encoded.prompt_ids.count(bos) > 1 or bos in encoded.completion_ids[:-1]):
        wrong.append(Wrong.BOS_AGAIN)
    return wrong


def wrong_text(row: Mapping[str, Any], decoded: str) -> list[Wrong]:
    """What the trained ids say without their EOS, beside the answer."""
    answer = answer_of(row)
    return [*([Wrong.NO_ANSWER] if not answer.strip() else []), *([Wrong.LOSSY] if decoded != answer else [])]


def wrong_template(encoded: Encoded, together: Sequence[int]) -> list[Wrong]:
    """Our ids must be how the template's begin; what some write behind EOS, a line's end, need not be learnt."""
    return [] if tuple(together[: len(encoded)]) == encoded.ids else [Wrong.OTHER_TEMPLATE]


def limit_of(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The length that a tokenizer says its model takes, in tokens."""
    return int(tokenizer.model_max_length) if tokenizer.model_max_length < NO_LIMIT else None


def _add(report: Report, row: Mapping[str, Any], encoded: Encoded, wrong: Sequence[Wrong]) -> None:
    trained = len(trained_ids(encoded))
    cell = report.cells.setdefault((row["domain"], row["difficulty"]), Cell())
    cell.rows += 1
    cell.prompt_tokens += row["prompt_tokens"]
    cell.completion_tokens += row["completion_tokens"] or 0
    cell.trained_tokens += trained
    cell.masked_tokens += len(encoded) - trained
    report.rows += 1
    report.longest = max(report.longest, len(encoded))
    report.wrong_rows += bool(wrong)
    for kind in wrong:
        report.wrong.setdefault(kind, []).append(row["id"])


def _text_of(row: Mapping[str, Any]) -> str:
    return "\n".join(message["content"] for message in (*row["prompt"], *row["completion"]))


def _chunks(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield rows[start : start + ROWS_AT_ONCE]
