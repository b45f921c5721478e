"""What a person should know about a plan before it is paid for."""

from collections.abc import Mapping

from shared.planning.balance import Plan
from shared.planning.mix import Cell, Mix

# A measured mean further than this from the mix's makes the planned split wrong.
MEAN_TOLERANCE = 0.20
# A planned share further than this from the one asked for, as a part of all tokens: 0.1 point.
SHARE_TOLERANCE = 0.001


def mean_warnings(mix: Mix, measured: Mapping[Cell, float], counts: Mapping[Cell, int]) -> list[str]:
    """One warning per cell whose existing questions have another mean than the mix says.

    `measured` is their mean in tokens, `counts` how many there are; cells outside the mix are ignored.
    """
    warnings: list[str] = []
    for cell in mix.cells():
        count, mean, planned = counts.get(cell, 0), measured.get(cell), float(mix.mean_of(cell))
        if count and mean is not None and abs(mean - planned) > MEAN_TOLERANCE * planned:
            warnings.append(
                f"{cell}: the {count:,} existing questions have {mean:,.1f} tokens on average, "
                f"the mix says {planned:,g}; say so in mix.mean_tokens, or the split by real tokens will differ"
            )
    return warnings


def rounding_warnings(mix: Mix, plan: Plan) -> list[str]:
    """One warning per difficulty whose planned share of all tokens is more than 0.1 point off."""
    warnings: list[str] = []
    shares = plan.token_shares
    for name, difficulty in mix.difficulties.items():
        asked, planned = float(difficulty.token_share), float(shares[name])
        if abs(planned - asked) > SHARE_TOLERANCE:
            warnings.append(
                f"{name}: gets {planned:.2%} of the tokens where the mix asks for {asked:.2%}; "
                "whole questions, minimums and kept questions allow nothing closer"
            )
    return warnings
