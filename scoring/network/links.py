"""The links of sellers.

A live link joins a seller to an identifier, or to another seller. Of two with one identifier, the later is linked to
the earlier: taking up an identifier says nothing about who had it before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from scoring.base.enums import SHARED_BY_NATURE, LinkKind, LinkState
from scoring.base.frozen import frozen
from scoring.entries.kinds.account import LinkChanged

MAX_SHARING = 20
"""Above it, an identifier is a hub, and links nobody."""
MAX_STATED = 3 * MAX_SHARING
"""Statements read per identifier; more make it a hub."""

PPM = 1_000_000


class LinkStatement(NamedTuple):
    entry_id: str
    sequence: int
    seller: str
    time: int
    """When it was known, in microseconds."""
    fact: LinkChanged
    is_void: bool = False

    @property
    def thing(self) -> tuple[str, str]:
        """Return what the link is about: (identifier, "") or ("", other seller)."""
        return self.fact.identifier, self.fact.other


class LiveLink(NamedTuple):
    seller: str
    kind: LinkKind
    identifier: str
    """Empty for a link to another seller."""
    other: str
    entry_id: str
    """Of the observation."""
    since: tuple[int, int]
    """(Time in microseconds, sequence) from which the seller held it."""
    until: int | None
    strength_ppm: int
    verified: bool
    confirmed: bool


class LinkDecisions(NamedTuple):
    confirmed: int = 0
    severed: int = 0


def find_live_links(statements: Iterable[LinkStatement], time: int) -> list[LiveLink]:
    """Return the live links at a time (microseconds), of statements in any order.

    The last statement counts; the last observation states kind, strength and end. A seller holds a thing since its
    first observation after the last time it was severed.
    """
    ordered = _sort_valid_statements(statements)
    links = []
    for (seller, (identifier, other)), group in groupby(ordered, key=attrgetter("seller", "thing")):
        observed: LinkStatement | None = None
        since, last = (0, 0), LinkState.SEVERED
        for one in group:
            if one.fact.state is LinkState.OBSERVED and one.fact.link_kind is not None:
                if last is LinkState.SEVERED:
                    since = (one.time, one.sequence)
                observed = one
                last = last if last is LinkState.CONFIRMED else LinkState.OBSERVED
            elif observed is not None:
                last = one.fact.state
        if observed is None or last is LinkState.SEVERED:
            continue
        fact = observed.fact
        if fact.link_kind is not None and (fact.until is None or fact.until > time):
            links.append(
                LiveLink(
                    seller=seller,
                    kind=fact.link_kind,
                    identifier=identifier,
                    other=other,
                    entry_id=observed.entry_id,
                    since=since,
                    until=fact.until,
                    strength_ppm=fact.strength_ppm or PPM,
                    verified=fact.verified,
                    confirmed=last is LinkState.CONFIRMED,
                )
            )
    return links


def _sort_valid_statements(statements: Iterable[LinkStatement]) -> list[LinkStatement]:
    valid = (statement for statement in statements if not statement.is_void)
    return sorted(valid, key=lambda one: (one.seller, one.thing, one.sequence))


def count_decided(statements: Iterable[LinkStatement]) -> dict[LinkKind, LinkDecisions]:
    """Return, by kind of link, how many links persons last confirmed, and how many they severed."""
    ordered = _sort_valid_statements(statements)
    decisions: dict[LinkKind, LinkDecisions] = {}
    for _, group in groupby(ordered, key=attrgetter("seller", "thing")):
        kind, decision = None, None
        for one in group:
            kind = one.fact.link_kind or kind
            decision = one.fact.state if one.fact.state in (LinkState.CONFIRMED, LinkState.SEVERED) else decision
        if kind is not None and decision is not None:
            counts = decisions.get(kind, LinkDecisions())
            decisions[kind] = LinkDecisions(
                counts.confirmed + (decision is LinkState.CONFIRMED), counts.severed + (decision is LinkState.SEVERED)
            )
    return decisions


class Hop(NamedTuple):
    seller: str
    to: str
    kind: LinkKind
    strength_ppm: int
    since: int
    """When both held it."""
    until: int | None
    entries: tuple[str, ...]


@frozen
class Graph:
    links: Mapping[str, Sequence[LiveLink]]
    """By seller."""
    holders: Mapping[str, Sequence[LiveLink]]
    """By identifier, every live link to it."""
    low_ppm: Mapping[LinkKind, int] = field(default_factory=dict)
    """Lower ends of measured precision; missing is 0."""
    crowded: frozenset[str] = frozenset()
    """Hubs: identifiers with too many statements to read."""

    @classmethod
    def of(
        cls, links: Iterable[LiveLink], low_ppm: Mapping[LinkKind, int], crowded: frozenset[str] = frozenset()
    ) -> "Graph":
        """`crowded`: hubs, however few of these links name them."""
        by_seller: dict[str, list[LiveLink]] = {}
        holders: dict[str, list[LiveLink]] = {}
        for link in links:
            by_seller.setdefault(link.seller, []).append(link)
            if link.identifier:
                holders.setdefault(link.identifier, []).append(link)
        return cls(by_seller, holders, low_ppm, crowded)

    def is_hub(self, identifier: str) -> bool:
        """Return whether the identifier links nobody: over MAX_SHARING (20) hold it, or it is `crowded`."""
        return identifier in self.crowded or len(self.holders.get(identifier, ())) > MAX_SHARING

    def bound(self, link: LiveLink) -> int:
        """Return a link's strength, bounded by its kind's precision (0 if unmeasured) unless a person confirmed it."""
        return link.strength_ppm if link.confirmed else min(link.strength_ppm, self.low_ppm.get(link.kind, 0))

    def hops(self, seller: str, least_ppm: int = 1) -> list[Hop]:
        """Return a seller's links of at least a strength: to stated sellers, and to earlier holders of the same
        identifier.

        A link that a person confirmed leads to later holders, too. Unverified links, hubs and kinds SHARED_BY_NATURE
        link none.
        """
        hops = []
        for link in self.links.get(seller, ()):
            if link.kind in SHARED_BY_NATURE or not link.verified:
                continue
            if not link.identifier:
                hops.append(_make_hop(link.other, (link,), self.bound(link)))
            elif not self.is_hub(link.identifier):
                for theirs in self.holders.get(link.identifier, ()):
                    is_later = theirs.since < link.since or link.confirmed
                    if theirs.seller != seller and theirs.verified and is_later and theirs.kind is link.kind:
                        strength = min(self.bound(link), self.bound(theirs))
                        hops.append(_make_hop(theirs.seller, (link, theirs), strength))
        return [one for one in hops if one.strength_ppm >= least_ppm]


def _make_hop(to: str, links: Sequence[LiveLink], strength_ppm: int) -> Hop:
    ends = [link.until for link in links if link.until is not None]
    return Hop(
        seller=links[0].seller,
        to=to,
        kind=links[0].kind,
        strength_ppm=strength_ppm,
        since=max(link.since[0] for link in links),
        until=min(ends, default=None),
        entries=tuple(link.entry_id for link in links),
    )
