"""Finds a foreign row's seller by the identifiers that the marketplace has recorded. Pure.

An authority's file gives a licence, a registration or a shop's name. A mapping states which attribute of a seller's
identity each is, in the order of trial:

    [match]
    identifiers = [
        { attribute = "licence_number", value = "{licence}", verified = true },
        { attribute = "shop_name", value = "{shop}" },
    ]

Two identifiers are the same if they have the same letters and digits (`normalise`). The first identifier that any
seller has decides. If several sellers have it, the row has no match, and a person decides. A match is verified if its
identifier says `verified = true` and the seller's identity was verified at level business or better.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from scoring.base.enums import IdentityLevel
from scoring.base.errors import ConfigurationWrong
from service.ingest.mapping.cells import Row, are_tables, value_of
from service.ledger.records import IdentityInForce

SELLER, VERIFIED = "@seller", "@verified"


class Match(NamedTuple):
    seller: str
    verified: bool

    def columns(self) -> dict[str, str]:
        return {SELLER: self.seller, VERIFIED: str(self.verified).lower()}


class Unmatched(NamedTuple):
    reason: str
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
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
        """Return (seller, whether its identity was verified) for a normalised identifier."""
        return self._found.get((attribute, identifier), [])


def match(identifiers: Iterable[Identifier], row: Row, index: IdentityIndex) -> Match | Unmatched:
    """Find a row's seller by the first identifier that any seller has.

    Returns Unmatched, with the reason, if no seller or several have it. Raises RowRejected without a column.
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
    """Parse a mapping's `match`, in order. Raises ConfigurationWrong."""
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
