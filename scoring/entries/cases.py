from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from scoring.base.enums import CaseState, PayoutsChange
from scoring.base.errors import CaseNotFound, FieldPath, LifecycleForbids, invalid
from scoring.base.time import DAY, format_time
from scoring.entries.contests import require_confirmed
from scoring.entries.entry import Entry, derive_entry
from scoring.entries.field_types import is_id
from scoring.entries.kinds.decisions import CaseChanged
from scoring.entries.kinds.settlement import PayoutsChanged
from scoring.entries.violation_state import ViolationState

OPEN_STATES = frozenset({CaseState.OPENED, CaseState.EXTENDED})

DECISION_DAYS = 30
"""Days after which an undecided stop of payouts ends."""

MAX_STOP_DAYS = 180
"""The longest undecided stop without an authority's order, in days."""

PAYOUTS_RULE = "payouts"
"""Replaces the rule in the name of a case if a person stopped payouts."""

LINK_RULE = "link"
"""Replaces the rule in the name of a case that a link opened."""


def name_case(rule: str, entry: str) -> str:
    """Return the case id of a caution, `RULE~ENTRY`; a digest replaces an entry that is too long."""
    name = f"{rule}~{entry}"
    return name if is_id(name) else f"{rule[:64]}~{sha256(name.encode()).hexdigest()[:32]}"


class PayoutStatement(NamedTuple):
    entry_id: str
    occur_time: int
    fact: PayoutsChanged | CaseChanged


class PayoutStop(NamedTuple):
    """In microseconds."""

    case: str
    begin: int
    end: int | None
    """None once the stop is confirmed."""
    is_decided: bool = False

    def lasts_past(self, time: int) -> bool:
        return self.end is None or time < self.end


def trace_stops(
    statements: Iterable[PayoutStatement], stands: Callable[[str], bool] = lambda _: True
) -> list[PayoutStop]:
    """Return the stops of payouts to one seller, the earliest first.

    `statements`: entries about its payouts and cases, by sequence. `stands`: returns whether a confirming violation is
    still valid. A stop lasts DECISION_DAYS; confirmed, until payouts are resumed, while at least one violation is
    valid.
    """
    all_stops: list[PayoutStop] = []
    for entry_id, time, fact in statements:
        last_stop = all_stops.pop() if all_stops else None
        if isinstance(fact, PayoutsChanged) and fact.change is PayoutsChange.STOPPED:
            new_stop = PayoutStop(name_case(PAYOUTS_RULE, entry_id), time, time + DECISION_DAYS * DAY)
            all_stops += [] if last_stop is None else [last_stop]
            if last_stop is None or not last_stop.lasts_past(time):
                all_stops.append(new_stop)
        elif last_stop is not None and isinstance(fact, PayoutsChanged):
            all_stops.append(last_stop._replace(end=min(time, last_stop.end or time), is_decided=True))
        elif last_stop is not None and isinstance(fact, CaseChanged):
            all_stops += (
                _apply_case_statement(last_stop, time, fact, stands) if fact.case == last_stop.case else [last_stop]
            )
    return all_stops


def _apply_case_statement(
    stop: PayoutStop, time: int, fact: CaseChanged, stands: Callable[[str], bool]
) -> list[PayoutStop]:
    """Return a stop after a statement about its case; confirmed after its end, it begins again."""
    if fact.state is CaseState.CONFIRMED and any(map(stands, fact.violations)):
        confirmed = stop._replace(end=None, is_decided=True)
        return [confirmed] if stop.lasts_past(time) else [stop, confirmed._replace(begin=time)]
    if fact.state is CaseState.ENDED:
        return [stop._replace(end=min(time, stop.end or time), is_decided=True)]
    return [stop._replace(end=fact.decide_by)] if fact.state is CaseState.EXTENDED and stop.lasts_past(time) else [stop]


@dataclass(slots=True)
class Cases:
    states: dict[tuple[str, str], CaseState] = field(default_factory=dict)
    """The last recorded state by seller and case. OPENED also for an unrecorded case of a recorded entry."""
    payout_statements: dict[str, list[PayoutStatement]] = field(default_factory=dict)
    new_facts: set[tuple[str, str]] = field(default_factory=set)
    """(seller, entry) of each new fact recorded after the last statement about the stop."""

    def state_case(
        self, entry: Entry, fact: CaseChanged, time: int, violations: Mapping[str, ViolationState], path: FieldPath
    ) -> None:
        """Record a statement about a case, at a time in microseconds.

        Raise CaseNotFound if it is no case of this seller. Raise LifecycleForbids if it is closed, cannot be
        extended, or a violation does not confirm it. Raise InvalidInput for missing fields of an extension.
        """
        path, key = (*path, "case"), (entry.seller, fact.case)
        if not fact.rule:
            before = self.states.get(key)
            if before is None:
                raise CaseNotFound(
                    f"no case {fact.case!r} of this seller is known; give the name that its caution states as `case`",
                    {"case": fact.case},
                    (*path, "case"),
                )
            if before not in OPEN_STATES:
                raise LifecycleForbids(
                    f"{fact.case!r} was {before.word}; a case is decided once",
                    {"status": before.name, "allowed": "opened"},
                    (*path, "case"),
                )
            require_confirmed(
                fact.violations, entry.seller, violations, "a case is confirmed by", (*path, "violations")
            )
            if fact.state is CaseState.EXTENDED:
                self._check_extension(entry.seller, fact, time, path)
        self.states[key] = fact.state
        self.payout_statements.setdefault(entry.seller, []).append(PayoutStatement(entry.entry_id, time, fact))

    def _check_extension(self, seller: str, fact: CaseChanged, time: int, path: FieldPath) -> None:
        stops = trace_stops(self.payout_statements.get(seller, ()))
        if not stops or stops[-1].case != fact.case or not stops[-1].lasts_past(time):
            raise LifecycleForbids(
                f"{fact.case!r} is no case of a stop of payouts that stands; only such a case is extended",
                {"status": "OVER", "allowed": "stopped"},
                (*path, "case"),
            )
        last, decide_by = stops[-1].begin + MAX_STOP_DAYS * DAY, fact.decide_by or 0
        if decide_by <= (stops[-1].end or 0) or (decide_by > last and not fact.authority_order):
            raise invalid(
                (*path, "decide_by"),
                f"must lie after {format_time(stops[-1].end or 0)} and not after {format_time(last)}; only the order of an"
                " authority, stated as authority_order, goes on for longer",
            )
        old = [name for name in fact.rests_on if (seller, name) not in self.new_facts]
        if old:
            text = f"names {old[0]!r}, which is no fact about this seller that was recorded since the stop or its extension"
            raise invalid((*path, "rests_on"), text)

    def follow_payouts(self, entry: Entry, fact: PayoutsChanged, time: int, path: FieldPath) -> Entry | None:
        """Record a stop or resumption; return the entry that opens or ends its case, if any.

        Raise LifecycleForbids for a new stop while the case of an ended stop is undecided.
        """
        changes = self.payout_statements.setdefault(entry.seller, [])
        last = next(reversed(trace_stops(changes)), None)
        changes.append(PayoutStatement(entry.entry_id, time, fact))
        if fact.change is PayoutsChange.STOPPED:
            if last is not None and last.lasts_past(time):
                return None
            if last is not None and not last.is_decided:
                raise LifecycleForbids(
                    f"the case {last.case!r} of the stop before was not decided; confirm or end it first",
                    {"status": "OPENED", "allowed": "decided"},
                    (*path, "payouts", "change"),
                )
            last = trace_stops(changes)[-1]
            state, decide_by = CaseState.OPENED, last.end
        elif last is None or last.is_decided:
            return None
        else:
            state, decide_by = CaseState.ENDED, None
        self.states[entry.seller, last.case] = state
        stated = CaseChanged(last.case, state, fact.actor, fact.reason, fact.ground, decide_by=decide_by)
        return derive_entry(entry, last.case, stated)


def list_possible_entries(case: str) -> list[str]:
    """Return the ids of entries that may have triggered the caution of a case: `a~b~c` may name `b~c` or `c`."""
    parts = case.split("~")
    return ["~".join(parts[place:]) for place in range(1, len(parts))]
