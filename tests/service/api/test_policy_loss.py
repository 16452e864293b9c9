import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from scoring.base.enums import MeasureState
from scoring.base.time import DAY, format_day
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import MeasureChanged
from scoring.loss_certificate.certificate import accept, certify, list_losses
from scoring.loss_certificate.exceptions import Granted
from scoring.measures.record import name_measure
from scoring.policy.measures import SettlementHold, ValueCap
from sellertrust.v1.policy_service_pb2 import AcceptedLoss, CommitPolicyRequest, CommitPolicyResponse
from sellertrust.v1.policy_service_pb2_grpc import PolicyServiceStub
from service.policy import loss_check
from service.policy.certificate_file import SHIPPED_ASSUMPTIONS, read_assumptions
from tests.helpers.four_eyes import ALL, PERSONS, SAID, needs_approval, persons, world
from tests.helpers.refusals import refused
from tests.helpers.servers import MARKET
from tests.scoring.loss_certificate.toys import policy_of
from tests.service.api.test_policy_service import EYES, LADDER, TIERS, Running

ASSUMED = SHIPPED_ASSUMPTIONS.read_text(encoding="utf-8")
LOSSES = {"against_faked_history": 153_980_000, "unconditional": 159_980_000}
"""One name's loss by the ladder and the shipped assumptions, in cents."""

SAFE = LADDER.text + (
    '[[rules]]\nid = "all"\nreference = "Terms 1"\nmeasures = [{ kind = "settlement_hold", days = 180 }]\n'
)


@pytest.fixture
def one(url: str, tmp_path: Path) -> Iterator[Running]:
    with ExitStack() as stack:
        yield Running(url, tmp_path, stack)


def commit(one: Running, policy: str = LADDER.text, expected: str = TIERS.digest, **fields: object):
    return one.policies.commit_policy(policy, expected=expected, **(SAID | fields))


def test_losses_are_refused_until_they_are_accepted(
    one: Running,
) -> None:
    error = refused("FAILED_PRECONDITION", "LOSS_NOT_ACCEPTED", commit, one, assumptions=ASSUMED)
    assert error.metadata == {"losses": "against_faked_history=153980000 unconditional=159980000"}
    less = LOSSES | {"unconditional": 159_979_999}
    error = refused("FAILED_PRECONDITION", "LOSS_NOT_ACCEPTED", commit, one, assumptions=ASSUMED, accepted_losses=less)
    assert error.metadata == {"losses": "unconditional=159980000"}
    assert "1,599,800.00 EUR; only 1,599,799.99 EUR of unconditional is accepted" in str(error)
    assert [*one.policies.list_policy_moves()] == []
    more = LOSSES | {"unconditional": 10**12}
    done = commit(one, assumptions=ASSUMED, accepted_losses=more)
    nobody = Granted(0, ())
    made = certify(LADDER, read_assumptions(SHIPPED_ASSUMPTIONS), granted=nobody)
    by_hand = accept(made, dict.fromkeys(LOSSES, SAID["actor"]))
    assert done.serving_digest == LADDER.digest
    assert done.move.certificate == by_hand["digest"]
    assert {loss.verdict: loss.sum_minor for loss in done.move.accepted_losses} == LOSSES
    assert [*one.policies.list_policy_moves()][-1] == done.move
    assert one.policies.get_policy().commit == done.move
    assert commit(one, assumptions=ASSUMED, accepted_losses=more).move == done.move


def test_later_commits_are_certified_by_committed_assumptions(one: Running) -> None:
    assert commit(one).move.certificate == ""
    one.policies.rollback_policy(**SAID)
    commit(one, assumptions=ASSUMED, accepted_losses=LOSSES)
    one.policies.rollback_policy(**SAID)
    refused("FAILED_PRECONDITION", "LOSS_NOT_ACCEPTED", commit, one)
    first = assumed_by(one, commit(one, accepted_losses=LOSSES))
    one.policies.rollback_policy(**SAID)
    other = ASSUMED.replace("count = 20", "count = 21")
    second = assumed_by(one, commit(one, assumptions=other, accepted_losses=LOSSES))
    one.policies.rollback_policy(**SAID)
    assert assumed_by(one, commit(one, accepted_losses=LOSSES)) == second != first


def assumed_by(one: Running, done: CommitPolicyResponse) -> str:
    move = one.ledger.policies.find_last()
    assert move is not None
    assert move.certificate == done.move.certificate != ""
    return move.assumptions


def test_impossible_assumptions_are_refused_by_field(one: Running) -> None:
    def wrong(**fields: object) -> tuple[list[str], str]:
        error = refused("INVALID_ARGUMENT", "", commit, one, **fields)
        return [name for name, _ in error.fields], str(error)

    assert wrong(assumptions="stop = ")[0] == ["assumptions"]
    assert wrong(assumptions=ASSUMED + "#" * 20_000)[0] == ["assumptions"]
    fields, text = wrong(assumptions=ASSUMED.replace("days = 9", "days = 0"))
    assert (fields, "stop.days must be a whole number" in text) == (["assumptions"], True)
    assert wrong(accepted_losses=LOSSES)[0] == ["accepted_losses"]
    assert wrong(assumptions=ASSUMED, accepted_losses=LOSSES | {"any": 1})[0] == ["accepted_losses"]
    fields, text = wrong(assumptions=ASSUMED.replace('"EUR"', '"CNY"'))
    assert (fields, "there is no certificate of the policy ladder" in text) == (["text"], True)
    twice = [AcceptedLoss(verdict="unconditional", sum_minor=1)] * 2
    request = CommitPolicyRequest(
        text=LADDER.text, expected=f"policies/{TIERS.digest}", assumptions=ASSUMED, accepted_losses=twice, **SAID
    )
    with pytest.raises(Exception, match="names a verdict twice"):
        PolicyServiceStub(one.client.channel).CommitPolicy(request)
    assert [*one.policies.list_policy_moves()] == []


def test_a_commit_is_refused_if_the_other_code_does_not_prove_it(one: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certifier is faulty: it states a tenth of the largest take."""

    def understate(*arguments: object, **options: object) -> dict[str, Any]:
        found = certify(*arguments, **options)
        found["takes"]["largest"]["gross_minor"] //= 10
        return found

    # a maker with a defect, which the other code finds
    monkeypatch.setattr(loss_check, "certify", understate)
    error = refused("INVALID_ARGUMENT", "", commit, one, SAFE, assumptions=ASSUMED)
    assert [name for name, _ in error.fields] == ["text"]
    assert "the independent check refuses: the takes are not those" in str(error)
    assert [*one.policies.list_policy_moves()] == []


def limited(name: str, value: int, *measures: str) -> str:
    every = ", ".join([f'{{ kind = "value_cap", value_minor = {value} }}', *measures])
    rule = f'[[rules]]\nid = "{name}"\nreference = "Terms 2"\nmeasures = [{every}]\n'
    return LADDER.text.replace('name = "ladder"', f'name = "{name}"') + rule


MUCH = limited("much", 3_000_000, '{ kind = "settlement_hold", days = 15 }')
"""A run of 16 days: the orders of its first day are paid out before the stop."""
LITTLE = limited("little", 187_500)
"""All orders of a run are paid out: the same sum."""
EACH = 3_000_000 - 20_000
BOTH = 3_000_000 + 15 * 187_500 - 20_000
"""Less the price of a name: a day under the first policy, and 15 under the second."""


def test_a_commit_is_judged_with_the_policies_before_it(one: Running) -> None:
    """Each policy alone allows 30,000 EUR; a run from the day before the commit takes 58,125 until its stop."""
    first = sums(EACH, MUCH)
    head = commit(one, MUCH, assumptions=ASSUMED, accepted_losses=first).serving_digest
    last = sums(BOTH, LITTLE, MUCH)
    error = refused("FAILED_PRECONDITION", "LOSS_NOT_ACCEPTED", commit, one, LITTLE, head, accepted_losses=first)
    until = one.ledger.cut().observe_time // DAY + 16
    assert error.metadata == {"losses": " ".join(f"{name}={most}" for name, most in last.items())}
    assert f"runs that began under policies before count until {format_day(until)}" in str(error)
    move = commit(one, LITTLE, head, accepted_losses=last).move
    assert {loss.verdict: loss.sum_minor for loss in move.sequence_losses} == last
    assert move.owed_until.ToMicroseconds() == until * DAY
    assert [*one.policies.list_policy_moves()][-1] == move


def test_a_rollback_states_the_sum_and_is_not_refused(one: Running) -> None:
    head = commit(one, LITTLE, assumptions=ASSUMED, accepted_losses=sums(16 * 187_500 - 20_000, LITTLE)).serving_digest
    commit(one, MUCH, head, accepted_losses=sums(EACH, MUCH, LITTLE))
    move = one.policies.rollback_policy(**SAID).move
    assert {loss.verdict: loss.sum_minor for loss in move.sequence_losses} == sums(BOTH, LITTLE, LITTLE, MUCH)
    assert move.owed_until.ToMicroseconds() == (one.ledger.cut().observe_time // DAY + 16) * DAY
    assert [*one.policies.list_policy_moves()][-1] == move
    unbounded = one.policies.rollback_policy(**SAID).move
    assert (unbounded.policy, [*unbounded.sequence_losses]) == (f"policies/{TIERS.digest}", [])


def sums(unconditional: int, text: str, *older: str) -> dict[str, int]:
    policies = [policy_of(tomllib.loads(one)) for one in (text, *older)]
    found = list_losses(certify(policies[0], read_assumptions(SHIPPED_ASSUMPTIONS), older=policies[1:]))
    assert found["unconditional"] == unconditional
    return {name: most for name, most in found.items() if most is not None}


def test_a_stricter_policy_waits_for_no_sum_of_those_before(one: Running) -> None:
    loose = limited("loose", 200_000)
    allowed = sums(16 * 200_000 - 20_000, loose)
    head = commit(one, loose, assumptions=ASSUMED, accepted_losses=allowed).serving_digest
    strict = limited("strict", 1_000, '{ kind = "settlement_hold", days = 180 }')
    move = commit(one, strict, head).move
    assert not move.accepted_losses
    assert {loss.verdict: loss.sum_minor for loss in move.sequence_losses} == allowed
    one.policies.rollback_policy(**SAID)
    looser = limited("looser", 300_000)
    error = refused("FAILED_PRECONDITION", "LOSS_NOT_ACCEPTED", commit, one, looser, head)
    assert f"unconditional={sums(16 * 300_000 - 20_000, looser, loose)['unconditional']}" in error.metadata["losses"]


def test_a_policy_that_holds_needs_nobody_to_accept_anything(one: Running) -> None:
    move = commit(one, SAFE, assumptions=ASSUMED).move
    assert len(move.certificate) == 64
    assert not move.accepted_losses
    one.policies.rollback_policy(**SAID)
    error = refused("INVALID_ARGUMENT", "", commit, one, SAFE, accepted_losses={"unconditional": 5})
    assert "there is nothing to accept" in str(error)


@pytest.mark.long
def test_lifts_by_persons_are_part_of_a_certificate(one: Running) -> None:
    def lift(rule: str, value: SettlementHold | ValueCap) -> None:
        name = name_measure("big", rule, value)
        for state in (MeasureState.IMPOSED, MeasureState.LIFTED):
            fact = MeasureChanged(name, value.kind, state, "staff-1", "known for years")
            one.ledger.append(MARKET, [Entry(f"{rule}-{state}", "big", fact)])

    lift("all", SettlementHold(180))
    asked = {"assumptions": ASSUMED, "policy": SAFE}
    error = refused("FAILED_PRECONDITION", "LOSS_NOT_ACCEPTED", commit, one, **asked)
    assert error.metadata == {"losses": "granted=160000000"}
    losses = {"granted": 160_000_000}
    done = commit(one, **asked, accepted_losses=losses).move
    assert {loss.verdict: loss.sum_minor for loss in done.accepted_losses} == losses
    one.policies.rollback_policy(**SAID)
    lift("daily-limit", ValueCap(100_000))
    error = refused("FAILED_PRECONDITION", "LOSS_NOT_ACCEPTED", commit, one, **asked)
    assert "nothing bounds a day of a seller whose limit was lifted" in str(error)
    error = refused("INVALID_ARGUMENT", "", commit, one, **asked, accepted_losses=losses)
    assert "granted has no sum to accept" in str(error)


def test_a_policy_that_allows_a_larger_loss_needs_its_acceptance(one: Running) -> None:
    """The verdict holds up to `most_loss_minor`, so that somebody answers for each rise of it."""
    allowed = SAFE.replace("[trade]\n", "[trade]\nmost_loss_minor = 500\n")
    error = refused("FAILED_PRECONDITION", "LOSS_NOT_ACCEPTED", commit, one, allowed, assumptions=ASSUMED)
    assert error.metadata == {"losses": "most_loss=500"}
    assert "5.00 EUR" in str(error)
    move = commit(one, allowed, assumptions=ASSUMED, accepted_losses={"most_loss": 500}).move
    assert {loss.verdict: loss.sum_minor for loss in move.accepted_losses} == {"most_loss": 500}
    head, again = one.policies.get_policy().serving_digest, allowed.replace("version = 1", "version = 2")
    error = refused("INVALID_ARGUMENT", "", commit, one, again, head, accepted_losses={"most_loss": 500})
    assert "most_loss is not raised" in str(error)
    head = commit(one, again, head).serving_digest
    dinars = again.replace('"EUR"', '"KWD"').replace("version = 2", "version = 3")
    kwd = ASSUMED.replace('"EUR"', '"KWD"')
    error = refused("FAILED_PRECONDITION", "LOSS_NOT_ACCEPTED", commit, one, dinars, head, assumptions=kwd)
    assert error.metadata == {"losses": "most_loss=500"}


def test_accepted_losses_are_part_of_a_proposal(url: str, tmp_path: Path) -> None:
    with world(url, tmp_path, ALL, persons(**PERSONS), EYES) as eyes:
        head = eyes("anna").get_policy().policy.digest
        asked = CommitPolicyRequest(text=LADDER.text, expected=f"policies/{head}", assumptions=ASSUMED, **SAID)
        refused("FAILED_PRECONDITION", "LOSS_NOT_ACCEPTED", eyes.propose, "anna", asked)
        asked.accepted_losses.extend(AcceptedLoss(verdict=name, sum_minor=most) for name, most in LOSSES.items())
        proposal = eyes.agreed(asked)
        policies = eyes("robot")
        same = {**SAID, "expected": head, "assumptions": ASSUMED, "proposal": proposal.name}
        raised = LOSSES | {"unconditional": 10**12}
        needs_approval(policies.commit_policy, LADDER.text, **same, accepted_losses=raised)
        done = policies.commit_policy(LADDER.text, **same, accepted_losses=LOSSES)
        assert (done.serving_digest, done.move.proposal) == (LADDER.digest, proposal.name)
        assert len(done.move.accepted_losses) == 2
