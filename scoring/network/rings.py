"""Rings: sellers whom links join, for staff to look at."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import nsmallest
from statistics import median
from typing import NamedTuple

from scoring.base.enums import SHARED_BY_NATURE, LinkKind
from scoring.base.time import DAY, format_day
from scoring.network.links import MAX_SHARING, MAX_STATED, PPM, LinkDecisions, LinkStatement, LiveLink, find_live_links
from scoring.network.precision import find_precision

JOINED_DAYS = 30

Thing = str | tuple[str, str]
"""An identifier, or a stated link (seller, other seller)."""


class Ring(NamedTuple):
    sellers: tuple[str, ...]
    core: int
    """Sellers with at least two links to others of the ring."""
    joined: int
    """First linked in the last JOINED_DAYS."""
    violators: int


class LinkCase(NamedTuple):
    seller: str
    time: int
    """When the case of a link was opened, in microseconds."""


class Month(NamedTuple):
    month: str
    """`YYYY-MM`."""
    clean: int
    """Sellers without a confirmed violation by then."""
    warned: int
    """Sellers with a violation confirmed later."""
    warning_days: float
    """The median between both; 0 without any."""


class RingIndex:
    """A changed seller regroups only the rings that it leaves or joins. Times: in microseconds. Not thread-safe."""

    def __init__(self) -> None:
        self._things: dict[str, dict[Thing, LinkKind | None]] = {}
        """By seller: the kind that joins it. None: it counts toward a hub alone."""
        self._holders: dict[Thing, set[str]] = {}
        self._repeats: dict[str, Counter[str]] = {}
        """By seller, statements of each identifier beside a live link."""
        self._repeated: Counter[Thing] = Counter()
        self._since: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        self._ring_of: dict[str, tuple[str, ...]] = {}
        self._rings: dict[str, tuple[str, ...]] = {}
        """By the first seller."""
        self._changed_sellers: set[str] = set()

    def replace(self, seller: str, statements: Sequence[LinkStatement], time: int) -> None:
        """Let these be all statements of a seller's links."""
        for thing in [*self._things.get(seller, ())]:
            if isinstance(thing, str) or thing[0] == seller:
                for one in _list_sides(seller, thing):
                    self._leave(one, thing)
        links = find_live_links(statements, time)
        for link in links:
            thing = link.identifier or (seller, link.other)
            if link.identifier or _is_joining(link):
                for one in _list_sides(seller, thing):
                    self._join(one, thing, link.kind if _is_joining(link) else None)
        repeats = Counter(one.fact.identifier for one in statements if one.fact.identifier)
        self._record_repeats(seller, repeats - Counter(link.identifier for link in links))
        for kept, times in (
            (self._since, [link.since[0] for link in links if _is_joining(link)]),
            (self._ends, [link.until for link in links if link.until is not None]),
        ):
            kept.pop(seller, None)
            if times:
                kept[seller] = min(times)

    def _join(self, seller: str, thing: Thing, kind: LinkKind | None) -> None:
        self._mark_changed(thing)
        self._things.setdefault(seller, {})[thing] = kind
        self._holders.setdefault(thing, set()).add(seller)
        self._mark_changed(thing)

    def _leave(self, seller: str, thing: Thing) -> None:
        self._mark_changed(thing)
        holders = self._holders[thing]
        things = self._things[seller]
        holders.remove(seller)
        del things[thing]
        self._mark_changed(thing)
        if not holders:
            del self._holders[thing]
        if not things:
            del self._things[seller]

    def _record_repeats(self, seller: str, repeats: Counter[str]) -> None:
        """Note a seller's superseded statements by identifier: they count toward a hub."""
        before = self._repeats.pop(seller, Counter())
        if repeats:
            self._repeats[seller] = repeats
        for identifier in before | repeats:
            self._mark_changed(identifier)
            self._repeated[identifier] += repeats[identifier] - before[identifier]
            if not self._repeated[identifier]:
                del self._repeated[identifier]
            self._mark_changed(identifier)

    def _mark_changed(self, thing: Thing) -> None:
        """Called before and after a change, which may make a hub or end one."""
        if not self._is_hub(thing):
            self._changed_sellers |= self._holders.get(thing, set())

    def _is_hub(self, thing: Thing) -> bool:
        holders = len(self._holders.get(thing, ()))
        return holders > MAX_SHARING or holders + self._repeated[thing] >= MAX_STATED

    def list_with_ended_link(self, time: int) -> list[str]:
        return [seller for seller, end in self._ends.items() if end <= time]

    def list_rings(self, least_size: int, most: int, time: int, violators: Iterable[str]) -> tuple[list[Ring], int]:
        """Return at most `most` rings of at least `least_size` sellers, most violators first; and the number of all."""
        self._regroup()
        counts = Counter(self._ring_of[seller][0] for seller in violators if seller in self._ring_of)
        rings = [ring for ring in self._rings.values() if len(ring) >= least_size]
        violating = [self._rings[first] for first in counts if len(self._rings[first]) >= least_size]
        shown = sorted(violating, key=lambda ring: (-counts[ring[0]], -len(ring), ring[0]))[:most]
        others = (ring for ring in rings if ring[0] not in counts)
        shown += nsmallest(most - len(shown), others, key=lambda ring: (-len(ring), ring[0]))
        return [self._describe_ring(ring, counts[ring[0]], time) for ring in shown], len(rings)

    def _describe_ring(self, ring: tuple[str, ...], violators: int, time: int) -> Ring:
        core = sum(sum(len(joined) > 1 for joined in self._list_joined_groups(one)) >= 2 for one in ring)
        joined = sum(self._since.get(one, 0) >= time - JOINED_DAYS * DAY for one in ring)
        return Ring(ring, core, joined, violators)

    def _regroup(self) -> None:
        """Find the rings of changed sellers again."""
        loose = self._changed_sellers
        for ring in [self._ring_of[seller] for seller in loose if seller in self._ring_of]:
            if self._rings.pop(ring[0], None):
                loose.update(ring)
                for seller in ring:
                    del self._ring_of[seller]
        while loose:
            members = self._collect_ring(loose.pop())
            loose -= members
            if len(members) > 1:
                ring = tuple(sorted(members))
                self._rings[ring[0]] = ring
                self._ring_of |= dict.fromkeys(ring, ring)

    def _collect_ring(self, seller: str) -> set[str]:
        members, open_sellers = {seller}, [seller]
        while open_sellers:
            for joined in self._list_joined_groups(open_sellers.pop()):
                new = joined - members
                members |= new
                open_sellers += new
        return members

    def _list_joined_groups(self, seller: str) -> Iterator[set[str]]:
        for thing, kind in self._things.get(seller, {}).items():
            if kind is not None and not self._is_hub(thing):
                yield {one for one in self._holders[thing] if self._things[one][thing] is kind}


def _is_joining(link: LiveLink) -> bool:
    return link.verified and link.kind not in SHARED_BY_NATURE


def _list_sides(seller: str, thing: Thing) -> tuple[str, ...]:
    return (seller,) if isinstance(thing, str) else thing


def list_months(cases: Iterable[LinkCase], confirmed: Mapping[str, Sequence[int]]) -> list[Month]:
    """Count cases of links by the month (UTC) that opened them, newest first.

    Each of a seller's cases counts it. `confirmed`: by seller, when its violations were confirmed, in microseconds.
    """
    by_month: dict[str, list[tuple[bool, float | None]]] = {}
    for case in cases:
        times = sorted(confirmed.get(case.seller, ()))
        later = next((time for time in times if time > case.time), None)
        days = None if later is None else (later - case.time) / DAY
        is_clean = not times or times[0] > case.time
        by_month.setdefault(format_day(case.time // DAY)[:7], []).append((is_clean, days))
    months = []
    for month, warnings in sorted(by_month.items(), reverse=True):
        warned = [days for _, days in warnings if days is not None]
        middle = round(median(warned), 1) if warned else 0.0
        months.append(Month(month, sum(is_clean for is_clean, _ in warnings), len(warned), middle))
    return months


def bound_innocent(clean: int, sellers: int, decided: Iterable[LinkDecisions]) -> float:
    """Return the most clean sellers per 100,000 whose link is not real, by the decided links (95 %).

    Worked: 40 of 100,000 touched, 1 of 99 decided links severed: at most 2.2.
    """
    counts = [*decided]
    wrong = find_precision(
        LinkDecisions(sum(count.severed for count in counts), sum(count.confirmed for count in counts))
    )[1]
    return round(100_000 * clean / sellers * wrong / PPM, 2) if sellers else 0.0
