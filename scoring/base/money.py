import re
from contextlib import suppress
from typing import Any

_WITHOUT_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_WITH_THREE = "BHD IQD JOD KWD LYD OMR TND"
_UNITS = re.compile(r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,18})(?:\.([0-9]+))? ?([A-Z]{3})")
_MINOR = re.compile("[0-9]{1,18}")


def format_amount(minor: int, currency: str) -> str:
    """Return an amount in units: `format_amount(5_040_000, "EUR") == "50,400.00 EUR"`."""
    decimals = _count_decimals(currency)
    units, rest = divmod(abs(minor), 10**decimals)
    fraction = f".{rest:0{decimals}}" if decimals else ""
    return f"{'-' if minor < 0 else ''}{units:,}{fraction} {currency}".rstrip()


def show_amount(minor: int, currency: str) -> str:
    """Return `format_amount`'s text, or minor units such as `5,040,000` if no currency is known."""
    return format_amount(minor, currency) if currency else f"{minor:,}"


def parse_amount(text: str, currency: str) -> int:
    """Parse `50,400.00 EUR`, or minor units in digits alone.

    `currency`: empty if none is stated. Raise ValueError for an amount in another currency, and for `100.00`, which may
    be cents or units.
    """
    if _MINOR.fullmatch(text):
        return int(text)
    decimals = _count_decimals(currency)
    match = _UNITS.fullmatch(text)
    if match is None or match[3] != currency or len(match[2] or "0" * decimals) != decimals:
        example = format_amount(5_040_000, currency or "EUR")
        named = f" in {currency}" if currency else ""
        raise ValueError(f"{text!r} is no amount{named}. Write {example!r}, or 5040000 in minor units.")
    return int(match[1].replace(",", "") + (match[2] or "0" * decimals))


def read_minor_units(data: Any, currency: str) -> Any:
    """Return the data of a file with its amounts in minor units: `value_minor = "50,400.00 EUR"` gives 5,040,000.

    Amounts are under names that end with `_minor`, and `below` of a settled value or a deposit. Wrong ones stay texts.
    """
    if isinstance(data, list):
        return [read_minor_units(one, currency) for one in data]
    if not isinstance(data, dict):
        return data
    values = {name: read_minor_units(value, currency) for name, value in data.items()}
    places = [(values, name) for name in values if str(name).endswith("_minor")]
    places += [(part, "below") for name in ("settled", "deposit") if isinstance(part := values.get(name), dict)]
    for part, name in places:
        if isinstance(text := part.get(name), str) and parse_currency(text):
            with suppress(ValueError):
                part[name] = parse_amount(text, currency)
    return values


def parse_currency(text: str) -> str:
    """Return the currency of an amount such as `50,400.00 EUR`, or ""."""
    match = _UNITS.fullmatch(text)
    return match[3] if match else ""


def _count_decimals(currency: str) -> int:
    if currency in _WITHOUT_DECIMALS.split():
        return 0
    return 3 if currency in _WITH_THREE.split() else 2
