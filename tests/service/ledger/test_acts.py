"""Moves of policies and proposals are proven like entries."""

from collections.abc import Sequence
from hashlib import sha256

import pytest
from sqlalchemy import text

from scoring.base.errors import ClockInDoubt
from service.ledger.append.policy_moves import NewMove, PolicyAction, PolicyMove
from service.ledger.append.proposals import Content, Step
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, Clock, exposure, identity
from tests.service.ledger.test_seals import owner, silent

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


SET = "UPDATE entry SET {} WHERE sequence = {}"
OTHER = "replace(content, 'so', 'no')"
EDITS = {
    "a policy's reason": (6, SET.format(f"content = {OTHER}", 6)),
    "a policy's text": (3, SET.format("content = replace(content, 'one', 'two')", 3)),
    "a policy's caller": (6, SET.format("principal = 'dns:carl.example'", 6)),
    "a policy's time": (6, SET.format("occur_time = occur_time - 1", 6)),
    "a policy's digest": (6, SET.format(f"target = '{FIRST}'", 6)),
    "a rollback made a commit": (7, SET.format("status = 2", 7)),
    "a move is deleted": (6, "DELETE FROM entry WHERE sequence = 6"),
    "all moves are deleted": (3, "DELETE FROM entry WHERE kind BETWEEN 1001 AND 1002"),
    "a proposal's request": (8, SET.format("content = (SELECT content FROM entry WHERE sequence = 11)", 8)),
    "a proposal's digest": (8, SET.format("digest = (SELECT digest FROM entry WHERE sequence = 11)", 8)),
    "a proposal's end": (11, SET.format("until_time = until_time + 2592000000000", 11)),
    "a proposal's author": (8, SET.format("principal = 'dns:carl.example'", 8)),
    "a withdrawal made an approval": (12, SET.format("status = 2", 12)),
    "an approval of another proposal": (9, SET.format("target = 'proposal/p-2'", 9)),
    "an approval is deleted": (9, "DELETE FROM entry WHERE sequence = 9"),
    "a withdrawal is deleted": (12, "DELETE FROM entry WHERE sequence = 12"),
    "all of a proposal is deleted": (11, "DELETE FROM entry WHERE target = 'proposal/p-2'"),
}


@pytest.mark.long
@pytest.mark.parametrize("edit", EDITS)
def test_each_edit_of_a_policy_or_proposal_is_named(url: str, clock: Clock, edit: str) -> None:
    sequence, statement = EDITS[edit]
    with Ledger.open(url, clock=clock) as ledger:
        fill(ledger)
        assert ledger.seals.verify([], silent).mismatch is None
        with owner(url) as connection:
            assert connection.execute(text(statement)).rowcount > 0
            connection.commit()
        found = ledger.seals.verify([], silent).mismatch
        assert found is not None
        assert found.sequence == sequence
        with owner(url) as connection:
            connection.execute(
                text(f"DELETE FROM seal WHERE first_sequence <= {sequence} AND last_sequence >= {sequence}")
            )
            connection.commit()
        assert ledger.seals.verify([], silent).mismatch is not None


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
    assert ledger.policies.digests("a") == [FIRST]


def test_an_act_is_refused_while_the_clock_is_in_doubt(url: str, clock: Clock) -> None:
    with Ledger.open(url, clock=clock) as ledger:
        ledger.append(MARKET, [exposure()])
        clock.now += 10 * 365 * 86_400_000_000
        with pytest.raises(ClockInDoubt):
            move(ledger, PolicyAction.COMMITTED, sha256(b"x").hexdigest(), "x")
        assert ledger.policies.list() == []
