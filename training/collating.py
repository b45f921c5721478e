"""Rows of ids as one batch: padded at a side, or packed so that no row sees another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from training.encoding import IGNORED, Encoded

Side = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class Batch:
    """What a causal model is called with, and the labels, not yet shifted. B sequences of T positions."""

    input_ids: torch.Tensor  # int64 [B, T]
    labels: torch.Tensor  # int64 [B, T]; IGNORED on prompts and padding
    position_ids: torch.Tensor  # int64 [B, T]; from 0 in each row
    attention_mask: torch.Tensor  # int64 [B, T], 1 where a row is; packed: float [B, 1, T, T], added to the scores

    @property
    def trained(self) -> int:
        """How many tokens are trained."""
        return int((self.labels != IGNORED).sum())

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__slots__))


def pad(rows: Sequence[Encoded], pad_id: int, side: Side = "right") -> Batch:
    """A row a sequence, as long as the longest. `pad_id` may be EOS: its labels are IGNORED by position."""
    length = max(map(len, rows))
    input_ids = torch.full((len(rows), length), pad_id)
    labels = torch.full((len(rows), length), IGNORED)
    positions = torch.zeros((len(rows), length), dtype=torch.int64)
    mask = torch.zeros((len(rows), length), dtype=torch.int64)
    for at, row in enumerate(rows):
        start = 0 if side == "right" else length - len(row)
        here = slice(start, start + len(row))
        input_ids[at, here] = torch.tensor(row.ids)
        labels[at, here] = torch.tensor(row.labels)
        positions[at, here] = torch.arange(len(row))
        mask[at, here] = 1
    return Batch(input_ids, labels, positions, mask)


def pack(rows: Sequence[Encoded], pad_id: int, length: int | None = None, dtype: torch.dtype = torch.float32) -> Batch:
    """Several rows in a sequence of at most `length` tokens (the longest row's, if that is more).

    Positions start anew with each row, and the mask is causal within a row and closed between rows. The first label of
    a row is IGNORED, as long as it has a prompt, so the end of one row never predicts the beginning of the next.
    """
    sequences = fill(rows, max(length or 0, *map(len, rows)))
    width = max(sum(map(len, each)) for each in sequences)
    input_ids = torch.full((len(sequences), width), pad_id)
    labels = torch.full((len(sequences), width), IGNORED)
    positions = torch.zeros((len(sequences), width), dtype=torch.int64)
    owners = torch.zeros((len(sequences), width), dtype=torch.int64)  # 0: padding
    for at, each in enumerate(sequences):
        start = 0
        for number, row in enumerate(each, start=1):
            here = slice(start, start + len(row))
            input_ids[at, here] = torch.tensor(row.ids)
            labels[at, here] = torch.tensor(row.labels)
            positions[at, here] = torch.arange(len(row))
            owners[at, here] = number
            start += len(row)
    return Batch(input_ids, labels, positions, isolating_mask(owners, dtype))


def isolating_mask(owners: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """From the number of the row at each position [B, T] to what is added to scores [B, 1, T, T]: 0 where a position
    may look, the type's least number where it may not. Padding sees padding, so that no line is closed throughout."""
    same = owners[:, :, None] == owners[:, None, :]
    causal = torch.ones(owners.shape[1], owners.shape[1], dtype=torch.bool, device=owners.device).tril()
    least = torch.finfo(dtype).min
    return torch.zeros(same.shape, dtype=dtype, device=owners.device).masked_fill(~(same & causal), least)[:, None]


def fill(rows: Sequence[Encoded], length: int) -> list[list[Encoded]]:
    """Rows in sequences of at most `length` tokens: longest first, each where it first fits."""
    sequences: list[list[Encoded]] = []
    room: list[int] = []
    for row in sorted(rows, key=len, reverse=True):
        at = next((at for at, left in enumerate(room) if left >= len(row)), None)
        if at is None:
            at = len(room)
            sequences.append([])
            room.append(length)
        sequences[at].append(row)
        room[at] -= len(row)
    return sequences
