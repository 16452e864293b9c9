"""How a foreign row finds its seller: by identifiers that the marketplace has on record. Pure.

An authority's file does not know the marketplace's sellers. It gives a licence, a registration, a shop's name. A mapping
states which attribute of a seller's identity each of these is, in the order in which they are tried:

    [match]
    identifiers = [
        { attribute = "licence_number", value = "{licence}", verified = true },
        { attribute = "shop_name", value = "{shop}" },
    ]

Two identifiers are the same if they are the same letters and digits: `normalise` leaves out blanks and punctuation, and
the difference of case and of full and half width. The first identifier that any seller has decides. If several sellers
have it, nobody is matched: a person is to say whose the row is. A match is verified if its identifier says
`verified = true` and the seller's identity was verified at level business or better.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from scoring.enums import IdentityLevel
from scoring.errors import ConfigurationWrong
from service.ingest.mapping.cells import are_tables, value_of
from service.ledger.records import Identity

Row = Mapping[str, str]
SELLER, VERIFIED = "@seller", "@verified"
"""The columns of a matched row that hold its match: the seller's id, and `true` or `false`."""


class Match(NamedTuple):
    """The seller whose a row is."""

    seller: str
    """The id of the seller."""
    verified: bool
    """Whether by a verified identifier."""

    def columns(self) -> dict[str, str]:
        """Return two columns to add to the row: its seller, and whether that is verified."""
        return {SELLER: self.seller, VERIFIED: str(self.verified).lower()}


class Unmatched(NamedTuple):
    """That nobody was found for a row."""

    reason: str
    """Why."""
    candidates: tuple[str, ...] = ()
    """The sellers among whom a person is to decide, if there are any."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """One identifier of a row."""

    attribute: str
    """The attribute it is compared with."""
    value: Callable[[Row], str]
    """Its text in the row."""
    verified: bool
    """Whether a match by it is one by a verified identifier."""


def normalise(identifier: str) -> str:
    """Return an identifier's letters and digits alone, in one case and width.

    `Lic. 12-AB/7` becomes `lic12ab7`.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", identifier).casefold())
    return "".join(character for character in folded if unicodedata.category(character)[0] in "LMN")


class IdentityIndex:
    """Who has which identifier, of the attributes that a mapping compares."""

    def __init__(self, identities: Iterable[Identity], attributes: Collection[str]) -> None:
        self._found: dict[tuple[str, str], list[tuple[str, bool]]] = {}
        for identity in identities:
            is_verified = identity.level >= IdentityLevel.BUSINESS
            for attribute in attributes:
                if text := normalise(identity.attributes.get(attribute, "")):
                    self._found.setdefault((attribute, text), []).append((identity.seller, is_verified))

    def sellers(self, attribute: str, identifier: str) -> list[tuple[str, bool]]:
        """Return a list of (seller, whether its identity was verified) for a normalised identifier.

        Empty if nobody has it.
        """
        return self._found.get((attribute, identifier), [])


def match(identifiers: Iterable[Identifier], row: Row, index: IdentityIndex) -> Match | Unmatched:
    """Find the seller of a row by the first identifier that somebody has.

    Unmatched, with the reason, if nobody or several sellers have it. Raises RowRejected if the row lacks a column.
    """
    tried = []
    for identifier in identifiers:
        text = identifier.value(row).strip()
        if not (key := normalise(text)):
            continue
        found = index.sellers(identifier.attribute, key)
        if len(found) > 1:
            reason = f"{len(found)} sellers have {identifier.attribute} {text!r}"
            return Unmatched(reason, tuple(sorted(seller for seller, _ in found)))
        if found:
            ((seller, is_verified),) = found
            return Match(seller, identifier.verified and is_verified)
        tried.append(f"{identifier.attribute} {text!r}")
    if not tried:
        return Unmatched(f"the row gives no {' and no '.join(i.attribute for i in identifiers)}")
    return Unmatched(f"no seller has {' or '.join(tried)}")


def identifiers_of(data: Mapping[str, Any], where: str) -> tuple[Identifier, ...]:
    """Parse the identifiers of a mapping's `match`, in the order in which they are tried.

    Empty if it has no `match`; ConfigurationWrong if it is malformed.
    """
    if "match" not in data:
        return ()
    stated = data["match"].get("identifiers", []) if isinstance(data["match"], Mapping) else []
    if not are_tables(stated) or set(data["match"]) != {"identifiers"}:
        raise ConfigurationWrong(f"{where}.match must give identifiers, a list of tables, and nothing else")
    found = []
    for number, item in enumerate(stated):
        place = f"{where}.match.identifiers[{number}]"
        attribute, verified = item.get("attribute"), item.get("verified", False)
        named = isinstance(attribute, str) and isinstance(item.get("value"), str | Mapping)
        if not named or not isinstance(verified, bool) or not set(item) <= {"attribute", "value", "verified"}:
            raise ConfigurationWrong(f"{place} must give attribute, value, and at most verified, true or false")
        found.append(Identifier(attribute, value_of(item["value"], f"{place}.value"), verified))
    return tuple(found)
