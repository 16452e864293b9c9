from collections.abc import Callable, Iterator

import pytest

from scoring.entries.incidents import derived_id
from sellertrust.client import Client
from sellertrust.v1 import entry_pb2
from tests.helpers.callers import grant
from tests.helpers.granted import EVERY, Granted, granted_server
from tests.helpers.ledgers import verify
from tests.helpers.refusals import denied, refusal
from tests.helpers.servers import MARKET, violation


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Granted]:
    rights = ["append", "decide", "bulk_decide", "read_ledger", "impose_measures", "decide_complaints"]
    anna = '[[persons]]\nperson = "anna"\nprincipals = ["dns:a.example", "dns:laptop.example"]\n'
    grants = [grant(who, rights, **EVERY) for who in ("dns:*.example", "jwt:https://login.example#*")]
    with granted_server(tmp_path_factory.mktemp("recorded"), *grants, anna) as callers:
        yield callers


def decision(entry_id: str, about: str, action: "entry_pb2.Action.ValueType", seller: str = "") -> entry_pb2.Entry:
    entry = entry_pb2.Entry(entry_id=entry_id)
    if seller:
        entry.seller = f"marketplaces/{MARKET}/sellers/{seller}"
    entry.status.violation, entry.status.action = about, action
    entry.status.actor, entry.status.reason = "court", "so"
    return entry


def listing(entry_id: str, seller: str, product: str) -> entry_pb2.Entry:
    entry = entry_pb2.Entry(entry_id=entry_id, seller=f"marketplaces/{MARKET}/sellers/{seller}")
    entry.occur_time.CopyFrom(violation("x", seller).occur_time)
    entry.product.product = product
    return entry


def product_report(entry_id: str, product: str) -> entry_pb2.Entry:
    entry = entry_pb2.Entry(entry_id=entry_id)
    entry.occur_time.CopyFrom(violation("x", "s").occur_time)
    facts = {"violation_type": "unsafe_product", "harm": entry_pb2.HARM_HIGH, "source": entry_pb2.SOURCE_BRAND}
    entry.product_violation.CopyFrom(entry_pb2.ProductViolationReported(**facts, product=product))
    return entry


def refuse(call: Callable[..., object], *arguments: object, **options: object) -> None:
    assert "its own report" in denied(call, *arguments, **options).message


def test_the_principal_is_on_record(
    callers: Granted,
) -> None:
    with callers("a") as a, callers("b") as b:
        [first] = a.append_entries(MARKET, [violation("p-1", "s")])
        [again] = b.append_entries(MARKET, [a_listed := next(iter(a.list_entries(MARKET, "s")))])
        assert (first.sequence, first.already_present, again.sequence, again.already_present) == (1, False, 1, True)
        assert a_listed.principal == "dns:a.example"
        b.confirm_violation(MARKET, "p-1", actor="court", reason="so")
        found = [*a.list_entries(MARKET, "s")]
        assert [(entry.principal, entry.status.actor) for entry in found] == [
            ("dns:a.example", ""),
            ("dns:b.example", "court"),
        ]
    assert not verify(callers.running.ledger).faults


@pytest.mark.parametrize("bulk", [False, True])
def test_nobody_decides_its_own_report_but_to_withdraw_it(callers: Granted, bulk: bool) -> None:
    name = f"o-{bulk}"
    with callers("a") as a, callers("b") as b:
        a.append_entries(MARKET, [violation(name, "s")])
        for number, action in enumerate((entry_pb2.ACTION_CONFIRM, entry_pb2.ACTION_DISMISS)):
            if bulk:
                refuse(a.append_entries, MARKET, [decision(f"{name}-{number}", name, action)])
        if not bulk:
            refuse(a.confirm_violation, MARKET, name, actor="court", reason="so")
            refuse(a.dismiss_violation, MARKET, name, actor="court", reason="so")
            b.confirm_violation(MARKET, name, actor="court", reason="so")
            refuse(a.overturn_violation, MARKET, name, actor="court", reason="so")
        else:
            a.withdraw_violation(MARKET, name, actor="brand", reason="so")


def test_one_person_is_one_caller_by_whichever_certificate(callers: Granted) -> None:
    with callers("a") as a, callers("laptop") as laptop, callers("b") as b:
        a.append_entries(MARKET, [violation("n-1", "s"), violation("n-2", "s")])
        refuse(laptop.confirm_violation, MARKET, "n-1", actor="court", reason="so")
        laptop.append_entries(MARKET, [decision("n-3", "n-4", entry_pb2.ACTION_CONFIRM, "s")])
        refuse(a.append_entries, MARKET, [violation("n-4", "s")])
        b.confirm_violation(MARKET, "n-1", actor="court", reason="so")


def test_nobody_corrects_or_splits_its_own_report(callers: Granted) -> None:
    with callers("a") as a, callers("laptop") as laptop, callers("b") as b:
        a.append_entries(MARKET, [violation("c-1", "s", incident="c")])
        moved, split = entry_pb2.Entry(entry_id="c-2"), entry_pb2.Entry(entry_id="c-3")
        moved.correction.entry, moved.correction.correction = "c-1", entry_pb2.CORRECTION_KIND_MOVED
        moved.correction.moved_to.CopyFrom(violation("x", "s").occur_time)
        moved.correction.moved_to.seconds -= 86_400
        split.seller = f"marketplaces/{MARKET}/sellers/s"
        split.incident.violation, split.incident.into = "c-1", "alone"
        split.incident.change = entry_pb2.INCIDENT_CHANGE_SPLIT
        for entry, fact in ((moved, moved.correction), (split, split.incident)):
            fact.actor, fact.reason = "staff", "so"
            for client in (a, laptop):
                refuse(client.append_entries, MARKET, [entry])
        b.append_entries(MARKET, [moved, split])


def test_a_complaint_is_decided_by_another_person(callers: Granted) -> None:
    def entry_of(entry_id: str) -> entry_pb2.Entry:
        return entry_pb2.Entry(entry_id=entry_id, seller=f"marketplaces/{MARKET}/sellers/s")

    imposed, filed, decided = entry_of("k-1"), entry_of("k-2"), entry_of("k-3")
    imposed.measure.CopyFrom(
        entry_pb2.MeasureChanged(
            measure="k-m",
            measure_kind=entry_pb2.MEASURE_KIND_DEPOSIT,
            state=entry_pb2.MEASURE_STATE_IMPOSED,
            amount_minor=5,
            currency="EUR",
            actor="staff-1",
            reason="so",
        )
    )
    filed.complaint.measure, filed.complaint.reason = "k-m", "we paid"
    decided.complaint_decision.complaint, decided.complaint_decision.reason = "k-2", "so"
    decided.complaint_decision.outcome = entry_pb2.COMPLAINT_OUTCOME_REJECTED
    decided.complaint_decision.actor = "staff-2"
    with callers("a") as a, callers("laptop") as laptop, callers("b") as b, callers("c") as c:
        a.append_entries(MARKET, [imposed])
        b.append_entries(MARKET, [filed])
        for client in (a, b, laptop):
            assert refusal(client.append_entries, MARKET, [decided]).metadata["why"] == "SAME_PERSON"
        c.append_entries(MARKET, [decided])


def state_steps(name: str) -> list[entry_pb2.Entry]:
    seller = f"marketplaces/{MARKET}/sellers/s"
    imposed, filed, decided = (entry_pb2.Entry(entry_id=f"{name}-{number}", seller=seller) for number in range(3))
    imposed.measure.measure, imposed.measure.actor, imposed.measure.reason = f"{name}-m", "staff-1", "so"
    imposed.measure.measure_kind = entry_pb2.MEASURE_KIND_MANUAL_REVIEW
    imposed.measure.state = entry_pb2.MEASURE_STATE_IMPOSED
    filed.complaint.measure, filed.complaint.reason = f"{name}-m", "we paid"
    stated = decided.complaint_decision
    stated.complaint, stated.reason, stated.actor = f"{name}-1", "so", "staff-2"
    stated.outcome = entry_pb2.COMPLAINT_OUTCOME_REJECTED
    return [imposed, filed, decided]


def test_a_token_beside_a_shared_certificate_is_the_person(callers: Granted) -> None:
    imposed, filed, decided = state_steps("t")
    tokens = {name: callers.issuer.token_file(name) for name in ("eve", "fred")}
    with callers("desk", token=tokens["eve"]) as eve, callers("desk", token=tokens["fred"]) as fred:
        with callers("b") as b:
            eve.append_entries(MARKET, [imposed])
            b.append_entries(MARKET, [filed])
        assert refusal(eve.append_entries, MARKET, [decided]).metadata["why"] == "SAME_PERSON"
        fred.append_entries(MARKET, [decided])


@pytest.mark.parametrize(
    ("imposed_by", "decided_by"),
    [(("a", "app"), ("a", None)), (("a", "app"), ("a", "other-app")), (("desk", None), ("desk", "eve"))],
)
def test_a_token_beside_it_hides_no_certificate(
    callers: Granted, imposed_by: tuple[str, str | None], decided_by: tuple[str, str | None]
) -> None:
    steps = state_steps("-".join(str(name) for name in (*imposed_by, *decided_by)))
    shown = [
        (name, token and callers.issuer.token_file(token)) for name, token in (imposed_by, ("b", None), decided_by)
    ]
    imposing, filing, deciding = (callers(name, token=token) for name, token in shown)
    with imposing, filing, deciding:
        imposing.append_entries(MARKET, steps[:1])
        filing.append_entries(MARKET, steps[1:2])
        assert refusal(deciding.append_entries, MARKET, steps[2:]).metadata["why"] == "SAME_PERSON"


def test_nobody_decides_its_own_report_in_one_batch(callers: Granted) -> None:
    with callers("a") as a, callers("b") as b:
        confirm = entry_pb2.ACTION_CONFIRM
        refuse(a.append_entries, MARKET, [violation("w-1", "s"), decision("w-2", "w-1", confirm)])
        a.append_entries(MARKET, [decision("w-3", "w-4", confirm, "s")])
        refuse(a.append_entries, MARKET, [violation("w-4", "s")])
        b.append_entries(MARKET, [violation("w-4", "s")])
        assert b.get_violation(MARKET, "w-4").status == entry_pb2.VIOLATION_STATUS_CONFIRMED


def test_deciding_an_own_report_is_refused_without_the_lock(callers: Granted) -> None:
    with callers("a") as a:
        a.append_entries(MARKET, [violation("u-1", "s")])
        with callers.running.ledger.database.write():
            refuse(a.confirm_violation, MARKET, "u-1", actor="court", reason="so", deadline_seconds=4)


def test_a_derived_violation_is_the_reporters(callers: Granted) -> None:
    listed, recall = listing("r-1", "s", "gtin-9"), product_report("r-2", "gtin-9")
    with callers("a") as a, callers("b") as b:
        a.append_entries(MARKET, [recall])
        b.append_entries(MARKET, [listed])
        [derived] = [one.name for one in b.list_violations(MARKET, "s") if one.violation_type == "unsafe_product"]
        name = derived.rpartition("/")[2]
        refuse(a.confirm_violation, MARKET, name, actor="court", reason="so")


def test_nobody_decides_what_the_same_batch_derives(callers: Granted) -> None:
    listed, recall = listing("e-1", "s", "gtin-8"), product_report("e-2", "gtin-8")
    confirm = decision("e-3", derived_id("e-2", "s"), entry_pb2.ACTION_CONFIRM)
    with callers("a") as a, callers("b") as b:
        b.append_entries(MARKET, [listed])
        refuse(a.append_entries, MARKET, [recall, confirm])
        a.append_entries(MARKET, [recall])
        again = decision("e-5", derived_id("e-2", "t"), entry_pb2.ACTION_CONFIRM)
        refuse(a.append_entries, MARKET, [listing("e-4", "t", "gtin-8"), again])
        b.append_entries(MARKET, [confirm])


def test_nobody_attributes_its_own_report(callers: Granted) -> None:
    with callers("a") as a, callers("b") as b:
        a.append_entries(MARKET, [violation("g-1", "s")])
        stated = []
        for number, outcome in enumerate(("CONTESTED", "REJECTED", "ACCEPTED")):
            entry = entry_pb2.Entry(entry_id=f"g-2-{number}")
            entry.attribution.violation = "g-1"
            entry.attribution.outcome = entry_pb2.Attribution.Value(f"ATTRIBUTION_{outcome}")
            entry.attribution.actor, entry.attribution.reason = "a", "another shop's parcel"
            stated.append(entry)
        a.append_entries(MARKET, stated[:1])
        for entry in stated[1:]:
            refuse(a.append_entries, MARKET, [entry])
        b.append_entries(MARKET, stated[2:])


def test_local_may_do_both(callers: Granted) -> None:
    with Client(f"unix:{callers.running.server.settings.socket}") as local:
        local.append_entries(MARKET, [violation("l-1", "t")])
        local.confirm_violation(MARKET, "l-1", actor="court", reason="so")
        assert {entry.principal for entry in local.list_entries(MARKET, "t")} == {"local"}
