"""Rings: sellers whom links join, for staff to look at."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from scoring.base.arrays import Ints
from scoring.base.enums import SHARED_BY_NATURE
from scoring.base.time import DAY, format_day
from scoring.network.links import MAX_SHARING, PPM, Hold, LinkDecisions
from scoring.network.precision import find_precision

JOINED_DAYS = 30


class Ring(NamedTuple):
    sellers: tuple[str, ...]
    core: int
    """Sellers with at least two links to others of the ring."""
    joined: int
    """First linked in the last JOINED_DAYS."""


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


def find_shared(seller: Ints, thing: Ints) -> Ints:
    """Return the distinct pairs (seller, thing), shape (2, pairs), both codes from 0, of what several share, without hubs."""
    pairs: Ints = np.unique(np.stack([seller, thing]), axis=1)
    sharing = np.bincount(pairs[1])[pairs[1]]
    return pairs[:, (sharing > 1) & (sharing <= MAX_SHARING)]


def label_components(shared: Ints, sellers: int) -> Ints:
    """Return each seller's component number; sellers of one component are joined by shared things.

    `shared`: pairs (seller, thing) as two arrays.
    """
    seller, thing = shared
    nodes = sellers + (int(thing.max()) + 1 if len(thing) else 0)
    links = coo_array((np.ones(len(seller), dtype=np.int8), (seller, thing + sellers)), shape=(nodes, nodes))
    labels: Ints = connected_components(links, directed=False)[1][:sellers]
    return labels


def find_rings(holds: Iterable[Hold], least_size: int, time: int) -> list[Ring]:
    """Return the rings of at least `least_size` sellers at a time (microseconds), in no order."""
    live = [hold for hold in holds if hold.kind not in SHARED_BY_NATURE and hold.verified]
    names = list(dict.fromkeys([*(one.seller for one in live), *(one.other for one in live if one.other)]))
    code = {name: place for place, name in enumerate(names)}
    things: dict[tuple[str, ...], int] = {}
    pairs: list[tuple[int, int]] = []
    for one in live:
        thing = things.setdefault((one.identifier,) if one.identifier else (one.seller, one.other), len(things))
        pairs.append((code[one.seller], thing))
        if one.other:
            pairs.append((code[one.other], thing))
    if not pairs:
        return []
    shared = find_shared(*np.array(pairs, dtype=np.int64).T)
    labels = label_components(shared, len(names))
    order = np.argsort(labels, kind="stable")
    edges = [0, *(np.flatnonzero(np.diff(labels[order])) + 1).tolist(), len(names)]
    degree = np.bincount(shared[0], minlength=len(names))
    first = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(first, [code[one.seller] for one in live], [one.since[0] for one in live])
    is_new = first >= time - JOINED_DAYS * DAY
    return [
        Ring(
            tuple(sorted(names[place] for place in members)),
            int((degree[members] >= 2).sum()),
            int((is_new & (first < np.iinfo(np.int64).max))[members].sum()),
        )
        for begin, end in pairwise(edges)
        if len(members := order[begin:end]) >= least_size
    ]


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
    for month, of in sorted(by_month.items(), reverse=True):
        warned = [days for _, days in of if days is not None]
        middle = round(median(warned), 1) if warned else 0.0
        months.append(Month(month, sum(is_clean for is_clean, _ in of), len(warned), middle))
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
