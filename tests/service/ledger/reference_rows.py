"""The reference's rows, violations and answers, and the effect of one decision."""

import hashlib
from dataclasses import dataclass, replace

from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import StatusChanged
from tests.service.ledger.reference_words import AUTHORITIES, LEADS, TYPES


class Refused(Exception):
    """The batch is refused; the text is the name of the error."""


@dataclass(frozen=True)
class Row:
    """A recorded entry. `waits`: a decision about an unrecorded violation."""

    sequence: int
    record_time: int
    seller: str
    entry: Entry
    occur_time: int
    report_time: int
    waits: bool = False

    @property
    def id(self) -> str:
        return self.entry.entry_id

    @property
    def fact(self):
        return self.entry.fact


@dataclass(frozen=True)
class Violation:
    """A violation after some decisions. `reduced`: the severity after a reduction."""

    seller: str
    status: str
    severity: int
    known: int
    reduced: bool = False
    units: int = 0

    def raised(self, units: int) -> int:
        steps = 2 if units >= 1000 else 1 if units >= 10 else 0
        return self.severity if self.reduced else min(self.severity + steps, 4)


@dataclass(frozen=True)
class Answer:
    """A seller's facts. `violations`: (id, severity, day, category); `incidents`: their ids, grouped."""

    violations: frozenset
    incidents: frozenset
    allegations: int
    orders: tuple
    start_day: int
    level: int
    tier: int
    exists: bool


def derived_id(origin: str, about: str) -> str:
    return "auto~" + hashlib.sha256(f"{origin}\x1f{about}".encode()).hexdigest()[:32]


def reported(row: Row) -> Violation:
    """Return the violation on arrival: an authority's final act with a verified match is confirmed."""
    fact = row.fact
    by_authority = fact.source.name in AUTHORITIES
    final = by_authority and fact.final and fact.identifier_verified
    _, by_harm, least = TYPES[fact.violation_type]
    severity = max(by_harm[fact.harm - 1], least if by_authority else 0)
    units = getattr(fact, "units", 0) if final else 0
    return Violation(row.seller, "confirmed" if final else "alleged", severity, row.report_time, units=units)


def decided(v: Violation, fact: StatusChanged, report_time: int) -> Violation | None:
    """Return the violation after a decision, or None if the decision is not allowed."""
    to = LEADS.get((v.status, fact.action.name.lower()))
    if to is None or (fact.severity is not None and fact.severity >= v.severity):
        return None
    units, known = fact.units or v.units, max(v.known, report_time)
    if fact.severity is not None:
        return Violation(v.seller, to, int(fact.severity), known, reduced=True, units=units)
    return replace(v, status=to, known=known, units=units)
