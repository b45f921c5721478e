"""Tokenizers and models small enough for a test."""

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHATML = """\
{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' }}\
{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '\\n<|im_start|>assistant\\n' }}{% endif %}"""


def bpe_tokenizer(texts: Iterable[str], vocabulary: int = 400, template: str = CHATML) -> PreTrainedTokenizerFast:
    """Trained here on the texts: byte-level BPE, ChatML, EOS is <|im_end|> and is the padding too."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(texts, trainer)
    core.add_special_tokens([AddedToken(each, special=True) for each in ("<|im_start|>", "<|im_end|>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|im_end|>", chat_template=template
    )


def prefixing_tokenizer(texts: Iterable[str], template: str) -> PreTrainedTokenizerFast:
    """Like SentencePiece's: a blank is "▁", one is put before a text, and characters that are not known are bytes."""
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False)
    core.train_from_iterator((word for text in texts for word in text.split()), trainer)
    learnt = json.loads(core.to_str())["model"]
    merges = [tuple(each) for each in learnt["merges"]]
    core.model = models.BPE(vocab=learnt["vocab"], merges=merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    core = Tokenizer.from_str(json.dumps({**json.loads(core.to_str()), "added_tokens": []}))
    core.add_special_tokens([AddedToken(each, special=True, normalized=False) for each in special[:3]])
    strip = decoders.Strip(" ", 1, 0)
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), strip])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=template
    )


@cache
def small_llama(vocabulary: int = 262, seed: int = 3) -> Any:
    """A random Llama of some 20,000 parameters, of unequal weights so that nothing cancels out."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.2,
        attn_implementation="eager",
    )
    return LlamaForCausalLM(config).eval()
