import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from scoring.base.enums import MeasureState
from scoring.base.errors import PolicyRefused
from scoring.base.time import DAY, format_day
from scoring.base.version import CORE_VERSION
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import MeasureChanged
from scoring.loss_certificate.certificate import GrantedExceptions, accept, certify, list_excess_losses
from scoring.measures.record import name_measure
from scoring.policy.measures import SettlementHold, ValueCap
from sellertrust.client import Client
from sellertrust.v1 import entry_pb2 as entry_pb
from sellertrust.v1.policy_service_pb2 import (
    IMMEDIATE_GROUND_DANGER,
    AcceptedLoss,
    CommitPolicyRequest,
    CommitPolicyResponse,
    PolicyAction,
    RollbackPolicyRequest,
)
from sellertrust.v1.policy_service_pb2_grpc import PolicyServiceStub
from sellertrust.version import VERSION
from service.api.server import Server
from service.bootstrap import build_scorer, follow_moves
from service.ledger.append import policy_moves
from service.ledger.database.schema import newest_version
from service.ledger.store import Ledger
from service.policy import loss_check
from service.policy.certificate_file import SHIPPED_ASSUMPTIONS, read_assumptions
from service.policy.policy_file import SHIPPED_POLICY, parse_policy_text, read_policy
from service.scores.book.code_digests import core_digest
from service.scores.scorer import Scorer
from tests.helpers.databases import BACKENDS
from tests.helpers.four_eyes import (
    ALL,
    PERSONS,
    SAID,
    World,
    needs_approval,
    persons,
    world,
)
from tests.helpers.policies import GRADED
from tests.helpers.refusals import refused, refused_fields
from tests.helpers.servers import MARKET, Shelf, exposure, identity, settings_of, violation
from tests.helpers.shells import shell_of
from tests.helpers.toys import policy_of
from tests.helpers.waiting import wait_until
from tests.helpers.worlds import artifact

TIERS, LADDER = (read_policy(SHIPPED_POLICY.with_name(f"{n}.toml")) for n in ("tiers", "ladder"))
GENERAL = read_policy(GRADED)
EYES = '[[four_eyes]]\nrights = ["policies"]\nmarketplaces = ["*"]\n'


class Running:
    def __init__(self, url: str, folder: Path, stack: ExitStack) -> None:
        self.ledger = stack.enter_context(Ledger.open(url, create=True))
        self.scorer: Scorer = build_scorer(self.ledger, TIERS, Shelf(artifact()))
        server = stack.enter_context(Server(settings_of(data_dir=folder), self.ledger, self.scorer))
        self.client = stack.enter_context(Client(server.address))
        self.policies = self.client
        self.problems: list[str] = []
        stop = threading.Event()
        follow = threading.Thread(target=self.scorer.policy.follow, args=(stop, self.problems.append))
        follow.start()
        stack.callback(follow.join)
        stack.callback(stop.set)

    def commit(self, policy: str, expected: str, **fields: Any) -> str:
        return self.policies.commit_policy(policy, expected=expected, **(SAID | fields)).serving_digest

    def stamped(self, seller: str = "s1") -> str:
        return self.client.get_trust_score(MARKET, seller).stamp.policy_digest


@pytest.fixture
def two(url: str, tmp_path: Path) -> Iterator[tuple[Running, Running]]:
    with ExitStack() as stack:
        servers = Running(url, tmp_path, stack), Running(url, tmp_path, stack)
        servers[0].client.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1", 5_000)])
        servers[0].client.append_entries(MARKET, [violation("v", "s1", harm=entry_pb.HARM_EXTREME)])
        servers[0].client.confirm_violation(MARKET, "v", actor="staff", reason="seen")
        yield servers


@pytest.mark.long
def test_a_committed_policy_is_served_until_a_rollback(
    two: tuple[Running, Running],
) -> None:
    one, other = two
    assert [one.stamped(), other.stamped()] == [TIERS.digest] * 2
    assert one.commit(GENERAL.text, TIERS.digest) == GENERAL.digest
    assert one.stamped() == GENERAL.digest
    assert one.client.get_trust_score(MARKET, "s1").standing == 24
    wait_until(lambda: other.stamped() == GENERAL.digest)
    found = other.client.evaluate_measures(MARKET, "s1")
    assert "suspended-a-week" in {measure.rule for measure in found.measures}
    assert (found.policy_name, found.policy_version, found.stamp.policy_digest) == ("general", 1, GENERAL.digest)
    assert build_scorer(other.ledger, TIERS, Shelf(artifact())).made_by.policy == GENERAL.digest
    assert other.policies.rollback_policy(**SAID).serving_digest == TIERS.digest
    wait_until(lambda: one.stamped() == TIERS.digest)
    assert one.client.get_trust_score(MARKET, "s1").standing == 12
    assert one.problems == other.problems == []


def test_one_call_says_what_a_server_runs(two: tuple[Running, Running]) -> None:
    found = two[0].client.get_policy()
    assert (found.serving_digest, found.server.model_digest) == (TIERS.digest, artifact().digest)
    assert (found.server.release, found.server.core_version) == (VERSION, CORE_VERSION)
    assert (found.server.schema, found.server.build) == (newest_version(), core_digest())


def test_the_history_says_who_moved_the_policy_when_and_why(two: tuple[Running, Running]) -> None:
    one, _ = two
    assert [*one.policies.list_policy_moves()] == []
    one.commit(GENERAL.text, TIERS.digest, reason="terms by tier")
    one.commit(LADDER.text, GENERAL.digest)
    one.policies.rollback_policy(**SAID)
    moves = [*one.policies.list_policy_moves(page_size=1)]
    assert [(m.number, PolicyAction.Name(m.action).removeprefix("POLICY_ACTION_"), m.policy) for m in moves] == [
        (1, "CONFIGURED", f"policies/{TIERS.digest}"),
        (2, "COMMITTED", f"policies/{GENERAL.digest}"),
        (3, "COMMITTED", f"policies/{LADDER.digest}"),
        (4, "ROLLED_BACK", f"policies/{GENERAL.digest}"),
    ]
    assert (moves[1].actor, moves[1].reason, moves[1].principal) == (SAID["actor"], "terms by tier", "local")
    assert [m.move_time.ToMicroseconds() for m in moves] == sorted(m.move_time.ToMicroseconds() for m in moves)
    for name in ("head", GENERAL.digest, GENERAL.digest[:6]):
        found = one.policies.get_policy(name)
        assert (found.policy.text, found.policy.digest, found.policy.policy_name) == (
            GENERAL.text, GENERAL.digest, "general",
        )  # fmt: skip


STRICT = (
    "notice_days = 15\n"
    + GENERAL.text.replace("trusted = 450", "trusted = 998").replace("= 600", "= 999")
    + """
[[rules]]
id = "few"
reference = "terms 1"
tiers = ["unrated", "probation", "standard"]
measures = [{ kind = "listing_cap", listings = 5 }]
"""
)
"""With a notice of 15 days."""


def test_a_stricter_policy_waits_for_its_notice(two: tuple[Running, Running], tmp_path: Path) -> None:
    one, other = two
    one.client.append_entries(MARKET, [identity("j", "s2"), exposure("y", "s2", 5_000)])
    one.commit(GENERAL.text, TIERS.digest)
    before = one.client.get_trust_score(MARKET, "s2")
    assert before.tier > entry_pb.TIER_STANDARD
    strict = one.commit(STRICT, GENERAL.digest)
    wait_until(lambda: other.stamped() == strict)
    for running in (one, one, other, other):
        found = running.client.get_trust_score(MARKET, "s2")
        assert (found.tier, found.notice.tier, found.badge) == (before.tier, entry_pb.TIER_STANDARD, "none")
        assert found.reason_codes[-1] == "NOTICE"
    waiting = other.client.evaluate_measures(MARKET, "s2")
    assert (waiting.tier, waiting.notice) == (found.tier, found.notice)
    [cap] = [measure for measure in waiting.measures if measure.rule == "few"]
    assert cap.start_time == cap.notice_end_time == found.notice.end_time
    shell = shell_of(tmp_path / "shell", target=other.client.target)
    assert f"notice until {cap.notice_end_time.ToJsonString()[:16]}Z" in shell("measures", "s2")[0]
    letters = tmp_path / "letters"
    letters.mkdir()
    one.client.append_entries(MARKET, [violation("lone", "nobody")])
    one.client.dismiss_violation(MARKET, "lone", **SAID)
    assert "3 letters" in shell("statements", str(letters), "--notices")[0]
    written = {file.stem for file in letters.glob("*.txt")}
    assert {"s2~notice.en", f"s2~{cap.measure}.en"} < written
    assert {name.partition("~")[0] for name in written} == {"s1", "s2"}
    assert "because our rules have changed" in (letters / "s2~notice.en.txt").read_text()
    assert "open listings" in (letters / f"s2~{cap.measure}.en.txt").read_text()
    assert 5 not in {stated.limit for stated in waiting.terms.listing_caps}
    assert waiting.terms.reserve_ppm == 50_000  # of the tier `standard`: money does not wait
    assert refused_fields(one.commit, STRICT, strict, immediate=9) == ["immediate"]
    again = STRICT.replace("version = 1", "version = 2")
    at_once = one.policies.commit_policy(again, expected=strict, immediate=IMMEDIATE_GROUND_DANGER, **SAID)
    found = one.client.get_trust_score(MARKET, "s2")
    assert (found.tier, found.HasField("notice")) == (entry_pb.TIER_STANDARD, False)
    assert one.client.get_trust_score(MARKET, "s1").tier < entry_pb.TIER_STANDARD
    assert at_once.move.immediate == [*one.policies.list_policy_moves()][-1].immediate == IMMEDIATE_GROUND_DANGER


@pytest.mark.long
def test_measures_are_answered_again_by_their_policy(two: tuple[Running, Running]) -> None:
    one, other = two
    one.commit(GENERAL.text, TIERS.digest)
    given = one.client.evaluate_measures(MARKET, "s1")
    one.commit(LADDER.text, GENERAL.digest)
    times = {"observe_time": given.stamp.observe_time, "known_time": given.stamp.known_time}
    wait_until(lambda: other.stamped() == LADDER.digest)
    assert other.client.evaluate_measures(MARKET, "s1", **times) != given
    again = other.client.evaluate_measures(MARKET, "s1", policy=given.stamp.policy_digest, **times)
    assert again.SerializeToString(deterministic=True) == given.SerializeToString(deterministic=True)
    error = refused("NOT_FOUND", "POLICY_NOT_FOUND", one.client.evaluate_measures, MARKET, "s1", policy="f" * 64)
    assert error.metadata == {"policy": "f" * 64}


def test_a_commit_against_a_moved_history_is_refused(
    two: tuple[Running, Running],
) -> None:
    one, other = two
    one.commit(GENERAL.text, TIERS.digest)
    error = refused("FAILED_PRECONDITION", "POLICY_MOVED", other.commit, LADDER.text, TIERS.digest)
    assert error.metadata == {"policy": GENERAL.digest}
    assert one.commit(GENERAL.text, TIERS.digest) == GENERAL.digest
    back = one.policies.rollback_policy(**SAID, policy=GENERAL.digest)
    again = one.policies.rollback_policy(**SAID, policy=GENERAL.digest)
    assert again.move == back.move
    error = refused("FAILED_PRECONDITION", "POLICY_MOVED", one.policies.rollback_policy, **SAID, policy=LADDER.digest)
    assert error.metadata == {"policy": TIERS.digest}
    assert len([*one.policies.list_policy_moves()]) == 3


def test_each_rollback_goes_further_back(two: tuple[Running, Running]) -> None:
    one, _ = two
    one.commit(GENERAL.text, TIERS.digest)
    one.commit(LADDER.text, GENERAL.digest)
    assert one.policies.rollback_policy(**SAID).serving_digest == GENERAL.digest
    assert one.policies.rollback_policy(**SAID).serving_digest == TIERS.digest
    refused("NOT_FOUND", "POLICY_NOT_FOUND", one.policies.rollback_policy, **SAID)
    one.commit(LADDER.text, TIERS.digest)
    assert one.policies.rollback_policy(**SAID).serving_digest == TIERS.digest
    refused("NOT_FOUND", "POLICY_NOT_FOUND", one.policies.rollback_policy, **SAID)


@pytest.mark.long
@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
def test_a_rollback_beside_another_is_refused(two: tuple[Running, Running]) -> None:
    two[0].commit(GENERAL.text, TIERS.digest)
    two[0].commit(LADDER.text, GENERAL.digest)
    is_locked, ends = threading.Event(), threading.Event()

    def hold(_: object) -> list[Any]:
        is_locked.set()
        ends.wait(60)
        return []

    made, refusals = [], []

    def roll_back(running: Running) -> None:
        try:
            stub = PolicyServiceStub(running.client.channel)
            made.append(stub.RollbackPolicy(RollbackPolicyRequest(**SAID)).serving_digest)
        except grpc.RpcError as error:
            refusals.append((error.code(), error.details()))

    threads = [threading.Thread(target=two[0].ledger.policies.move, args=("", hold))]
    threads[0].start()
    assert is_locked.wait(60)
    threads += [threading.Thread(target=roll_back, args=(running,)) for running in two]
    for thread in threads[1:]:
        thread.start()
    time.sleep(3)
    ends.set()
    for thread in threads:
        thread.join()
    assert made == [GENERAL.digest]
    moved = "the policy was moved meanwhile; look at the history, and roll back again"
    assert refusals == [(grpc.StatusCode.FAILED_PRECONDITION, moved)]
    assert len([*two[0].policies.list_policy_moves()]) == 4


@pytest.mark.long
@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
def test_of_simultaneous_commits_one_is_made(two: tuple[Running, Running]) -> None:
    made, failed = [], []

    def attempt(number: int) -> None:
        text = GENERAL.text.replace("version = 1", f"version = {number}")
        try:
            two[number % 2].commit(text, TIERS.digest)
            made.append(number)
        except Exception as error:  # noqa: BLE001
            failed.append(getattr(error, "reason", error))

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(2, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), failed) == (1, ["POLICY_MOVED"] * 5)


def test_a_wrong_policy_is_refused_by_its_fields(
    two: tuple[Running, Running],
) -> None:
    one, _ = two

    def wrong(text: str = GENERAL.text, expected: str = TIERS.digest, **fields: str) -> str:
        error = refused("INVALID_ARGUMENT", "", one.commit, text, expected, **fields)
        return f"{[*error.fields]}: {error}"

    assert "clear_days must be a whole number" in wrong(GENERAL.text.replace("clear_days = 14", "clear_days = 1.5"))
    assert "rules are laxer for who is worse" in wrong(GENERAL.text.replace("days = 3 }", "days = 9 }"))
    assert "text" in wrong("name = ")
    assert "at most 200,000 bytes" in wrong(GENERAL.text + "#" * 200_000)
    assert "already" in wrong(TIERS.text)
    assert "expected" in wrong(expected=TIERS.digest[:12])
    assert "actor" in wrong(actor="")
    assert "reason" in wrong(reason="")
    assert [*one.policies.list_policy_moves()] == []
    refused("NOT_FOUND", "POLICY_NOT_FOUND", one.policies.rollback_policy, **SAID)
    refused("NOT_FOUND", "POLICY_NOT_FOUND", one.policies.get_policy, "123456")


def test_a_text_that_was_not_committed_is_not_served(two: tuple[Running, Running]) -> None:
    one, other = two
    wait_until(lambda: other.stamped() == TIERS.digest)
    forged = policy_moves.NewMove(policy_moves.PolicyAction.COMMITTED, GENERAL.digest, "a", "b", content=LADDER.text)
    one.ledger.policies.move("", lambda moves: [forged])
    wait_until(lambda: other.problems)
    time.sleep(0.2)
    assert len(other.problems) == 1
    assert "is not what was committed" in other.problems[0]
    assert other.stamped() == TIERS.digest


def test_what_was_committed_before_a_check_is_still_served(two: tuple[Running, Running]) -> None:
    one, other = two
    text = LADDER.text.replace("standing = { from = 36 }", "standing = { from = 36, below = 48 }").replace(
        '"suspension", days = 30', '"suspension", days = 9'
    )
    with pytest.raises(PolicyRefused, match="suspension_days"):
        parse_policy_text(text)
    digest = parse_policy_text(text, was_committed=True).digest
    kept = policy_moves.NewMove(policy_moves.PolicyAction.COMMITTED, digest, "a", "b", content=text)
    one.ledger.policies.move("", lambda moves: [kept])
    wait_until(lambda: other.stamped() == digest)


@pytest.fixture
def eyes(url: str, tmp_path: Path) -> Iterator[World]:
    with world(url, tmp_path, ALL, persons(**PERSONS), EYES) as found:
        yield found


def commitment(policy: str, expected: str) -> CommitPolicyRequest:
    return CommitPolicyRequest(text=policy, expected=f"policies/{expected}", **SAID)


@pytest.mark.long
def test_a_policy_needs_a_second_person(eyes: World) -> None:
    head = eyes("anna").get_policy().policy.digest
    asked = {**SAID, "expected": head}
    assert needs_approval(eyes("anna").commit_policy, GENERAL.text, **asked)["right"] == "policies"
    proposal = eyes.agreed(commitment(GENERAL.text, head))
    assert dict(proposal.basis) == {"policy": head, "policy_moves": "0"}
    for _ in range(2):
        done = eyes("robot").commit_policy(GENERAL.text, **asked, proposal=proposal.name)
        assert done.serving_digest == GENERAL.digest
    assert done.move.proposal == proposal.name
    assert eyes("carl").rollback_policy(**SAID).serving_digest == head
    refused("NOT_FOUND", "POLICY_NOT_FOUND", eyes("carl").rollback_policy, **SAID, policy=head)
    again = eyes("robot").commit_policy(GENERAL.text, **asked, proposal=proposal.name)
    assert again.serving_digest == head
    assert "let in without approval, as an emergency" in eyes.log.getvalue()


@pytest.mark.long
def test_a_scorer_beside_servers_takes_a_commit_over(two: tuple[Running, Running]) -> None:
    one, _ = two
    scorer, refused_ = build_scorer(one.ledger, TIERS), []
    follow_moves(scorer, lambda event, problem: refused_.append((event, problem)))
    one.commit(GENERAL.text, TIERS.digest)
    wait_until(lambda: scorer.made_by.policy == GENERAL.digest)
    assert refused_ == []


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
    nobody = GrantedExceptions(0, ())
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
    def understate(*arguments: object, **options: object) -> dict[str, Any]:
        found = certify(*arguments, **options)
        found["takes"]["largest"]["gross_minor"] //= 10
        return found

    # a maker with a defect
    monkeypatch.setattr(loss_check, "certify", understate)
    error = refused("INVALID_ARGUMENT", "", commit, one, SAFE, assumptions=ASSUMED)
    assert [name for name, _ in error.fields] == ["text"]
    assert "the independent check refuses: the takes are not those" in str(error)
    assert [*one.policies.list_policy_moves()] == []


def test_a_commit_overtaken_during_its_proof_is_refused(one: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken(*arguments: object, **options: object) -> dict[str, Any]:
        commit(one, SAFE)
        one.policies.rollback_policy(**SAID)
        return certify(*arguments, **options)

    monkeypatch.setattr(loss_check, "certify", overtaken)  # no request waits here
    refused("FAILED_PRECONDITION", "POLICY_MOVED", commit, one, SAFE, assumptions=ASSUMED)


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
    found = list_excess_losses(certify(policies[0], read_assumptions(SHIPPED_ASSUMPTIONS), older=policies[1:]))
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
