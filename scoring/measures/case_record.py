from collections.abc import Iterable, Sequence
from typing import NamedTuple

from scoring.base.enums import CaseState
from scoring.caution.cautions import Caution
from scoring.entries.cases import LINK_RULE
from scoring.entries.entry import Entry
from scoring.entries.incidents import derived_id
from scoring.entries.kinds.decisions import CaseChanged
from scoring.measures.record import MECHANISM

MAX_RESTS_ON = 100


class CaseStatement(NamedTuple):
    entry_id: str
    occur_time: int
    fact: CaseChanged


class LinkInForce(NamedTuple):
    entry_id: str
    start: int
    end: int
    """In microseconds."""
    fact: CaseChanged

    @property
    def percent(self) -> int:
        """Return its strength in percent, rounded down."""
        return self.fact.strength_ppm // 10_000


def list_links(statements: Iterable[CaseStatement], time: int) -> tuple[LinkInForce, ...]:
    """Return a seller's links in force at a time (microseconds), the strongest first.

    `statements`: about its cases, by sequence; the last about a case counts. No link counts whose case a person decided.
    """
    last = {
        statement.fact.case: statement for statement in statements if statement.fact.case.startswith(f"{LINK_RULE}~")
    }
    found = [
        LinkInForce(one.entry_id, one.occur_time, one.fact.caution_end or 0, one.fact)
        for one in last.values()
        if one.fact.state is CaseState.OPENED and one.occur_time <= time < (one.fact.caution_end or 0)
    ]
    return tuple(sorted(found, key=lambda one: -one.fact.strength_ppm))


def list_case_changes(
    seller: str,
    cautions: Iterable[Caution],
    statements: Sequence[CaseStatement],
    *,
    time: int,
    at_sequence: int,
    policy: str,
) -> list[Entry]:
    """Return the entries that give each caution in force a recorded case; withdrawals come first.

    An open case is withdrawn if its caution ended early; an undecided case stays open. `statements`: about the seller's
    cases, by sequence; `time`: of the cautions, in microseconds.
    """
    last = {statement.fact.case: statement.fact for statement in statements}
    opened = {
        statement.fact.case: statement.fact for statement in statements if statement.fact.state is CaseState.OPENED
    }
    counts: dict[str, int] = {}
    for statement in statements:
        counts[statement.fact.case] = counts.get(statement.fact.case, 0) + 1
    current = {caution.case: caution for caution in cautions}
    facts = [
        CaseChanged(
            name,
            CaseState.WITHDRAWN,
            MECHANISM,
            "the caution is over before its time",
            rule=opened[name].rule,
            policy=policy,
            at_sequence=at_sequence,
        )
        for name, fact in last.items()
        if fact.state is CaseState.OPENED and fact.rule and name not in current and time < (fact.caution_end or 0)
    ]
    facts += [
        CaseChanged(
            name,
            CaseState.OPENED,
            MECHANISM,
            one.reference.strip() or one.rule,
            rule=one.rule,
            decide_by=one.decide_by,
            caution_end=one.end,
            rests_on=one.entries[-MAX_RESTS_ON:],
            policy=policy,
            at_sequence=at_sequence,
        )
        for name, one in current.items()
        if name not in last or last[name].state is CaseState.WITHDRAWN
    ]
    return [_entry_of(seller, fact, counts.get(fact.case, 0) + 1, time) for fact in facts]


def _entry_of(seller: str, fact: CaseChanged, number: int, time: int) -> Entry:
    about = "\x1f".join((seller, str(number), fact.state.name))
    return Entry(derived_id(fact.case, about), seller, fact, time)
