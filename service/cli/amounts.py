"""Amounts of money: people write units of the currency, the ledger keeps minor units (cents)."""

import re

from scoring.base.errors import invalid
from scoring.entries.kinds.common import MAX_VALUE_MINOR

_WITHOUT_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_WITH_THREE = "BHD IQD JOD KWD LYD OMR TND"

_AMOUNT = re.compile(r"(?P<units>[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.(?P<rest>[0-9]+))?")


def parse_amount(name: str, text: str, currency: str) -> int:
    """Return an amount in minor units. Raises InvalidInput, with the argument `name`, for an ambiguous text.

    `parse_amount("CAPTURED", "50,400.00", "EUR") == 5_040_000`.
    """
    decimals = _count_decimals(currency)
    found = _AMOUNT.fullmatch(text)
    if found is None or (found["rest"] is not None and len(found["rest"]) != decimals):
        form = f"50,400.{'0' * decimals}" if decimals else "50,400"
        raise invalid(
            name, f"{text!r} is not an amount in {currency} with {decimals} decimals. Write it as {form} or 50400."
        )
    minor: int = int(found["units"].replace(",", "")) * 10**decimals + int(found["rest"] or 0)
    if minor > MAX_VALUE_MINOR:
        raise invalid(name, f"{text!r} is too much. Write at most {format_amount(MAX_VALUE_MINOR, currency)}.")
    return minor


def format_amount(minor: int, currency: str) -> str:
    """Return an amount in units: `format_amount(5_040_000, "EUR") == "50,400.00 EUR"`."""
    decimals = _count_decimals(currency)
    whole, rest = divmod(abs(minor), 10**decimals)
    fraction = f".{rest:0{decimals}}" if decimals else ""
    return f"{'-' if minor < 0 else ''}{whole:,}{fraction} {currency}".rstrip()


def _count_decimals(currency: str) -> int:
    if currency in _WITHOUT_DECIMALS.split():
        return 0
    return 3 if currency in _WITH_THREE.split() else 2
