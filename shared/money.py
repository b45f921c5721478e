"""Amounts of money as people read them."""

from decimal import Decimal


def format_usd(amount: object) -> str:
    """Dollars with cents; small amounts with as many digits as they need to be seen."""
    value = Decimal(str(amount))
    if value >= 1 or value == 0:
        return f"${value:,.2f}"
    return f"${value:.{max(4, 1 - value.adjusted())}f}"
