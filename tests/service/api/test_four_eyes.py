import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sellertrust.v1 import entry_pb2
from sellertrust.v1.ledger_service_pb2 import AppendEntriesRequest
from sellertrust.v1.proposal_service_pb2 import ProposalState
from tests.helpers.four_eyes import (
    ALL,
    PERSONS,
    SAID,
    UNTIL,
    World,
    bulk,
    closed,
    correction,
    needs_approval,
    override,
    overrides,
    persons,
    promotion,
    world,
)
from tests.helpers.models import evaluated, gate, gates_json, publish
from tests.helpers.refusals import refusal, refused, refused_fields
from tests.helpers.servers import MARKET, identity, violation

PARENT = f"marketplaces/{MARKET}"


@pytest.fixture
def eyes(url: str, tmp_path: Path) -> Iterator[World]:
    with world(url, tmp_path) as found:
        yield found


def state(name: str) -> int:
    return int(ProposalState.Value(f"PROPOSAL_STATE_{name}"))


def test_an_override_is_appended_once_approved(eyes: World) -> None:
    request = overrides()
    assert needs_approval(eyes("anna").append_entries, MARKET, request.entries) == {
        "right": "override", "proposal": "", "persons_missing": "2",
    }  # fmt: skip
    proposal = eyes.propose("anna", request, proposal_id="p-1")
    assert (proposal.name, proposal.state, proposal.persons_missing) == (
        f"marketplaces/{MARKET}/proposals/p-1", state("OPEN"), 1,
    )  # fmt: skip
    named = {"proposal": proposal.name}
    assert needs_approval(eyes("anna").append_entries, MARKET, request.entries, **named) == {
        "right": "override", "proposal": proposal.name, "persons_missing": "1",
    }  # fmt: skip
    approved = eyes.approve("bert", proposal)
    assert (approved.state, approved.persons_missing) == (state("APPROVED"), 0)
    assert approved.append_entries == request
    [first] = eyes("anna").append_entries(MARKET, request.entries, **named)
    [again] = eyes("robot").append_entries(MARKET, request.entries, **named)
    assert (first.already_present, again.already_present, first.sequence) == (False, True, again.sequence)
    shown = eyes("carl").get_proposal(proposal.name)
    assert shown.state == state("USED")
    assert [(step.state, step.principal, step.person, step.counts) for step in shown.steps] == [
        (state("OPEN"), "dns:anna.example", "anna", True),
        (state("APPROVED"), "dns:bert.example", "bert", True),
        (state("USED"), "dns:anna.example", "anna", False),
    ]
    assert (shown.steps[1].actor, shown.steps[1].reason) == (SAID["actor"], SAID["reason"])


def test_a_bulk_decision_is_carried_out_once_approved(eyes: World) -> None:
    eyes("robot").append_entries(MARKET, [violation(f"v-{n}", "s-1", notifier="brand-1") for n in range(4)])
    fraction = 1e-9
    request = bulk(eyes, sample_fraction=fraction)
    asked = {name: getattr(request, name) for name in ("notifier", "decision_id", "expected_count", "etag")}
    asked |= {**SAID, "execute": True, "sample_fraction": fraction}
    decide = eyes("anna").decide_violations
    assert needs_approval(decide, MARKET, entry_pb2.ACTION_DISMISS, **asked)["right"] == "bulk_decide"
    proposal = eyes.agreed(request)
    done = decide(MARKET, entry_pb2.ACTION_DISMISS, **asked, proposal=proposal.name)
    assert (done.decided, done.remaining) == (3, 0)
    again = decide(MARKET, entry_pb2.ACTION_DISMISS, **asked, proposal=proposal.name)
    assert (again.decided, again.remaining, again.etag) == (3, 0, done.etag)


@pytest.mark.long
def test_a_model_is_promoted_by_its_approved_proposal_once(eyes: World) -> None:
    first, second = (publish(eyes.registry, parts=evaluated(n, 0.7)) for n in (0, 1))
    assert needs_approval(eyes("anna").promote_model, second, **SAID)["right"] == "models"
    proposal = eyes.agreed(promotion(second))
    gates = eyes.registry.find_promotion_basis(second)["gates_sha256"]
    assert dict(proposal.basis) == {"champion": first, "champion_moves": "1", "gates_sha256": gates}
    for _ in range(2):
        done = eyes("robot").promote_model(second, **SAID, proposal=proposal.name)
        assert done.champion == f"models/{second}"
    [move] = [move for move in eyes.registry.history() if move.figures.get("proposal")]
    assert (move.digest, move.figures["proposal"]) == (second, proposal.name)
    eyes("carl").rollback_model(**SAID)
    assert eyes("robot").promote_model(second, **SAID, proposal=proposal.name).champion == f"models/{first}"
    assert eyes.registry.champion_digest() == first


def test_a_spare_proposal_does_not_undo_a_rollback(eyes: World) -> None:
    first, second = (publish(eyes.registry, parts=evaluated(n, 0.7)) for n in (0, 1))
    one, spare = (eyes.agreed(promotion(second, reason=reason)) for reason in ("better", "better by far"))
    eyes("anna").promote_model(second, **SAID | {"reason": "better"}, proposal=one.name)
    eyes("carl").rollback_model(**SAID)
    again = SAID | {"reason": "better by far"}
    assert closed(eyes("anna").promote_model, second, **again, proposal=spare.name) == "OUTDATED"
    assert eyes.registry.champion_digest() == first


def test_an_emergency_rollback_waits_for_nobody(eyes: World) -> None:
    first, second = (publish(eyes.registry, parts=evaluated(n, 0.7)) for n in (0, 1))
    proposal = eyes.agreed(promotion(second))
    eyes("anna").promote_model(second, **SAID, proposal=proposal.name)
    assert eyes("carl").rollback_model(**SAID).champion == f"models/{first}"
    assert needs_approval(eyes("carl").rollback_model, **SAID, champion=first)["right"] == "models"
    assert eyes.registry.champion_digest() == first
    assert eyes("carl").rollback_model(**SAID, champion=second).champion == f"models/{first}"
    again = eyes.agreed(promotion(second), author="bert", approver="carl")
    assert eyes("bert").promote_model(second, **SAID, proposal=again.name).champion == f"models/{second}"
    lines = [json.loads(line) for line in eyes.audit.read_text().splitlines()]
    rollback = next(line for line in lines if line.get("method") == "ModelService/RollbackModel")
    assert (rollback["caller"], rollback["approval"]) == ("dns:carl.example", "emergency")
    assert "let in without approval, as an emergency" in eyes.log.getvalue()


def test_audit_and_log_name_author_and_approver(eyes: World) -> None:
    proposal = eyes.agreed(overrides())
    eyes("robot").append_entries(MARKET, [override()], proposal=proposal.name)
    lines = [json.loads(line) for line in eyes.audit.read_text().splitlines()]
    [line] = [line for line in lines if line.get("method") == "LedgerService/AppendEntries"]
    assert line["approval"] == {
        "proposal": proposal.name, "basis": {}, "author": "dns:anna.example", "approvers": ["dns:bert.example"],
    }  # fmt: skip
    [approval] = [line for line in lines if line.get("method") == "ProposalService/ApproveProposal"]
    assert (approval["caller"], approval["acted"]["name"]) == ("dns:bert.example", proposal.name)
    assert approval["acted"]["digest"] == proposal.digest
    [made] = [line for line in lines if line.get("method") == "ProposalService/CreateProposal"]
    assert made["acted"]["append_entries"]["entries"][0]["entry_id"] == "o-1"
    logged = [json.loads(line) for line in eyes.log.getvalue().splitlines()]
    assert [line["caller"] for line in logged if line.get("proposal") == proposal.name] == ["dns:robot.example"]


def test_what_a_service_proposes_takes_two_persons(eyes: World) -> None:
    proposal = eyes.propose("robot", overrides())
    assert proposal.persons_missing == 2
    assert eyes.approve("anna", proposal).persons_missing == 1
    assert eyes.approve("anna-laptop", proposal).persons_missing == 1
    assert needs_approval(eyes("anna").append_entries, MARKET, [override()], proposal=proposal.name)
    assert eyes.approve("bert", proposal).persons_missing == 0
    eyes("robot").append_entries(MARKET, [override()], proposal=proposal.name)


def test_a_withdrawn_or_declined_proposal_lets_nothing_in(eyes: World) -> None:
    proposal = eyes.agreed(overrides())
    withdrawn = eyes("carl").withdraw_proposal(proposal.name, **SAID)
    assert withdrawn == eyes("carl").withdraw_proposal(proposal.name, **SAID)
    assert closed(eyes("anna").append_entries, MARKET, [override()], proposal=proposal.name) == "WITHDRAWN"
    assert closed(eyes.approve, "carl", proposal) == "WITHDRAWN"


IMPOSSIBLE = [
    (AppendEntriesRequest(parent=PARENT), "append_entries.entries"),
    (overrides(override(), identity("i-1", "s-1")), "append_entries.entries[1].fact"),
    (overrides(override(), override("o-2", "s-2")), "append_entries.entries[1].seller"),
    (overrides(override(reason="")), "append_entries.entries[0].override.reason"),
    (AppendEntriesRequest(parent="nowhere", entries=[override()]), "append_entries.parent"),
    (AppendEntriesRequest(parent=PARENT, entries=[override()], proposal="x"), "append_entries.proposal"),
    (promotion("champion"), "promote_model.name"),
    (promotion("a" * 64, reason=""), "promote_model.reason"),
]


def test_what_cannot_be_carried_out_is_not_proposed(eyes: World) -> None:
    for asked, field in IMPOSSIBLE:
        assert refused_fields(eyes.propose, "anna", asked)[0] == field


def test_only_what_the_grants_file_says_needs_two(url: str, tmp_path: Path) -> None:
    rules = '[[four_eyes]]\nrights = ["override"]\nmarketplaces = ["other"]\n'
    with world(url, tmp_path, ALL, persons(**PERSONS), rules) as eyes:
        digest = publish(eyes.registry, parts=evaluated(0, 0.7))
        eyes("robot").promote_model(digest, **SAID)
        eyes("robot").append_entries(MARKET, [override()])
        other = override("o-2")
        other.seller = "marketplaces/other/sellers/s-1"
        needs_approval(eyes("robot").append_entries, "other", [other])
        proposal = eyes.propose("anna", overrides(override("o-3")))
        assert needs_approval(eyes("anna").append_entries, MARKET, [override("o-3")], proposal=proposal.name)
        missing = {"proposal": f"{PARENT}/proposals/none"}
        needs_approval(eyes("anna").append_entries, MARKET, [override("o-3")], **missing)


def test_one_person_neither_suspends_nor_closes_a_seller(url: str, tmp_path: Path) -> None:
    rules = '[[four_eyes]]\nrights = ["impose_measures"]\nmarketplaces = ["*"]\n'
    with world(url, tmp_path, ALL, persons(**PERSONS), rules) as eyes:
        eyes("robot").append_entries(MARKET, [violation("v-1", "s-1")])
        eyes("carl").confirm_violation(MARKET, "v-1", **SAID)
        eyes("anna").append_entries(MARKET, [measure("m-1", "MANUAL_REVIEW")])
        closure = measure("m-2", "SUSPENSION", violations=["v-1"])
        assert needs_approval(eyes("anna").append_entries, MARKET, [closure])["right"] == "impose_measures"
        mixed = [measure("m-3", "MANUAL_REVIEW"), closure]
        stream = lambda: next(iter(eyes("anna").stream_entries(MARKET, [mixed])))  # noqa: E731
        refused("FAILED_PRECONDITION", "APPROVAL_REQUIRED", stream)
        eyes("anna").carry_out(eyes.agreed(overrides(closure)))
        eyes("anna").append_entries(MARKET, [measure("m-2", "SUSPENSION", "NOTICE_SENT")])
        eyes("anna").append_entries(MARKET, [measure("m-2", "SUSPENSION", "LIFTED")])
        void = {"correction": entry_pb2.CORRECTION_KIND_VOID, **SAID}
        for entry_id in ("m-2-LIFTED", "m-1-IMPOSED", "not-yet"):
            needed = needs_approval(eyes("anna").append_entries, MARKET, [correction(entry_id, **void)])
            assert needed["right"] == "impose_measures"
        eyes("anna").append_entries(MARKET, [identity("i-1", "s-1"), correction("i-1", **void)])


def test_one_person_keeps_no_letter_from_a_seller(url: str, tmp_path: Path) -> None:
    with world(url, tmp_path, ALL, persons(**PERSONS)) as eyes:
        imposed = measure("m-1", "MANUAL_REVIEW")
        eyes("anna").append_entries(MARKET, [violation("v-1", "s-1"), imposed])
        bar = measure("m-1", "MANUAL_REVIEW", "NOTICE_BARRED", ground="Art. 9 order", approver="bert")
        bar.measure.until.FromDatetime(UNTIL)
        assert needs_approval(eyes("anna").append_entries, MARKET, [identity("i-1", "s-1"), bar]) == {
            "right": "impose_measures", "proposal": "", "persons_missing": "2",
        }  # fmt: skip
        stream = lambda: next(iter(eyes("anna").stream_entries(MARKET, [[bar]])))  # noqa: E731
        refused("FAILED_PRECONDITION", "APPROVAL_REQUIRED", stream)
        proposal = eyes.propose("anna", overrides(bar))
        assert needs_approval(eyes("anna").carry_out, proposal)["persons_missing"] == "1"
        eyes("anna").carry_out(eyes.approve("bert", proposal))
        assert bar.entry_id in {entry.entry_id for entry in eyes("anna").list_entries(MARKET, "s-1")}
        eyes("anna").append_entries(MARKET, [measure("m-1", "MANUAL_REVIEW", "NOTICE_SENT")])


def test_a_bar_without_persons_says_where_to_name_them(url: str, tmp_path: Path) -> None:
    with world(url, tmp_path, ALL) as eyes:
        bar = measure("m-1", "MANUAL_REVIEW", "NOTICE_BARRED", ground="Art. 9 order", approver="bert")
        error = refusal(eyes("anna").append_entries, MARKET, [bar])
        assert "[[persons]]" in str(error)


def measure(name: str, kind: str, change: str = "IMPOSED", **fields: Any) -> entry_pb2.Entry:
    entry = entry_pb2.Entry(entry_id=f"{name}-{change}", seller=override().seller)
    kinds = {
        "measure_kind": entry_pb2.MeasureKind.Value(f"MEASURE_KIND_{kind}"),
        "state": entry_pb2.MeasureState.Value(f"MEASURE_STATE_{change}"),
    }
    entry.measure.CopyFrom(entry_pb2.MeasureChanged(measure=name, **kinds, **SAID, **fields))
    return entry


def test_gates_and_sign_offs_are_asked_for_all_the_same(eyes: World) -> None:
    publish(eyes.registry, parts=evaluated(0, 0.7))
    beside = {"gates.json": gates_json(gate("size", ok=False))}
    second = publish(eyes.registry, parts=evaluated(1, 0.7), attachments=beside)
    failed = ("FAILED_PRECONDITION", "GATES_FAILED")
    refused(*failed, eyes.propose, "anna", promotion(second))
    unasked = refused("INVALID_ARGUMENT", "", eyes.propose, "anna", promotion(second, override="Carl", sign_off="Dora"))
    assert unasked.fields[0][0] == "promote_model.sign_off"
    assert [*eyes("anna").list_proposals()] == []
    signed = eyes.agreed(promotion(second, override="Carl"))
    needs_approval(eyes("anna").promote_model, second, **SAID, override="Dora", proposal=signed.name)
    eyes("anna").promote_model(second, **SAID, override="Carl", proposal=signed.name)


def test_a_promotion_proposed_again_is_answered_as_it_stands(eyes: World) -> None:
    publish(eyes.registry, parts=evaluated(0, 0.7))
    second = publish(eyes.registry, parts=evaluated(1, 0.7))
    first = eyes.propose("anna", promotion(second), proposal_id="p-1")
    beside = {"gates.json": gates_json(gate("size", ok=False))}
    publish(eyes.registry, parts=evaluated(1, 0.7), attachments=beside)
    assert eyes.propose("anna", promotion(second), proposal_id="p-1") == first
    refused("FAILED_PRECONDITION", "GATES_FAILED", eyes.propose, "anna", promotion(second), proposal_id="p-2")
