"""From a row to ids, and from ids to labels: by position, never by searching for a string or an id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from training.errors import BadRun

# What torch's cross entropy leaves out.
IGNORED = -100
NO_LEAD, LINE_END = "", "\n"
PROBE = "a"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row's ids. What stands after the prompt is trained, EOS included, and nothing else."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """The whole row."""
        return self.prompt_ids + self.completion_ids

    @property
    def labels(self) -> tuple[int, ...]:
        """As long as `ids`; IGNORED over the prompt. Not shifted: position i is what position i - 1 predicts."""
        return (IGNORED,) * len(self.prompt_ids) + self.completion_ids

    @property
    def trained(self) -> int:
        """How many tokens are trained."""
        return len(self.completion_ids)

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)


def encode(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Mapping[str, Any]]) -> list[Encoded]:
    """Prompts by the tokenizer's chat template up to where the answer begins; answers as they are, and EOS.

    Special tokens are only what the template writes. Text in a row that reads like one ("</s>", "<|im_end|>") stays
    text: it neither ends an answer nor opens a turn. BOS comes from the template, so it stands once.
    """
    if not rows:
        return []
    prompts = chat_ids(tokenizer, [row["prompt"] for row in rows], add_generation_prompt=True)
    answers = answer_ids(tokenizer, [answer_of(row) for row in rows], lead_of(tokenizer))
    eos = tokenizer.eos_token_id
    return [Encoded(tuple(prompt), (*answer, eos)) for prompt, answer in zip(prompts, answers, strict=True)]


def lead_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """What an answer is encoded behind, to begin as it does in the chat template: nothing, or a line's end.

    Tokenizers of SentencePiece's kind put a blank before a text. Where a template has a blank before the answer that
    is right; where it has a line's end, the blank would be learnt as the beginning of every answer. A short answer
    tells which of the two a template has.
    """
    question, answer = {"role": "user", "content": PROBE}, {"role": "assistant", "content": PROBE}
    (prompt,) = chat_ids(tokenizer, [[question]], add_generation_prompt=True)
    (whole,) = chat_ids(tokenizer, [[question, answer]])
    for lead in (NO_LEAD, LINE_END):
        (ids,) = answer_ids(tokenizer, [PROBE], lead)
        if whole[: len(prompt) + len(ids)] == [*prompt, *ids]:
            return lead
    return NO_LEAD


def answer_ids(tokenizer: PreTrainedTokenizerBase, answers: Sequence[str], lead: str) -> list[list[int]]:
    """The ids of answers behind `lead`, without its own; as they are alone, where a token goes across the two."""
    alone = plain_ids(tokenizer, answers)
    if not lead:
        return alone
    (before,) = plain_ids(tokenizer, [lead])
    behind = plain_ids(tokenizer, [lead + answer for answer in answers])
    return [
        ids[len(before) :] if ids[: len(before)] == before else itself
        for ids, itself in zip(behind, alone, strict=True)
    ]


def plain_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """The ids of texts in which nothing is a special token."""
    ids: list[list[int]] = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return ids


def chat_ids(
    tokenizer: PreTrainedTokenizerBase, chats: Sequence[Any], *, add_generation_prompt: bool = False
) -> list[list[int]]:
    """What the chat template makes of each list of messages. Raises BadRun where it refuses them."""
    try:
        return tokenizer.apply_chat_template(
            list(chats), add_generation_prompt=add_generation_prompt, sanitize_control_tokens=True, return_dict=True
        )["input_ids"]
    except Exception as error:  # noqa: BLE001 - a template is a program, and raises what it likes
        why = " ".join(str(error).split())[:200]
        raise BadRun(f"The tokenizer's chat template takes no question and answer: {why}") from None


def answer_of(row: Mapping[str, Any]) -> str:
    """The text that is trained."""
    return str(row["completion"][0]["content"])
