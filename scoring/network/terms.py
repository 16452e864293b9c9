"""The terms that links bring a seller: by the strongest path of at most two hops to a confirmed violator, and by that
to a suspended one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from scoring.base.enums import LinkKind, Severity
from scoring.base.time import DAY
from scoring.network.links import PPM, Graph, Hop

MIN_STRENGTH_PPM = 500_000
"""Weaker paths bring no term."""

MAX_CAUSE_DAYS = 365
"""Days after its confirmation for which a violation reaches linked sellers."""

LEAST_CAUSE = Severity.MAJOR
"""Lighter violations reach no other seller."""


class Violator(NamedTuple):
    violation: str
    time: int
    """When it was established, in microseconds."""
    is_suspended: bool

    @property
    def until(self) -> int:
        """Return when its violation stops to reach others, in microseconds."""
        return self.time + MAX_CAUSE_DAYS * DAY


class LinkTerm(NamedTuple):
    """Ends with any part of the path, or with its cause."""

    seller: str
    violator: str
    cause: str
    """The violation."""
    strength_ppm: int
    kinds: tuple[LinkKind, ...]
    """Of each hop."""
    start: int
    until: int
    """In microseconds."""
    entries: tuple[str, ...]
    """The path's; the cause is last."""
    is_suspended: bool
    accounts: int = 0
    """If the violator is suspended: the accounts with a term of it."""


def find_terms(sellers: Iterable[str], graph: Graph, violators: Mapping[str, Violator], time: int) -> list[LinkTerm]:
    """Return the terms of sellers at a time (microseconds), at most two each.

    `graph`: complete for two hops, also around suspended violators, whose accounts are counted among `sellers`. Worked:
    s-3 took up the bank account of s-2 (precision 0.9), who took up the device of violator s-1 (0.8). The path of s-3
    has strength 0.72.
    """
    terms: dict[tuple[str, str], LinkTerm] = {}
    hops: dict[str, list[Hop]] = {}
    for seller in sellers:
        paths = [*_list_terms_of_paths(seller, graph, violators, time, hops)]
        for candidates in (paths, [path for path in paths if path.is_suspended]):
            if candidates:
                best = max(candidates, key=_rank_path)
                terms[seller, best.cause] = best
    counts = Counter(one.violator for one in terms.values() if one.is_suspended)
    return [one._replace(accounts=counts[one.violator]) for one in terms.values()]


def _list_terms_of_paths(
    seller: str, graph: Graph, violators: Mapping[str, Violator], time: int, hops_by_seller: dict[str, list[Hop]]
) -> Iterable[LinkTerm]:
    def hops_of(name: str) -> list[Hop]:
        if name not in hops_by_seller:
            hops_by_seller[name] = graph.hops(name, MIN_STRENGTH_PPM)
        return hops_by_seller[name]

    for first in hops_of(seller):
        yield from _build_term_of_path((first,), violators, time)
        for second in hops_of(first.to):
            if second.to != seller:
                yield from _build_term_of_path((first, second), violators, time)


def _build_term_of_path(path: tuple[Hop, ...], violators: Mapping[str, Violator], time: int) -> Iterable[LinkTerm]:
    violator = violators.get(path[-1].to)
    strength = PPM
    for hop in path:
        strength = strength * hop.strength_ppm // PPM
    if violator is None or strength < MIN_STRENGTH_PPM:
        return
    until = min([violator.until, *(hop.until for hop in path if hop.until is not None)])
    if until > time:
        yield LinkTerm(
            seller=path[0].seller,
            violator=path[-1].to,
            cause=violator.violation,
            strength_ppm=strength,
            kinds=tuple(hop.kind for hop in path),
            start=max(violator.time, *(hop.since for hop in path)),
            until=until,
            entries=(*(entry for hop in path for entry in hop.entries), violator.violation),
            is_suspended=violator.is_suspended,
        )


def _rank_path(term: LinkTerm) -> tuple[object, ...]:
    return (term.strength_ppm, term.is_suspended, -len(term.kinds), term.until, term.violator, term.entries)
