from collections.abc import Sequence
from hashlib import sha256

import pytest

from scoring.base.errors import ClockInDoubt
from service.ledger.append.policy_moves import NewMove, PolicyAction, PolicyMove
from service.ledger.append.proposals import Content, Step
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, Clock, exposure, identity

FIRST, SECOND = "a" * 64, "b" * 64


def move(ledger: Ledger, action: PolicyAction, digest: str, content: str | None = None) -> PolicyMove:
    made = NewMove(action, digest, "a-1", "so", content=content)

    def decide(moves: Sequence[PolicyMove]) -> list[NewMove]:
        return [made]

    return ledger.policies.move("dns:anna.example", decide)


def fill(ledger: Ledger) -> None:
    """Sequences 1 and 2 are facts, 3 to 7 the policy, 8 to 12 proposals: one used, one withdrawn; 13 is a fact."""
    ledger.append(MARKET, [identity(), exposure()])
    move(ledger, PolicyAction.COMMITTED, FIRST, "one")
    move(ledger, PolicyAction.COMMITTED, SECOND, "two")
    move(ledger, PolicyAction.ROLLED_BACK, FIRST)
    for name, last in (("p-1", Step.USED), ("p-2", Step.WITHDRAWN)):
        content = Content("LedgerService/AppendEntries", name.encode(), "a-1", "so", {})
        ledger.proposals.propose(MARKET, name, content, principal="dns:anna.example", seller="s1", hours=1)
        if last is Step.USED:
            ledger.proposals.take_step(MARKET, name, Step.APPROVED, principal="dns:bert.example", check=lambda _: True)
        ledger.proposals.take_step(MARKET, name, last, principal="dns:anna.example", check=lambda _: True)
    ledger.append(MARKET, [exposure(15_000, entry_id="last")])


def test_acts_are_in_no_list_and_no_export_of_facts(ledger: Ledger) -> None:
    fill(ledger)
    cut = ledger.cut()
    assert [one.sequence for one in ledger.entries.list(MARKET, cut)] == [1, 2, 13]
    assert [row[0] for rows in ledger.entries.export(MARKET, cut) for row in rows] == [1, 2, 13]
    assert ledger.sellers.list_marketplaces() == [MARKET]
    assert [change.sequence for change in ledger.changes.list(0, 99, 99)] == [*range(1, 14)]
    assert [(one.number, one.action, one.digest) for one in ledger.policies.list(1, 2)] == [
        (2, PolicyAction.COMMITTED, SECOND),
        (3, PolicyAction.ROLLED_BACK, FIRST),
    ]
    assert ledger.policies.list_digests("a") == [FIRST]


def test_an_act_is_refused_while_the_clock_is_in_doubt(url: str, clock: Clock) -> None:
    with Ledger.open(url, clock=clock) as ledger:
        ledger.append(MARKET, [exposure()])
        clock.now += 10 * 365 * 86_400_000_000
        with pytest.raises(ClockInDoubt):
            move(ledger, PolicyAction.COMMITTED, sha256(b"x").hexdigest(), "x")
        assert ledger.policies.list() == []
