"""The loss of rows: a sum over trained tokens, divided once, by what the whole step trains."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from training.collating import Batch
from training.encoding import IGNORED
from training.meta_gradients import Loss, Parameters


def summed_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy in nats, summed over trained tokens. Logits [B, T, V] at i predict the label at i + 1."""
    predicted = logits[:, :-1].flatten(0, 1).float()
    return cross_entropy(predicted, labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum")


def logits_of(model: Any, parameters: Parameters, batch: Batch) -> torch.Tensor:
    """The model's logits [B, T, V] with these parameters in the place of its own of the same names."""
    inputs = {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask,
        "position_ids": batch.position_ids,
        "use_cache": False,
    }
    return functional_call(model, dict(parameters), args=(), kwargs=inputs).logits


def mean_loss_parts(model: Any, batches: Sequence[Batch]) -> list[Loss]:
    """One function a batch; their *sum* is the mean over the trained tokens of all batches.

    The mean of the batches' means would be another number as soon as batches train different numbers of tokens: it
    would weigh a token by the batch that it happens to be in.
    """
    trained = sum(batch.trained for batch in batches)
    return [_part(model, batch, trained) for batch in batches]


def _part(model: Any, batch: Batch, trained: int) -> Loss:
    return lambda parameters: summed_loss(logits_of(model, parameters, batch), batch.labels) / trained
