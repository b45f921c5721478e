"""The tokenizers: any of Hugging Face's from a folder, and one of bytes that needs no file."""

from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from training.errors import BadRun
from training.settings import BYTES

# An assistant's turn ends in EOS and nothing follows it: what a template writes is what we train on.
BYTE_TEMPLATE = """\
{{ bos_token }}{% for message in messages %}\
{% if message['role'] == 'assistant' %}{{ '<|assistant|>' + message['content'] + eos_token }}\
{% elif message['role'] == 'system' %}{{ '<|system|>' + message['content'] }}\
{% else %}{{ '<|user|>' + message['content'] }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""

# For a tokenizer that brings no template of its own, as those of base models do. It is saved with the trained model.
PLAIN_TEMPLATE = """\
{{ bos_token }}{% for message in messages %}{{ message['role'] | capitalize }}:\n{{ message['content'] }}\
{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ '\\n\\n' }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ 'Assistant:\\n' }}{% endif %}"""


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """UTF-8 as it is: id b is the byte b, so every text comes back; six special tokens follow (262 ids)."""
    names = {"pad_token": "<|pad|>", "bos_token": "<|bos|>", "eos_token": "<|eos|>"}
    # BPE without merges, over the letters that stand for bytes.
    core = Tokenizer(models.BPE(vocab={letter: byte for byte, letter in bytes_to_unicode().items()}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    special = [*names.values(), "<|system|>", "<|user|>", "<|assistant|>"]
    core.add_special_tokens([AddedToken(each, special=True, normalized=False) for each in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, chat_template=BYTE_TEMPLATE, clean_up_tokenization_spaces=False, **names
    )


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """`bytes`, or the tokenizer in a folder; nothing is fetched. Raises BadRun."""
    if name == BYTES:
        return byte_tokenizer()
    if not Path(name).is_dir():
        raise BadRun(f"There is no folder {name} with a tokenizer; name one, or take --tokenizer {BYTES}.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        why = " ".join(str(error).split())[:200]
        raise BadRun(f"{name} has no tokenizer that transformers can read ({why}); it needs tokenizer.json.") from None
    if tokenizer.eos_token_id is None:
        raise BadRun(f"The tokenizer in {name} has no EOS token, so no model could learn to stop: set its eos_token.")
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


def pad_id_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """Any id will do, EOS too: labels and masks are made from positions, never from ids."""
    return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)
