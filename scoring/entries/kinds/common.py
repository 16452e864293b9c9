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
ACTOR = "The decider. Required."
REASON_TEXT = "The reason. Required. Sealed."
GROUND_TEXT = "The legal or policy ground."
PRODUCT_CATEGORY = "The product category."
EVIDENCE = "The place of the evidence. Sealed."
EVIDENCE_HASH = "SHA-256 of the evidence, in hex."
SOURCE_TEXT = "The source of the report. Required."
FINAL = "True if the source's act is final, without ordinary remedy."
SUM_TEXT = "The amount, at least 1. Required."
SUM_CURRENCY = "ISO 4217 code. Required."
CURRENCY_TEXT = "ISO 4217 code. Required with an amount."


def word_field(number: int, words: type[IntEnum], text: str, column: str = "") -> Any:
    """Return a required field for members of the enumeration `words`.

    `number`: in the contract; `text`: its documentation; `column`: its column in the ledger, if it has one.
    """
    return fact_field(number, word(words), text, column=column)
