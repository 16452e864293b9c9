import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from scoring.base.errors import PolicyRefused
from sellertrust.client import Client
from sellertrust.v1 import entry_pb2 as entry_pb
from sellertrust.v1.policy_service_pb2 import (
    IMMEDIATE_GROUND_DANGER,
    CommitPolicyRequest,
    PolicyAction,
    RollbackPolicyRequest,
)
from sellertrust.v1.policy_service_pb2_grpc import PolicyServiceStub
from service.api.server import Server
from service.bootstrap import build_scorer, follow_moves
from service.ledger.append import policy_moves
from service.ledger.store import Ledger
from service.policy.policy_file import SHIPPED_POLICY, parse_policy_text, read_policy
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
    """While the history is locked, both servers read it; the second that writes finds it moved."""
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
