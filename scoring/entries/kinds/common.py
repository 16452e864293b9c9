"""Bounds, shapes and texts that several facts share."""

from enum import IntEnum
from typing import Any

from scoring.entries.field_types import ID_FORM, amount, count, fact_field, text, word

MAX_ORDERS = 100_000_000
MAX_UNITS = 10_000_000_000
MAX_VALUE_MINOR = 10**15
MAX_REVISION = 1_000_000
MAX_REASON = 500
MAX_GROUND = 200

REASON = text(MAX_REASON, sealed=True)
URI = text(MAX_REASON, sealed=True)
GROUND = text(MAX_GROUND)
ORDERS, UNITS, VALUE = count(MAX_ORDERS), count(MAX_UNITS), amount(MAX_VALUE_MINOR)
SUM = amount(MAX_VALUE_MINOR, 1)

ACTOR_MISSING = f"must say who decided, by {ID_FORM}"
REASON_MISSING = f"must say why, in 1 to {MAX_REASON} characters, with no control characters"
ACTOR = "The decider (a pseudonym or a role, an id). Required."
REASON_TEXT = (
    f"The reason, in 1 to {MAX_REASON} characters. Required. The seller reads it; it must not name persons. Sealed."
)
GROUND_TEXT = f"The legal or policy ground, such as an article, in at most {MAX_GROUND} characters. Optional."
PRODUCT_CATEGORY = "The product category, in the marketplace's own words (an id). Optional."
EVIDENCE = f"The place of the evidence, in at most {MAX_REASON} characters. Optional. Sealed."
EVIDENCE_HASH = "SHA-256 of the evidence, in 64 lower-case hexadecimal digits. Optional."
SOURCE_TEXT = "The source of the report. Required."
FINAL = "True if the source's act is final, with no ordinary remedy left. Default false."
SUM_TEXT = "The amount, in minor units of `currency` (cents), 1 to 10^15. Required."
SUM_CURRENCY = "ISO 4217 code of the amount, such as `CNY`. Required."
CURRENCY_TEXT = "ISO 4217 code, such as `CNY`. Required if there is an amount."


def word_field(number: int, words: type[IntEnum], text: str, column: str = "") -> Any:
    """Return a required field for members of the enumeration `words`.

    `number`: in the contract; `text`: its documentation; `column`: its column in the ledger, if it has one.
    """
    return fact_field(number, word(words), text, column=column)
