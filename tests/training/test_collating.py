"""Padding, packing and accumulation change nothing: the gradient is that of the rows one by one.

Compared is each element of the gradient of the mean loss over trained tokens, by every parameter of a random Llama, in
float32. Elements are up to 0.5, so 2e-6 is a few roundings. Each check is also run on what a mistake would make.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch.func import functional_call

from tests.training.models import small_llama
from tests.training.rows import some_rows
from training.collating import Batch, Side, fill, isolating_mask, pack, pad
from training.encoding import IGNORED, Encoded, encode
from training.loss import logits_of, mean_loss_parts, summed_loss
from training.meta_gradients import gradient
from training.tokenizing import byte_tokenizer, pad_id_of

TOLERANCE = 2e-6
TOKENIZER = byte_tokenizer()
EOS = TOKENIZER.eos_token_id
ROWS = encode(TOKENIZER, some_rows(16))
MODEL = small_llama()
PARAMETERS = dict(MODEL.named_parameters())

Slopes = dict[str, torch.Tensor]


def slopes_of(batches: Sequence[Batch]) -> Slopes:
    return gradient(mean_loss_parts(MODEL, batches), PARAMETERS).by_name


def one_by_one() -> Slopes:
    """A row a call, without padding or mask: nothing of the collator but labels."""
    trained = sum(row.trained for row in ROWS)

    def part(row: Encoded) -> Callable[[Any], torch.Tensor]:
        ids, labels = torch.tensor([row.ids]), torch.tensor([row.labels])
        return lambda its: summed_loss(functional_call(MODEL, dict(its), (ids,)).logits, labels) / trained

    return gradient([part(row) for row in ROWS], PARAMETERS).by_name


UNPACKED = one_by_one()


def distance(slopes: Slopes, other: Slopes | None = None) -> float:
    return max(float((slopes[name] - one).abs().max()) for name, one in (other or UNPACKED).items())


def agrees(name: str, slopes: Slopes) -> None:
    found = distance(slopes)
    print(f"{name}: {found:.1e}")
    assert found <= TOLERANCE


def chunks(count: int) -> list[Batch]:
    size = -(-len(ROWS) // count)
    return [pad(ROWS[at : at + size], EOS) for at in range(0, len(ROWS), size)]


def test_the_gradient_is_large_enough_to_compare() -> None:
    assert max(float(each.abs().max()) for each in UNPACKED.values()) > 0.05


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_at_either_side_changes_nothing(side: Side) -> None:
    agrees(f"padding {side}", slopes_of([pad(ROWS, EOS, side)]))


@pytest.mark.parametrize("length", [None, 400, 4000])
def test_packing_changes_nothing(length: int | None) -> None:
    packed = pack(ROWS, EOS, length)
    assert packed.input_ids.shape[0] < len(ROWS)
    agrees(f"packed to {length}", slopes_of([packed]))


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_accumulation_changes_nothing(count: int) -> None:
    agrees(f"accumulated over {count}", slopes_of(chunks(count)))


def test_the_mean_of_means_does_not_agree() -> None:
    parts = [part for each in chunks(4) for part in mean_loss_parts(MODEL, [each])]
    means = {name: slope / 4 for name, slope in gradient(parts, PARAMETERS).by_name.items()}
    with pytest.raises(AssertionError):
        agrees("mean of means", means)


def test_packing_without_isolation_does_not_agree() -> None:
    packed = pack(ROWS, EOS, 400)
    seen = isolating_mask((packed.input_ids == packed.input_ids).long())
    for mutant in (
        Batch(packed.input_ids, packed.labels, packed.position_ids, seen),
        Batch(packed.input_ids, packed.labels, torch.arange(packed.input_ids.shape[1]).expand_as(packed.labels), seen),
    ):
        with pytest.raises(AssertionError):
            agrees("isolation off", slopes_of([mutant]))


def test_a_packed_row_never_sees_another() -> None:
    packed = pack(ROWS, EOS, 400)
    starts = (packed.position_ids == 0).long().cumsum(1)
    changed = torch.where(starts == 1, (packed.input_ids + 1) % 256, packed.input_ids)
    before, after = (
        logits_of(MODEL, PARAMETERS, Batch(ids, packed.labels, packed.position_ids, packed.attention_mask))
        for ids in (packed.input_ids, changed)
    )
    others = starts != 1
    assert torch.equal(before[others], after[others])
    assert not torch.equal(before[~others], after[~others])


def slope_by_logits(batch: Batch) -> torch.Tensor:
    logits = logits_of(MODEL, PARAMETERS, batch).detach().requires_grad_()
    (slope,) = torch.autograd.grad(summed_loss(logits, batch.labels), logits)
    return slope


def masked_positions_have_no_gradient(batch: Batch, rows: Sequence[Encoded]) -> None:
    """Which positions predict a trained token is told here from lengths alone, for padding at the right."""
    slope = slope_by_logits(batch)
    predicts = torch.zeros(slope.shape[:2], dtype=torch.bool)
    for at, row in enumerate(rows):
        predicts[at, len(row.prompt_ids) - 1 : len(row) - 1] = True
    assert float(slope[~predicts].abs().max()) == 0.0
    assert bool((slope[predicts].abs().amax(-1) > 0).all())


def test_the_gradient_at_masked_positions_is_exactly_zero() -> None:
    masked_positions_have_no_gradient(pad(ROWS, EOS), ROWS)


def mutated(labels: torch.Tensor) -> Batch:
    batch = pad(ROWS, EOS)
    return Batch(batch.input_ids, labels, batch.position_ids, batch.attention_mask)


def one_prompt_token_unmasked() -> torch.Tensor:
    labels = pad(ROWS, EOS).labels.clone()
    last = len(ROWS[0].prompt_ids) - 1
    labels[0, last] = ROWS[0].ids[last]
    return labels


def eos_masked() -> torch.Tensor:
    labels = pad(ROWS, EOS).labels.clone()
    labels[0, len(ROWS[0]) - 1] = IGNORED
    return labels


def pad_masked_by_id() -> torch.Tensor:
    """pad = eos and everything that looks like padding masked: the answer's EOS goes too."""
    labels = pad(ROWS, EOS).labels.clone()
    return labels.masked_fill(labels == EOS, IGNORED)


def padding_trained() -> torch.Tensor:
    batch = pad(ROWS, EOS)
    return torch.where(batch.attention_mask == 0, batch.input_ids, batch.labels)


@pytest.mark.parametrize("mutant", [one_prompt_token_unmasked, eos_masked, pad_masked_by_id, padding_trained])
def test_each_mutant_of_the_labels_turns_the_check_red(mutant: Callable[[], torch.Tensor]) -> None:
    with pytest.raises(AssertionError):
        masked_positions_have_no_gradient(mutated(mutant()), ROWS)


@pytest.mark.parametrize("side", ["left", "right"])
def test_scrambled_pad_ids_change_nothing(side: Side) -> None:
    batch = pad(ROWS, EOS, side)
    scrambled = torch.randint(0, 262, batch.input_ids.shape, generator=torch.Generator().manual_seed(5))
    ids = torch.where(batch.attention_mask == 0, scrambled, batch.input_ids)
    other = Batch(ids, batch.labels, batch.position_ids, batch.attention_mask)
    assert distance(slopes_of([other]), slopes_of([batch])) == 0.0


def test_scrambled_pad_ids_change_nothing_of_packed_rows() -> None:
    batch = pack(ROWS, EOS, 400)
    padding = torch.ones_like(batch.labels, dtype=torch.bool)
    lengths = [sum(map(len, each)) for each in fill(ROWS, 400)]
    for at, length in enumerate(lengths):
        padding[at, :length] = False
    assert padding.any()
    other = Batch(torch.where(padding, 7, batch.input_ids), batch.labels, batch.position_ids, batch.attention_mask)
    assert distance(slopes_of([other]), slopes_of([batch])) == 0.0


def test_padding_is_never_trained_whatever_its_id() -> None:
    assert pad_id_of(TOKENIZER) != EOS
    for batch in (pad(ROWS, EOS), pad(ROWS, pad_id_of(TOKENIZER)), pack(ROWS, EOS), pad(ROWS, EOS, "left")):
        assert batch.trained == sum(row.trained for row in ROWS)
        assert int((batch.labels == EOS).sum()) == len(ROWS)
