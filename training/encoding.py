"""From a row to ids, and from ids to labels: by position, never by searching for a string or an id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

# What torch's cross entropy leaves out.
IGNORED = -100


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
    answers = tokenizer([answer_of(row) for row in rows], add_special_tokens=False, split_special_tokens=True)
    eos = tokenizer.eos_token_id
    return [
        Encoded(tuple(prompt), (*answer, eos)) for prompt, answer in zip(prompts, answers["input_ids"], strict=True)
    ]


def chat_ids(
    tokenizer: PreTrainedTokenizerBase, chats: Sequence[Any], *, add_generation_prompt: bool = False
) -> list[list[int]]:
    """What the chat template makes of each list of messages."""
    return tokenizer.apply_chat_template(
        list(chats), add_generation_prompt=add_generation_prompt, sanitize_control_tokens=True, return_dict=True
    )["input_ids"]


def answer_of(row: Mapping[str, Any]) -> str:
    """The text that is trained."""
    return str(row["completion"][0]["content"])
