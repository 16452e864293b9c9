from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from scoring.base.time import SECOND
from sellertrust.client import SellertrustCallError
from sellertrust.v1 import entry_pb2
from sellertrust.v1.ledger_service_pb2 import AppendEntriesRequest
from sellertrust.v1.proposal_service_pb2 import Proposal
from service.ledger.queries.seals import SealQueries
from tests.helpers.callers import TokenIssuer, grant
from tests.helpers.databases import BACKENDS
from tests.helpers.four_eyes import (
    ALL,
    EVERY,
    FOUR_EYES,
    PERSONS,
    RIGHTS,
    SAID,
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
from tests.helpers.ledgers import owner
from tests.helpers.models import evaluated, gate, gates_json, giving_up, publish
from tests.helpers.moments import at_once
from tests.helpers.refusals import denied, refused
from tests.helpers.servers import MARKET, identity, violation


@pytest.fixture
def eyes(url: str, tmp_path: Path) -> Iterator[World]:
    with world(url, tmp_path) as found:
        yield found


@pytest.mark.long
def test_nobody_approves_its_own_proposal(eyes: World) -> None:
    proposal = eyes.propose("anna", overrides())
    for name in ("anna", "anna-laptop", "anna-secret", "robot", "crawler"):
        denied(eyes.approve, name, proposal)
    hidden = eyes.propose("anna-secret", overrides(override("o-2")))
    assert eyes.approve("anna", hidden).persons_missing == 1
    assert eyes.approve("anna-laptop", hidden).persons_missing == 1
    for name, entry in ((proposal.name, override()), (hidden.name, override("o-2"))):
        needs_approval(eyes("anna").append_entries, MARKET, [entry], proposal=name)
    assert len(eyes("anna").get_proposal(hidden.name).steps) == 2
    # After the file names the owner, the author and the approver are one person.
    eyes.rule(ALL, persons(**(PERSONS | {"anna": [*PERSONS["anna"], "dns:anna-secret.example"]})), FOUR_EYES)
    found = needs_approval(eyes("anna").append_entries, MARKET, [override("o-2")], proposal=hidden.name)
    assert found["persons_missing"] == "1"


def test_a_call_that_shows_two_persons_is_neither(tmp_path: Path) -> None:
    issuer = TokenIssuer(tmp_path)
    names = {"anna": ["dns:anna.example"], "bert": ["jwt:https://login.example#bert"], "carl": ["dns:carl.example"]}
    tables = (
        issuer.table(["*"]),
        ALL,
        grant("jwt:https://login.example#*", RIGHTS, **EVERY),
        persons(**names),
        FOUR_EYES,
    )
    with world(f"sqlite:///{tmp_path}/l.db", tmp_path, *tables) as eyes:
        proposal = eyes.propose("anna", overrides())
        both = eyes.by_token("anna", issuer.token_file("bert"))
        denied(both.approve_proposal, proposal.name, proposal.digest, **SAID)
        mine = both.create_proposal(overrides(override("o-2")), **SAID)
        assert (mine.persons_missing, mine.steps[0].person) == (2, "")
        assert eyes.approve("anna", mine).persons_missing == 1
        service = eyes.by_token("robot", issuer.token_file("bert"))
        assert service.approve_proposal(proposal.name, proposal.digest, **SAID).persons_missing == 0


def test_a_proposal_lets_just_its_own_request_in(eyes: World) -> None:
    proposal = eyes.agreed(overrides())
    named = {"proposal": proposal.name}
    harsher = override(tier=entry_pb2.TIER_PROBATION)
    for entries in (
        [harsher],
        [override(), override("o-2")],
        [override(actor="b-1")],
        [override("o-2")],
        [override(), override()],
    ):
        metadata = needs_approval(eyes("anna").append_entries, MARKET, entries, **named)
        assert metadata["persons_missing"] == "0"
    elsewhere = override()
    elsewhere.seller = "marketplaces/other/sellers/s-1"
    needs_approval(eyes("anna").append_entries, "other", [elsewhere], **named)
    needs_approval(eyes("anna").promote_model, "a" * 64, **SAID, **named)
    unknown = AppendEntriesRequest.FromString(overrides().SerializeToString() + b"\xfa\x7f\x01x")
    hidden = refused("INVALID_ARGUMENT", "", eyes.raw_append, "anna", unknown, proposal.name)
    assert hidden.fields[0][0] == "request"
    unknown.ClearField("proposal")
    assert refused("INVALID_ARGUMENT", "", eyes.propose, "anna", unknown).fields[0][0] == "request"
    eyes("anna").append_entries(MARKET, [override()], **named)


def test_nobody_learns_of_others_proposals_by_a_call(eyes: World) -> None:
    other = overrides(override("o-9"))
    model = [publish(eyes.registry, parts=evaluated(number, 0.7)) for number in (0, 1)][1]
    names = [f"marketplaces/{MARKET}/proposals/none", "marketplaces/other/proposals/none", "proposals/none"]
    names += [eyes.propose("anna", other).name, eyes.agreed(promotion(model)).name]
    names.append(eyes.propose("anna", overrides(override("o-8"))).name)
    eyes("anna").withdraw_proposal(names[-1], **SAID)
    answers = set()
    for name in names:
        call = (eyes("robot").append_entries, MARKET, [identity("i-1", "s-1")])
        error = refused("FAILED_PRECONDITION", "APPROVAL_REQUIRED", *call, proposal=name)
        assert error.metadata["proposal"] == name
        answers.add((str(error).replace(name, ""), error.metadata["persons_missing"]))
    assert len(answers) == 1


def test_what_was_looked_at_is_what_is_approved(eyes: World) -> None:
    proposal, other = (eyes.propose("anna", overrides(override(name))) for name in ("o-1", "o-2"))
    for digest in (other.digest, "", proposal.digest[:12]):
        approve = eyes("bert").approve_proposal
        error = refused("FAILED_PRECONDITION", "PROPOSAL_CLOSED", approve, proposal.name, digest, **SAID)
        assert error.metadata["state"] == "OUTDATED"
        assert "digest: is not that of this proposal; show it again" in str(error)
    assert eyes("bert").get_proposal(proposal.name).persons_missing == 1


WITHDRAWN = "SELECT sequence FROM entry WHERE kind = 1003 AND status = 4"
REVIVED = {
    "its withdrawal is gone and its end is later": [
        f"DELETE FROM entry WHERE sequence IN ({WITHDRAWN})",
        "UPDATE entry SET until_time = until_time + 2592000000000 WHERE kind = 1003 AND status = 1",
    ],
    "its withdrawal is gone": [f"DELETE FROM entry WHERE sequence IN ({WITHDRAWN})"],
    "its withdrawal is gone with its seal": [
        f"DELETE FROM seal WHERE first_sequence IN ({WITHDRAWN})",
        f"DELETE FROM entry WHERE sequence IN ({WITHDRAWN})",
    ],
    "its withdrawal is an approval": ["UPDATE entry SET status = 2 WHERE kind = 1003 AND status = 4"],
}


@pytest.mark.long
@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize("way", REVIVED)
def test_a_proposal_revived_in_the_database_lets_nothing_in(eyes: World, url: str, way: str, is_last: bool) -> None:
    proposal = eyes.agreed(overrides())
    used = eyes.agreed(overrides(override("o-2")))
    eyes("anna").withdraw_proposal(proposal.name, **SAID)
    if not is_last:
        eyes("anna").append_entries(MARKET, [override("o-2")], proposal=used.name)
    with owner(url) as connection:
        for statement in REVIVED[way]:
            connection.execute(text(statement))
        connection.commit()
    assert closed(eyes("anna").append_entries, MARKET, [override()], proposal=proposal.name) == "ALTERED"


def test_what_was_proven_of_a_proposal_is_not_proven_again(eyes: World, monkeypatch: pytest.MonkeyPatch) -> None:
    proposal = eyes.agreed(overrides())
    asked, verify = list[int](), eyes.ledger.seals.verify

    def noting(_: SealQueries, checkpoints: Any, progress: Any, first: int = 1) -> Any:
        asked.append(first)
        return verify(checkpoints, progress, first)

    # it counts what is proven again
    monkeypatch.setattr(SealQueries, "verify", noting)
    for _ in range(2):
        eyes("anna").append_entries(MARKET, [override()], proposal=proposal.name)
    assert asked == sorted(asked)
    assert len({*asked}) > 2


def test_an_expired_proposal_is_neither_approved_nor_used(eyes: World) -> None:
    open_, approved = eyes.propose("anna", overrides()), eyes.agreed(overrides(override("o-2")))
    eyes.clock.now += 7_200 * SECOND - 1
    eyes("anna").append_entries(MARKET, [override("o-2")], proposal=approved.name)
    eyes.clock.now += 1
    assert closed(eyes.approve, "bert", open_) == "EXPIRED"
    assert closed(eyes("anna").withdraw_proposal, open_.name, **SAID) == "EXPIRED"
    assert closed(eyes("anna").append_entries, MARKET, [override("o-2")], proposal=approved.name) == "EXPIRED"


@pytest.mark.long
def test_whoever_is_no_person_any_more_counts_no_more(eyes: World) -> None:
    proposal = eyes.agreed(overrides())
    use = {"proposal": proposal.name}
    without_bert = {name: shown for name, shown in PERSONS.items() if name != "bert"}
    fewer = [right for right in RIGHTS if right != "approve"]
    no_overrides = [right for right in RIGHTS if right != "override"]
    others = "".join(grant(f"dns:{name}.example", RIGHTS, **EVERY) for name in ("anna", "carl", "robot"))
    for tables, missing in (
        ((ALL, persons(**without_bert), FOUR_EYES), "1"),
        ((others, grant("dns:bert.example", fewer, **EVERY), persons(**PERSONS), FOUR_EYES), "1"),
        (
            (
                others.replace("anna", "bert"),
                grant("dns:anna.example", no_overrides, **EVERY),
                persons(**PERSONS),
                FOUR_EYES,
            ),
            "1",
        ),
        (
            (
                ALL,
                persons(**(PERSONS | {"anna": ["dns:anna.example", "dns:bert.example"], "bert": ["dns:b.example"]})),
                FOUR_EYES,
            ),
            "1",
        ),
    ):
        eyes.rule(*tables)
        assert needs_approval(eyes("robot").append_entries, MARKET, [override()], **use)["persons_missing"] == missing
    eyes.rule(ALL, persons(**PERSONS), FOUR_EYES)
    eyes("robot").append_entries(MARKET, [override()], **use)


@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
def test_two_approvals_of_one_person_count_once(eyes: World) -> None:
    proposal = eyes.propose("robot", overrides())
    found = at_once(
        *(lambda name=name: eyes.approve(name, proposal) for name in ("anna", "anna-laptop", "anna", "bert"))
    )
    assert [error for error in found if isinstance(error, SellertrustCallError)] == []
    shown = eyes("carl").get_proposal(proposal.name)
    assert sorted(step.person for step in shown.steps if step.counts) == ["anna", "bert"]
    assert len(shown.steps) == 3


@pytest.mark.long
@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
def test_a_withdrawal_and_a_use_at_once_come_one_after_the_other(eyes: World) -> None:
    for number in range(4):
        entry = override(f"o-{number}")
        proposal = eyes.agreed(overrides(entry))
        used, withdrawn = at_once(
            lambda entry=entry, proposal=proposal: eyes("anna").append_entries(MARKET, [entry], proposal=proposal.name),
            lambda proposal=proposal: eyes("carl").withdraw_proposal(proposal.name, **SAID),
        )
        names = [step.state for step in withdrawn.steps]
        assert (len(names) == 4) == (not isinstance(used, SellertrustCallError))
        listed = [one.entry_id for one in eyes("anna").list_entries(MARKET)]
        assert (entry.entry_id in listed) == (len(names) == 4)


@pytest.mark.long
def test_a_promotion_is_refused_on_another_basis(eyes: World) -> None:
    _, second, third = (publish(eyes.registry, parts=evaluated(n, 0.7)) for n in range(3))
    waits, promoted = eyes.agreed(promotion(second)), eyes.agreed(promotion(third))
    eyes("anna").promote_model(third, **SAID, proposal=promoted.name)
    assert closed(eyes("anna").promote_model, second, **SAID, proposal=waits.name) == "OUTDATED"
    failing = [{"gates.json": gates_json(gate(name, ok=False))} for name in ("size", "speed")]
    publish(eyes.registry, parts=evaluated(1, 0.7), attachments=failing[0])
    again = eyes.agreed(promotion(second, override="Carl"))
    publish(eyes.registry, parts=evaluated(1, 0.7), attachments=failing[1])
    assert closed(eyes("anna").promote_model, second, **SAID, override="Carl", proposal=again.name) == "OUTDATED"
    assert eyes.registry.champion_digest() == third


def test_a_bulk_decision_whose_selection_has_grown_is_refused(eyes: World) -> None:
    eyes("robot").append_entries(MARKET, [violation(f"v-{n}", "s-1", notifier="brand-1") for n in range(3)])
    request = bulk(eyes)
    proposal = eyes.agreed(request)
    eyes("robot").append_entries(MARKET, [violation("v-9", "s-1", notifier="brand-1")])
    refused("FAILED_PRECONDITION", "SELECTION_CHANGED", eyes("anna").carry_out, proposal)
    narrower = bulk(eyes, "d-1", sample_fraction=0.9)
    narrower.proposal = proposal.name
    needs_approval(eyes.raw_decide, "anna", narrower)


def test_there_is_no_way_around_by_a_stream_or_a_correction(eyes: World) -> None:
    proposal = eyes.agreed(overrides())
    eyes("anna").append_entries(
        MARKET,
        [
            override(),
        ],
        proposal=proposal.name,
    )
    eyes("anna").append_entries(MARKET, [identity("i-1", "s-1")])
    ended = lambda: next(iter(eyes("anna").stream_entries(MARKET, [[override("o-2")]])))  # noqa: E731
    refused("FAILED_PRECONDITION", "APPROVAL_REQUIRED", ended)
    void = {"correction": entry_pb2.CORRECTION_KIND_VOID, **SAID}
    for entry_id in ("o-1", "not-yet"):
        needs_approval(eyes("anna").append_entries, MARKET, [correction(entry_id, **void)])
    eyes("anna").append_entries(MARKET, [correction("i-1", **void), identity("i-2", "s-1"), correction("i-2", **void)])
    voided = eyes.agreed(overrides(correction("o-1", **void)))
    eyes("robot").carry_out(voided)
    assert "c-o-1" in [one.entry_id for one in eyes("anna").list_entries(MARKET)]


def test_an_erased_seller_takes_the_words_of_its_proposals_along(eyes: World) -> None:
    secret = override(reason="he is a thief")
    proposal = eyes.agreed(overrides(secret))
    eyes("anna").append_entries(MARKET, [secret], proposal=proposal.name)
    eyes.ledger.erase(MARKET, "s-1", actor="op", entry_id="e-1")
    shown = eyes("anna").get_proposal(proposal.name)
    assert (shown.erased, shown.WhichOneof("request"), shown.digest) == (True, None, "")
    assert (shown.steps[0].principal, shown.steps[0].reason) == ("dns:anna.example", "")
    needs_approval(eyes("anna").append_entries, MARKET, [secret], proposal=proposal.name)
    assert closed(eyes.approve, "carl", shown) == "ERASED"


def test_what_is_proposed_is_sealed_and_never_logged(url: str, tmp_path: Path) -> None:
    with world(url, tmp_path) as eyes:
        proposal = eyes.agreed(overrides(override(reason="a-canary")))
        needs_approval(eyes("anna").append_entries, MARKET, [override(reason="b-canary")], proposal=proposal.name)
        eyes("anna").withdraw_proposal(proposal.name, actor="a-1", reason="c-canary")
        assert "canary" not in eyes.log.getvalue() + eyes.audit.read_text()
        with eyes.ledger.database.read() as connection:
            rows = connection.exec_driver_sql("SELECT * FROM entry WHERE kind = 1003").all()
        assert len(rows) == 3
        assert "canary" not in str(rows)


RULES = (
    grant("dns:modeller.staff.example", ["models", "read_models", "propose"], marketplaces=["*"]),
    grant("dns:second.staff.example", ["propose", "approve"]),
    grant("dns:elsewhere.staff.example", ["override", "propose", "approve"], marketplaces=["other"], entry_ids=["*"]),
    persons(**PERSONS),
    FOUR_EYES,
)


@pytest.fixture
def office(url: str, tmp_path: Path) -> Iterator[World]:
    with world(url, tmp_path, ALL, *RULES) as found:
        yield found


def listed(office: World, name: str, marketplace: str = MARKET, page_size: int = 2) -> list[str]:
    return [one.name for one in office(name).list_proposals(marketplace, page_size=page_size)]


def test_a_proposal_is_seen_by_who_may_do_or_approve_it(office: World) -> None:
    made = [office.propose("anna", overrides(override(f"o-{n}")), proposal_id=f"p-{n}") for n in range(5)]
    names = [one.name for one in reversed(made)]
    for name in ("bert", "robot", "second.staff"):
        assert listed(office, name) == names
        assert office(name).get_proposal(names[0]).name == names[0]
    absent = f"marketplaces/{MARKET}/proposals/p-9"
    modeller = office("modeller.staff")
    assert listed(office, "modeller.staff") == []

    def not_found(call: object, *arguments: str) -> str:
        assert callable(call)
        return refused("NOT_FOUND", "PROPOSAL_NOT_FOUND", call, *arguments, **options).message.replace("p-9", "p-0")

    options: dict[str, str] = {}
    assert not_found(modeller.get_proposal, made[0].name) == not_found(modeller.get_proposal, absent)
    options = SAID
    assert not_found(modeller.withdraw_proposal, made[0].name) == not_found(modeller.withdraw_proposal, absent)
    assert listed(office, "bert") == names
    refused("PERMISSION_DENIED", "CALLER_NOT_GRANTED", office("elsewhere.staff").get_proposal, made[0].name)


def test_a_promotion_is_seen_by_who_may_promote(office: World) -> None:
    first, second = (publish(office.registry, parts=evaluated(number, 0.7)) for number in (0, 1))
    made: Proposal = office.propose("anna", promotion(second))
    office.propose("anna", overrides())
    assert listed(office, "modeller.staff", "") == [made.name] != listed(office, "bert")
    assert office("modeller.staff").get_proposal(made.name).name == made.name
    assert office.propose("bert", promotion(second), proposal_id="again").name == made.name, "it is open already"
    with pytest.raises(SellertrustCallError, match="is of the champion already"):
        office.propose("anna", promotion(first))


def test_a_refused_model_is_not_proposed(office: World, tmp_path: Path) -> None:
    publish(office.registry, parts=evaluated(0, 0.7))
    untrue = publish(office.registry, parts=dict(giving_up().parts))
    refused("FAILED_PRECONDITION", "PROMISE_GIVEN_UP", office.propose, "anna", promotion(untrue))
    damaged = publish(office.registry, parts=evaluated(1, 0.7))
    part = tmp_path / "registry" / "models" / damaged / "model.txt"
    part.write_bytes(part.read_bytes()[:-9])
    refused("FAILED_PRECONDITION", "MODEL_REFUSED", office.propose, "anna", promotion(damaged))
