"""The model of a run: a random little Llama, or one from a folder, whole or through LoRA."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase
from transformers.utils import logging

from training.errors import BadRun
from training.run_folder import unwritten
from training.settings import BYTES, TINY, Algo
from training.tokenizing import load_tokenizer

# Its bars would stand among ours.
logging.disable_progress_bar()

# Second order needs attention whose gradient can be differentiated again; the fused kernels' cannot. Else it is what
# transformers takes for the model: fused where it has that.
TWICE_DIFFERENTIABLE = "eager"
LORA_ALPHA_PER_RANK = 2


@dataclass(frozen=True, slots=True)
class Model:
    """A causal model and the parameters that are trained, by name. Dropout is off: the same step is the same step."""

    module: Any
    parameters: dict[str, torch.Tensor]
    attention: str

    def describe(self) -> dict[str, Any]:
        """How large it is, and how much of it is trained."""
        return {
            "kind": self.module.config.model_type,
            "parameters": sum(each.numel() for each in self.module.parameters()),
            "trained_parameters": sum(each.numel() for each in self.parameters.values()),
            "attention": self.attention,
        }

    def save(self, folder: Path, parameters: Mapping[str, torch.Tensor], tokenizer: PreTrainedTokenizerBase) -> None:
        """Write it with these parameters: an adapter for peft, or a whole model for transformers. Raises BadRun."""
        with torch.no_grad():
            for name, tensor in parameters.items():
                self.parameters[name].copy_(tensor)
        try:
            self.module.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        except (OSError, SafetensorError) as error:
            raise unwritten(folder, error) from None


def tokenizer_for(model: str) -> PreTrainedTokenizerBase:
    """Bytes for tiny, else the model's own. Raises BadRun."""
    if model != TINY:
        _require_model(model)
    return load_tokenizer(BYTES if model == TINY else model)


def load_model(
    name: str, tokenizer: PreTrainedTokenizerBase, *, algo: Algo, lora_rank: int, seed: int, max_tokens: int
) -> Model:
    """`tiny`, or what a folder holds; `lora_rank` 0 trains all of it. Raises BadRun."""
    if name == TINY and lora_rank:
        raise BadRun("tiny is in no folder that an adapter could belong to: train all of it, with --lora-rank 0.")
    attention = TWICE_DIFFERENTIABLE if algo is Algo.MAML else None
    torch.manual_seed(seed)
    module = tiny_llama(tokenizer, attention) if name == TINY else _from_folder(name, attention)
    _require_fit(module, tokenizer, name, max_tokens)
    if lora_rank:
        module = with_lora(module, lora_rank)
    trained = {each: tensor for each, tensor in module.named_parameters() if tensor.requires_grad}
    taken = module.config._attn_implementation  # noqa: SLF001 - transformers tells it nowhere else
    return Model(module.eval(), trained, taken)


def tiny_llama(tokenizer: PreTrainedTokenizerBase, attention: str | None) -> Any:
    """About a million random parameters: two layers of 192, three heads."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=3,
        num_key_value_heads=3,
        max_position_embeddings=16_384,
        attn_implementation=attention,
    )
    return LlamaForCausalLM(config)


def with_lora(module: Any, rank: int) -> Any:
    """Adapters on every linear layer but the head (Hu et al. 2021); they are the parameters that are trained."""
    config = LoraConfig(
        r=rank,
        lora_alpha=LORA_ALPHA_PER_RANK * rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that has become another
        return get_peft_model(module, config)


def _from_folder(name: str, attention: str | None) -> Any:
    _require_model(name)
    try:
        return AutoModelForCausalLM.from_pretrained(
            name, local_files_only=True, attn_implementation=attention, dtype=torch.float32
        )
    except (OSError, ValueError, KeyError) as error:
        why = " ".join(str(error).split())[:200]
        raise BadRun(f"{name} holds no causal model that transformers can load: {why}") from None


def _require_model(name: str) -> None:
    if not Path(name).is_dir():
        raise BadRun(f"There is no folder {name} with a model: --model takes {TINY} or a folder; nothing is fetched.")
    if not (Path(name) / "config.json").is_file():
        raise BadRun(f"{name} has no config.json, so it is no model's folder; save one with save_pretrained there.")
    try:
        AutoConfig.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        why = " ".join(str(error).split())[:200]
        raise BadRun(f"{name}/config.json cannot be read: {why}") from None


def _require_fit(module: Any, tokenizer: PreTrainedTokenizerBase, name: str, max_tokens: int) -> None:
    room = module.get_input_embeddings().num_embeddings
    if len(tokenizer) > room:
        raise BadRun(
            f"The tokenizer in {name} has {len(tokenizer):,} ids and its model embeds {room:,}: they are no pair."
        )
    positions = getattr(module.config, "max_position_embeddings", None)
    if positions is not None and max_tokens > positions:
        raise BadRun(f"{name} takes {positions:,} tokens: lower --max-tokens, which is {max_tokens:,}.")
