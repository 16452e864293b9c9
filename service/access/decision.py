"""Decides whether a call's principals may do everything that it asks for. Pure; denied unless granted."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from scoring.base.frozen import frozen
from service.access.principals import LOCAL, Pattern, Principal
from service.access.rights import BOUND, Right

EVERY = frozenset({"*"})
OWN = frozenset({"@"})
"""The seller at the end of the caller's name, as in `jwt:ISSUER#seller/s-1`."""

MAX_REMEMBERED = 10_000


class NeededRight(NamedTuple):
    right: Right
    marketplace: str = ""
    """Empty for the server as a whole."""
    seller: str | None = None
    """None: every seller, or unknown before the work."""
    kind: str | None = None
    """None for other calls than appends, like the next three."""
    source: str | None = None
    notifier: str | None = None
    entry_id: str | None = None
    action: str | None = None


@frozen
class Grant:
    """An empty field covers only calls without it; `EVERY` covers all."""

    principals: tuple[Pattern, ...]
    rights: frozenset[Right]
    marketplaces: frozenset[str]
    sellers: frozenset[str] = EVERY
    kinds: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    notifiers: frozenset[str] = frozenset()
    entry_ids: tuple[str, ...] = ()
    actions: frozenset[str] = frozenset()

    def applies_to(self, principal: str) -> bool:
        return any(pattern.matches(principal) for pattern in self.principals)

    def with_own_seller(self, principal: str) -> "Grant":
        """Return the grant with OWN replaced by the seller at the end of the principal's name.

        It is `s-1` for `jwt:ISSUER#seller/s-1`, and "" without `#`.
        """
        if self.sellers != OWN:
            return self
        subject = principal.partition("#")[2]  # a further # belongs to it
        return replace(self, sellers=frozenset({re.split("[/:]", subject)[-1]}))

    def covers(self, needed: NeededRight) -> bool:
        """Return whether this grant alone suffices, whoever calls; a call about all sellers needs `EVERY`."""
        right, marketplace, seller, kind, source, notifier, entry_id, action = needed
        return (
            right in self.rights
            and _includes(self.marketplaces, marketplace or "*")
            and _includes(self.sellers, seller or "*")
            and (kind is None or _includes(self.kinds, kind))
            and (source is None or _includes(self.sources, source))
            and (notifier is None or _includes(self.notifiers, notifier))
            and (action is None or _includes(self.actions, action))
            and (entry_id is None or self._allows_id(entry_id))
        )

    def _allows_id(self, entry_id: str) -> bool:
        return any(prefix == "*" or entry_id.startswith(prefix) for prefix in self.entry_ids)


def _includes(allowed: frozenset[str], value: str) -> bool:
    return value in allowed or "*" in allowed


class GrantList:
    """Thread-safe. `of` returns a principal's grants."""

    def __init__(self, grants: Iterable[Grant] = ()) -> None:
        self.all = tuple(grants)
        self.of: Callable[[str], tuple[Grant, ...]] = lru_cache(MAX_REMEMBERED)(self._find)

    def _find(self, principal: str) -> tuple[Grant, ...]:
        return tuple(grant.with_own_seller(principal) for grant in self.all if grant.applies_to(principal))


def first_refused(
    principals: Sequence[Principal], grants: GrantList, call: Sequence[NeededRight]
) -> NeededRight | None:
    """Return the first ungranted thing that a call asks for, or None.

    Each principal needs one grant that covers it. `local` may do everything. A right of `BOUND` also needs a principal
    bound to the connection, and a token's issuer acts only for its own marketplaces. Raises ValueError if the call asks
    for nothing.
    """
    if not call:
        raise ValueError("a call that asks for nothing")
    if not principals:
        return call[0]
    grants_of_principals = [(who, grants.of(who.name)) for who in principals if who is not LOCAL]
    for needed in call if grants_of_principals else ():
        if needed.right in BOUND and not any(who.is_bound for who in principals):
            return needed
        for who, granted in grants_of_principals:
            if who.marketplaces is not None and not _includes(who.marketplaces, needed.marketplace or "*"):
                return needed
            for grant in granted:
                if grant.covers(needed):
                    break
            else:
                return needed
    return None


def visible_sellers(
    principals: Sequence[Principal], grants: GrantList, right: Right, marketplace: str
) -> frozenset[str]:
    """Return the sellers on which every principal has a right.

    `EVERY` (containing "*") for all of the marketplace. Empty if a principal lacks a grant, or a right of `BOUND` lacks
    a certificate.
    """
    if right in BOUND and not any(who.is_bound for who in principals):
        return frozenset()
    visible = EVERY
    for who in principals:
        if who is LOCAL:
            continue
        may_act = who.marketplaces is None or _includes(who.marketplaces, marketplace)
        granted: frozenset[str] = frozenset().union(
            *(
                grant.sellers
                for grant in grants.of(who.name)
                if may_act and right in grant.rights and _includes(grant.marketplaces, marketplace)
            )
        )
        if "*" not in granted:
            visible = granted if visible == EVERY else visible & granted
    return visible if principals else frozenset()


def is_granted_any(
    principals: Sequence[Principal], grants: GrantList, rights: frozenset[Right] = frozenset(Right)
) -> bool:
    """Return whether each principal has one of the rights anywhere; False without principals.

    It authorises no call: a caller whom nothing would let in is refused otherwise than one that asks for too much.
    """
    return bool(principals) and all(
        who is LOCAL or any(rights & grant.rights for grant in grants.of(who.name)) for who in principals
    )
