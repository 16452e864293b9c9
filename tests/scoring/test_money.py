import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.base.money import format_amount, parse_amount


@given(st.integers(0, 10**15), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_an_amount_that_is_written_is_read_again(minor: int, currency: str) -> None:
    text = format_amount(minor, currency)
    assert parse_amount(text, currency) == parse_amount(text.replace(",", ""), currency) == minor


def test_an_amount_is_written_in_units() -> None:
    assert format_amount(5_040_000, "EUR") == "50,400.00 EUR"
    assert format_amount(-5, "EUR") == "-0.05 EUR"
    assert format_amount(5_040, "JPY") == "5,040 JPY"
    assert format_amount(5_040, "KWD") == "5.040 KWD"


def test_an_amount_is_read_in_units_or_minor_units() -> None:
    assert parse_amount("5040000", "EUR") == parse_amount("50,400 EUR", "EUR") == 5_040_000


@pytest.mark.parametrize("text", ["100.00", "100,00 EUR", "1.000,00 EUR", "1.0 EUR", "100.00 USD", "", "EUR", "-1 EUR"])
def test_an_amount_that_may_mean_another_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no amount in EUR\. Write '50,400\.00 EUR', or 5040000 in minor units\."):
        parse_amount(text, "EUR")
