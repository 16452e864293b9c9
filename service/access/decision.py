"""The decision: whether the principals of a call may do all that it asks for. Pure, and denied unless granted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.access.principals import LOCAL, Pattern, Principal
from service.access.rights import BOUND, Right

EVERY = frozenset({"*"})
"""The value of a limit that covers everything."""

MAX_REMEMBERED = 10_000


class Asked(NamedTuple):
    """One thing that a call asks for. One grant must cover it whole."""

    right: Right
    marketplace: str = ""
    """The marketplace's id; empty for the server as a whole."""
    seller: str | None = None
    """The seller's id; None for every seller, or for one that is not known before the work."""
    kind: str | None = None
    """The kind of the entry; None if none of a kind is appended. The same for the next three."""
    source: str | None = None
    notifier: str | None = None
    entry_id: str | None = None
    action: str | None = None
    """What is done to a violation; None if nothing is."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Who may do what, where.

    An empty field covers only calls that ask for no such thing; `EVERY` covers all.
    """

    principals: tuple[Pattern, ...]
    rights: frozenset[Right]
    marketplaces: frozenset[str]
    sellers: frozenset[str] = EVERY
    kinds: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    notifiers: frozenset[str] = frozenset()
    entry_ids: tuple[str, ...] = ()
    """Prefixes of entry ids; `*` for any."""
    actions: frozenset[str] = frozenset()

    def names(self, principal: str) -> bool:
        """Return whether one of the grant's patterns matches the name of a principal."""
        return any(pattern.matches(principal) for pattern in self.principals)

    def covers(self, asked: Asked) -> bool:
        """Return whether the grant gives all of what is asked for, whoever asks."""
        right, marketplace, seller, kind, source, notifier, entry_id, action = asked
        return (
            right in self.rights
            and _holds(self.marketplaces, marketplace or "*")
            and _holds(self.sellers, seller or "*")
            and (kind is None or _holds(self.kinds, kind))
            and (source is None or _holds(self.sources, source))
            and (notifier is None or _holds(self.notifiers, notifier))
            and (action is None or _holds(self.actions, action))
            and (entry_id is None or self._may_use(entry_id))
        )

    def _may_use(self, entry_id: str) -> bool:
        return any(prefix == "*" or entry_id.startswith(prefix) for prefix in self.entry_ids)


def _holds(limit: frozenset[str], value: str) -> bool:
    return value in limit or "*" in limit


class GrantList:
    """Grants, and those of each principal, which are looked for once. For any number of threads."""

    def __init__(self, grants: Iterable[Grant] = ()) -> None:
        self.all = tuple(grants)
        """All of them."""
        self._of: dict[str, tuple[Grant, ...]] = {}

    def of(self, principal: str) -> tuple[Grant, ...]:
        """Return the grants for a principal, by its name; remembered for the next call."""
        found = self._of.get(principal)
        if found is None:
            found = tuple(grant for grant in self.all if grant.names(principal))
            if len(self._of) >= MAX_REMEMBERED:
                self._of.clear()
            self._of[principal] = found
        return found


def first_refused(principals: Sequence[Principal], grants: GrantList, call: Sequence[Asked]) -> Asked | None:
    """Return the first thing that a call asks for and is not granted; None if all is.

    Each principal must be granted it by one grant; without a principal nothing is granted. `local` may do everything. A
    right of `BOUND` asks for a principal that is bound to the connection besides, and a token's issuer speaks for its own
    marketplaces alone. ValueError if the call asks for nothing.
    """
    if not call:
        raise ValueError("a call that asks for nothing")
    if not principals:
        return call[0]
    held = [(who, grants.of(who.name)) for who in principals if who is not LOCAL]
    for asked in call if held else ():
        if asked.right in BOUND and not any(who.is_bound for who in principals):
            return asked
        for who, given in held:
            if who.marketplaces is not None and not _holds(who.marketplaces, asked.marketplace or "*"):
                return asked
            for grant in given:  # not `any`: this is asked at each call
                if grant.covers(asked):
                    break
            else:
                return asked
    return None


def visible_sellers(
    principals: Sequence[Principal], grants: GrantList, right: Right, marketplace: str
) -> frozenset[str]:
    """Return the ids of the sellers over whom every principal is granted a right.

    `EVERY` (containing "*") for all of the marketplace's; empty if one of them is granted none, or none of them is bound and
    the right is of `BOUND`.
    """
    if right in BOUND and not any(who.is_bound for who in principals):
        return frozenset()
    visible = EVERY
    for who in principals:
        if who is LOCAL:
            continue
        speaks = who.marketplaces is None or _holds(who.marketplaces, marketplace)
        own: frozenset[str] = frozenset().union(
            *(
                grant.sellers
                for grant in grants.of(who.name)
                if speaks and right in grant.rights and _holds(grant.marketplaces, marketplace)
            )
        )
        if "*" not in own:
            visible = own if visible == EVERY else visible & own
    return visible if principals else frozenset()


def is_granted_anything(principals: Sequence[Principal], grants: GrantList) -> bool:
    """Return whether some grant names each principal; false without principals.

    Nobody else need learn what is wrong with a request.
    """
    return bool(principals) and all(who is LOCAL or grants.of(who.name) for who in principals)


def is_granted_any_of(principals: Sequence[Principal], grants: GrantList, rights: frozenset[Right]) -> bool:
    """Return whether each principal is granted one of these rights anywhere; false without principals."""
    return bool(principals) and all(
        who is LOCAL or any(rights & grant.rights for grant in grants.of(who.name)) for who in principals
    )
