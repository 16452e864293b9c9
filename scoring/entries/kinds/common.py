"""Bounds, shapes and texts that several facts share."""

from typing import Any

from scoring.base.enums import WordEnum
from scoring.entries.field_types import CURRENCY, ID, ID_FORM, amount, count, optional, required, text, word

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

REASON_MISSING = f"must say why, in 1 to {MAX_REASON} characters, with no control characters"
GROUND_TEXT = "The legal or policy ground."
EVIDENCE = "The place of the evidence. Sealed."
EVIDENCE_HASH = "SHA-256 of the evidence, in hex."
SOURCE_TEXT = "The source of the report. Required."
FINAL = "True if the source's act is final, without ordinary remedy."
SUM_TEXT = "The amount, at least 1. Required."
SUM_CURRENCY = "ISO 4217 code. Required."


def actor_field(number: int) -> Any:
    """Return the required field of who decided; `number`: of the field in the contract."""
    return required(number, ID, "The decider. Required.", missing_text=f"must say who decided, by {ID_FORM}")


def list_deciders(actor: str) -> list[str]:
    """Return the persons of an `actor`: "a~b" are two."""
    return actor.split("~")


def reason_field(number: int) -> Any:
    return required(number, REASON, "The reason. Required. Sealed.", missing_text=REASON_MISSING)


def ground_field(number: int) -> Any:
    return optional(number, GROUND, GROUND_TEXT)


def product_category_field(number: int) -> Any:
    return optional(number, ID, "The product category.")


def currency_field(number: int) -> Any:
    return optional(number, CURRENCY, "ISO 4217 code. Required with an amount.")


def word_field(number: int, words: type[WordEnum], text: str, column: str = "") -> Any:
    """Return a required field for one of `words`; parameters as of `required`."""
    return required(number, word(words), text, column=column)
