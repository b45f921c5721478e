"""Whether a model keeps packed rows apart. Some that take a mask do not heed it: state space models read on."""

from typing import Any

import torch

from training.collating import pack, pad
from training.encoding import Encoded
from training.errors import BadRun
from training.loss import logits_of

FIRST, OTHER, SECOND = Encoded((0, 1), (2, 3)), Encoded((3, 2), (1, 0)), Encoded((1, 2), (3, 0))
TOLERANCE = 1e-3


def require_isolation(module: Any, name: str) -> None:
    """Try it on two rows of four tokens. Raises BadRun when one sees the other, or is not what it is alone."""
    try:
        with torch.no_grad():
            behind, behind_other = (
                logits_of(module, {}, pack([each, SECOND], 0, len(each) + len(SECOND)))[:, len(each) :]
                for each in (FIRST, OTHER)
            )
            alone = logits_of(module, {}, pad([SECOND], 0))
        apart = torch.equal(behind, behind_other) and torch.allclose(behind, alone, rtol=TOLERANCE, atol=TOLERANCE)
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):  # models differ in what they make of it
        apart = False
    if not apart:
        raise BadRun(f"The model in {name} does not keep packed rows apart: leave out --pack.")
