"""Finds a foreign row's seller by recorded identifiers, as `[match]` of a mapping states. Pure.

If several sellers have an identifier, a person decides. A match is verified if its identifier says `verified = true`
and the seller's identity was verified at level business or better.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from scoring.base.enums import IdentityLevel
from scoring.base.frozen import frozen
from scoring.base.parts import Part
from service.ingest.mapping.cells import CellReader, Row, compile_value
from service.ledger.records import IdentityInForce

SELLER, VERIFIED = "@seller", "@verified"
MAX_IDENTIFIERS = 100


class Match(NamedTuple):
    seller: str
    verified: bool

    def columns(self) -> dict[str, str]:
        """Return `{"@seller": "s1", "@verified": "true"}`."""
        return {SELLER: self.seller, VERIFIED: str(self.verified).lower()}


class NoMatch(NamedTuple):
    reason: str
    candidates: tuple[str, ...] = ()


@frozen
class Identifier:
    attribute: str
    value: Callable[[Row], str]
    verified: bool


def normalise(identifier: str) -> str:
    """Return an identifier's letters and digits in one case and width: `Lic. 12-AB/7` becomes `lic12ab7`."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", identifier).casefold())
    return "".join(character for character in folded if unicodedata.category(character)[0] in "LMN")


class IdentityIndex:
    def __init__(self, identities: Iterable[IdentityInForce], attributes: Collection[str]) -> None:
        self._found: dict[tuple[str, str], list[tuple[str, bool]]] = {}
        for identity in identities:
            is_verified = identity.level >= IdentityLevel.BUSINESS
            for attribute in attributes:
                if text := normalise(identity.attributes.get(attribute, "")):
                    self._found.setdefault((attribute, text), []).append((identity.seller, is_verified))

    def sellers(self, attribute: str, identifier: str) -> list[tuple[str, bool]]:
        """Return (seller, whether the attribute is verified) of all who state this normalised identifier."""
        return self._found.get((attribute, identifier), [])


def match(identifiers: Iterable[Identifier], row: Row, index: IdentityIndex) -> Match | NoMatch:
    """Find a row's seller by the first identifier that any seller has.

    Returns NoMatch, with the reason, if none or several fit. Raises RowRejected without a column.
    """
    tried = []
    for identifier in identifiers:
        text = identifier.value(row).strip()
        if not (key := normalise(text)):
            continue
        sellers = index.sellers(identifier.attribute, key)
        if len(sellers) > 1:
            reason = f"{len(sellers)} sellers have {identifier.attribute} {text!r}"
            return NoMatch(reason, tuple(sorted(seller for seller, _ in sellers)))
        if sellers:
            ((seller, is_verified),) = sellers
            return Match(seller, identifier.verified and is_verified)
        tried.append(f"{identifier.attribute} {text!r}")
    if not tried:
        return NoMatch(f"the row gives no {' and no '.join(i.attribute for i in identifiers)}")
    return NoMatch(f"no seller has {' or '.join(tried)}")


def compile_identifiers(part: Part) -> tuple[Identifier, ...]:
    """Compile `[match]`: the identifiers to compare, in order; empty without it."""
    if "match" not in part:
        return ()
    return tuple(
        Identifier(
            identifier.text("attribute", 1),
            compile_value(identifier, "value", CellReader("value")),
            identifier.flag("verified"),
        )
        for identifier in part.part("match").list_of_parts("identifiers", MAX_IDENTIFIERS)
    )
