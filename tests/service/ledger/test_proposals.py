from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import text

from scoring.base.errors import ClockInDoubt, EntryContentDiffers, ProposalNotFound, TooManyCalls
from service.ledger.append.policy_moves import NewMove, PolicyAction, PolicyMove
from service.ledger.append.proposals import NewStep, Proposal, ProposalContent, ProposalStep, ProposalWriter
from service.ledger.database.tables import ENTRY
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, NOW, Clock, exposure, identity
from tests.helpers.databases import writing
from tests.helpers.ledgers import back_up, owner, restore
from tests.helpers.plans import FAULTS, listening

CONTENT = ProposalContent("LedgerService/AppendEntries", b"\x0a\x01m", "a-1", "so", {"champion": "x"})


def propose(ledger: Ledger, name: str, marketplace: str = MARKET, content: ProposalContent = CONTENT) -> Proposal:
    return ledger.proposals.propose(marketplace, name, content, principal="dns:anna.example", seller="s1", hours=1)


def take(ledger: Ledger, name: str, step: ProposalStep, check: Callable[[Proposal], bool] = lambda _: True) -> Proposal:
    return ledger.proposals.take_step(MARKET, name, NewStep(step, "dns:bert.example", "b-1", "ja"), check)


def test_a_proposal_stands_as_its_steps_say(ledger: Ledger, clock: Clock) -> None:
    first = propose(ledger, "p-1")
    assert (first.content, first.expire_time - NOW, first.is_expired) == (CONTENT, 3_600_000_000, False)
    clock.now += 5
    assert propose(ledger, "p-1") == Proposal(1, MARKET, "p-1", "s1", CONTENT, first.expire_time, first.steps, NOW + 5)
    with pytest.raises(EntryContentDiffers):
        propose(ledger, "p-1", content=ProposalContent(CONTENT.method, b"other", "a-1", "so", {}))
    found = take(ledger, "p-1", ProposalStep.APPROVED)
    assert [(one.step, one.principal, one.step_time - NOW, one.actor, one.reason) for one in found.steps] == [
        (ProposalStep.PROPOSED, "dns:anna.example", 0, "a-1", "so"),
        (ProposalStep.APPROVED, "dns:bert.example", 5, "b-1", "ja"),
    ]
    assert take(ledger, "p-1", ProposalStep.USED, lambda _: False) == found
    assert ledger.proposals.find(MARKET, "p-1") == found
    with pytest.raises(ProposalNotFound):
        ledger.proposals.find("other", "p-1")
    with pytest.raises(ProposalNotFound):
        take(ledger, "p-2", ProposalStep.APPROVED)


def test_an_open_proposal_answers_for_its_repeat(ledger: Ledger, clock: Clock) -> None:
    propose(ledger, "p-1")
    again = ProposalContent(CONTENT.method, CONTENT.request, "c-1", "other words", {})
    assert propose(ledger, "p-2", content=again).proposal == "p-1"
    assert propose(ledger, "p-2", "other", again).proposal == "p-2"
    for number, step in ((3, ProposalStep.USED), (4, ProposalStep.WITHDRAWN)):
        name = propose(ledger, f"p-{number - 1}").proposal
        take(ledger, name, step)
        assert propose(ledger, f"p-{number}").proposal == f"p-{number}"
    clock.now += 3_600_000_000
    assert propose(ledger, "p-9").proposal == "p-9"


def test_no_more_proposals_are_open_than_people_can_look_at(ledger: Ledger, clock: Clock) -> None:
    bounded = ProposalWriter(ledger.clock, max_open=5, max_open_of_caller=3)

    def one(name: str, principal: str) -> Proposal:
        content = ProposalContent(CONTENT.method, name.encode(), "a-1", "so", {})
        return bounded.propose(MARKET, name, content, principal=principal, seller="", hours=1)

    def refused(name: str, principal: str) -> str:
        with pytest.raises(TooManyCalls) as caught:
            one(name, principal)
        assert caught.value.metadata == {"limit": "proposals"}
        return caught.value.message

    for name in ("a-1", "a-2", "a-3"):
        one(name, "a")
    assert "this caller has 3 open proposals" in refused("a-4", "a")
    assert one("a-1", "a").proposal == "a-1"
    one("b-1", "b")
    one("b-2", "b")
    assert "there are 5 open proposals" in refused("c-1", "c")
    take(ledger, "a-2", ProposalStep.WITHDRAWN)
    one("a-4", "a")
    take(ledger, "b-1", ProposalStep.USED)
    one("b-3", "b")
    clock.now += 3_600_000_000
    one("c-1", "c")


def test_a_step_that_is_refused_leaves_nothing(ledger: Ledger) -> None:
    first = propose(ledger, "p-1")

    def refuse(_: Proposal) -> bool:
        raise ValueError("not today")

    with pytest.raises(ValueError, match="not today"):
        take(ledger, "p-1", ProposalStep.APPROVED, refuse)
    assert ledger.proposals.find(MARKET, "p-1") == first


def test_a_request_in_the_place_of_another_is_none(url: str, clock: Clock) -> None:
    with Ledger.open(url, clock=clock) as ledger:
        propose(ledger, "p-1")
        propose(ledger, "p-2", content=ProposalContent(CONTENT.method, b"other", "a-1", "so", {}))
        with owner(url) as connection:
            other = "(SELECT content FROM entry WHERE sequence = 2)"
            connection.execute(text(f"UPDATE entry SET content = {other} WHERE sequence = 1"))
            connection.commit()
        assert ledger.proposals.find(MARKET, "p-1").content is None
        assert ledger.proposals.find(MARKET, "p-2").content is not None


def test_a_backup_keeps_proposals(url: str, tmp_path: Path, clock: Clock) -> None:
    with Ledger.open(url, clock=clock) as ledger:
        ledger.append(MARKET, [exposure()])
        propose(ledger, "p-1")
        before = take(ledger, "p-1", ProposalStep.APPROVED)
    for without_keys in (False, True):
        file, copy = tmp_path / f"{without_keys}.zip", f"sqlite:///{tmp_path / str(without_keys)}.db"
        back_up(url, file, without_keys=without_keys)
        restore(copy, file)
        with Ledger.open(copy, clock=clock) as restored:
            found = restored.proposals.find(MARKET, "p-1")
        if without_keys:
            assert (found.content, [one.principal for one in found.steps]) == (
                None,
                [one.principal for one in before.steps],
            )
        else:
            assert found == before


def test_the_proposals_of_a_marketplace_are_found_by_an_index(url: str, backend: str, clock: Clock) -> None:
    with Ledger.open(url, clock=clock) as ledger:
        propose(ledger, "p-1")
        with writing(url) as connection:
            names = [c.name for c in ENTRY.c if c.name not in ("sequence", "marketplace")]
            columns = ", ".join(names)
            copied = ", ".join(f"{name} || i" if name in ("entry_id", "target") else name for name in names)
            numbers = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
            chosen = f"SELECT i, 'big' || i % 2, {copied} FROM n, entry"
            insertion = f"INSERT INTO entry (sequence, marketplace, {columns})"
            parts = (insertion, numbers) if backend == "postgresql" else (numbers, insertion)
            connection.execute(text(" ".join((*parts, chosen))))
        clock.now += 3_600_000_000
        propose(ledger, "p-2")
        with listening() as asked:
            [found] = ledger.proposals.list(MARKET, 2**62, 1)
            more = ledger.proposals.list(MARKET, found.number, 5)
        assert [one.proposal for one in (found, *more)] == ["p-2", "p-1"]
        names = next((sql, values) for sql, values in asked if "status = 1" in sql and "EXISTS" not in sql.upper())
        steps = next((sql, values) for sql, values in asked if "entry.content" in sql)
        with ledger.database.read() as connection:
            faults, plan = FAULTS[backend](connection, *names)
            assert faults == []
            assert "entry_acts" in str(plan)
            assert "entry_of_target" in str(FAULTS[backend](connection, *steps)[1])


FIRST, SECOND = "a" * 64, "b" * 64


def move(ledger: Ledger, action: PolicyAction, digest: str, content: str | None = None) -> PolicyMove:
    made = NewMove(action, digest, "a-1", "so", content=content)

    def decide(moves: Sequence[PolicyMove]) -> list[NewMove]:
        return [made]

    return ledger.policies.move("dns:anna.example", decide)


def fill(ledger: Ledger) -> None:
    ledger.append(MARKET, [identity(), exposure()])
    move(ledger, PolicyAction.COMMITTED, FIRST, "one")
    move(ledger, PolicyAction.COMMITTED, SECOND, "two")
    move(ledger, PolicyAction.ROLLED_BACK, FIRST)
    for name, last in (("p-1", ProposalStep.USED), ("p-2", ProposalStep.WITHDRAWN)):
        content = ProposalContent("LedgerService/AppendEntries", name.encode(), "a-1", "so", {})
        ledger.proposals.propose(MARKET, name, content, principal="dns:anna.example", seller="s1", hours=1)
        if last is ProposalStep.USED:
            approved = NewStep(ProposalStep.APPROVED, "dns:bert.example")
            ledger.proposals.take_step(MARKET, name, approved, lambda _: True)
        ledger.proposals.take_step(MARKET, name, NewStep(last, "dns:anna.example"), lambda _: True)
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
