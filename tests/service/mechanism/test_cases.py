from datetime import timedelta
from pathlib import Path

import pytest

from scoring.base.enums import Action, CaseState, ControlReason, MeasureKind, Source
from scoring.base.errors import CaseNotFound, InvalidInput, LifecycleForbids
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.account import ControlChanged
from scoring.entries.kinds.decisions import CaseChanged
from scoring.entries.kinds.settlement import FlowStated
from sellertrust.errors import SellertrustCallError
from sellertrust.names import seller_name
from sellertrust.v1 import entry_pb2
from service.bootstrap import build_scorer, build_worker
from service.ledger.store import Ledger
from service.mechanism.metrics import MechanismMetrics
from service.mechanism.status import read_status
from service.policy.policy_file import parse_policy_text
from service.scores.payouts import Payouts
from tests.helpers import servers
from tests.helpers.builders import MARKET, SELLER, TODAY, Clock, exposure, identity, status, violation
from tests.helpers.policies import GRADED
from tests.helpers.recordings import GENERAL, Told
from tests.helpers.shells import shell_of
from tests.helpers.worlds import artifact

REPORTED = "grave-reports~r1"


@pytest.fixture
def told(ledger: Ledger, clock: Clock) -> Told:
    made = Told(ledger, clock, parse_policy_text(GENERAL))
    made.append(identity("i1"), exposure(TODAY - 60))
    made.worker.look()
    return made


def report(name: str = "r1") -> Entry:
    return violation(name, source=Source.CUSTOMS)


def decided(state: CaseState, case: str = REPORTED, name: str = "d1", seller: str = SELLER, **fields: object) -> Entry:
    fact = CaseChanged(case, state, "staff-1", "looked at", **fields)  # type: ignore[arg-type]
    return Entry(name, seller, fact)


def states(told: Told) -> list[tuple[str, str]]:
    found = told.ledger.measures.read_seller_terms(MARKET, SELLER, told.ledger.cut()).cases
    return [(one.fact.case, one.fact.state.name.lower()) for one in found]


def waiting(told: Told) -> list[str]:
    return [one.case for one in told.ledger.cases.list_open(MARKET, told.ledger.cut(), 10)]


def cautions(told: Told) -> list[str]:
    found = build_scorer(told.ledger, told.policy).cautions(MARKET, [SELLER], told.ledger.cut())
    return [one.case for one in found.get(SELLER, ())]


def test_every_caution_opens_a_case_once_whatever_it_rests_on(told: Told) -> None:
    told.append(
        report(),
        Entry("c1", SELLER, ControlChanged(ControlReason.SOLD, "staff", "sold"), told.clock.now - DAY),
        Entry("f1", SELLER, FlowStated(TODAY, delivered_orders=90, disputed_orders=30)),
    )
    assert told.worker.look() > 3
    assert (told.worker.look(), told.another().look()) == (0, 0)
    assert sorted(waiting(told)) == ["disputed~f1", REPORTED, "new-hands~c1"]
    assert sorted(states(told)) == [(case, "opened") for case in sorted(waiting(told))]
    [case] = [one for one in told.ledger.cases.list_open(MARKET, told.ledger.cut(), 10) if one.case == REPORTED]
    assert (case.seller, case.rule, [*case.rests_on]) == (SELLER, "grave-reports", ["r1"])
    assert case.decide_by == case.caution_end == case.opened_time + 3 * DAY + 1


@pytest.mark.long
def test_an_ended_case_ends_its_caution(told: Told) -> None:
    told.append(report())
    told.worker.look()
    assert cautions(told) == [REPORTED]
    told.append(decided(CaseState.ENDED))
    assert (cautions(told), waiting(told)) == ([], [])
    told.worker.look()
    assert [state for rule, state in told.record() if rule == "grave-reports"] == [
        "imposed",
        "imposed",
        "lifted",
        "lifted",
    ]
    told.append(status("r1", Action.REVIEW), exposure(TODAY - 30))
    told.another().look()
    assert states(told) == [(REPORTED, "opened"), (REPORTED, "ended")]
    told.append(report("r2"))
    told.worker.look()
    assert waiting(told) == ["grave-reports~r2"]


def test_a_case_is_confirmed_by_confirmed_violations(told: Told) -> None:
    told.append(report(), violation("alleged"), violation("elsewhere", "s2"), status("elsewhere"))
    told.worker.look()
    for name, stands in (("alleged", "alleged"), ("elsewhere", "not on record"), ("nothing", "not on record")):
        with pytest.raises(LifecycleForbids, match=rf"case\.violations: '{name}' is {stands}.*a case is confirmed by"):
            told.append(decided(CaseState.CONFIRMED, violations=(name,)))
    told.append(status("r1"), decided(CaseState.CONFIRMED, violations=("r1",)))
    assert (cautions(told), waiting(told)) == ([REPORTED], [])
    told.worker.look()
    assert states(told) == [(REPORTED, "opened"), (REPORTED, "confirmed")]


def test_impossible_decisions_are_refused_by_field(told: Told) -> None:
    told.append(report(), identity("i2", "s2"))
    told.worker.look()
    with pytest.raises(CaseNotFound, match=r"entries\[0\]\.case\.case: no case 'grave-reports~x' of this seller"):
        told.append(decided(CaseState.ENDED, "grave-reports~x"))
    with pytest.raises(CaseNotFound):
        told.append(decided(CaseState.ENDED, seller="s2"))
    with pytest.raises(InvalidInput, match=r"case\.violations: must name the confirmed violations"):
        told.append(decided(CaseState.CONFIRMED))
    with pytest.raises(InvalidInput, match=r"case\.violations: must be empty"):
        told.append(decided(CaseState.ENDED, violations=("r1",)))
    for state in (CaseState.OPENED, CaseState.WITHDRAWN):
        with pytest.raises(InvalidInput, match=r"case\.rule: must be empty.*case\.state: must be confirmed, ended or"):
            told.append(decided(state, rule="grave-reports"))
    told.append(decided(CaseState.ENDED))
    with pytest.raises(LifecycleForbids, match=r"'grave-reports~r1' was ended; a case is decided once"):
        told.append(decided(CaseState.ENDED, name="d2"))
    assert [one.already_present for one in told.ledger.append(MARKET, [decided(CaseState.ENDED)])] == [True]


def test_a_case_can_be_decided_where_no_server_has_recorded_it(told: Told) -> None:
    told.append(report())
    told.append(decided(CaseState.ENDED))
    assert cautions(told) == []
    told.ledger.append(MARKET, [report("r2"), decided(CaseState.ENDED, "grave-reports~r2", "d2")])
    assert cautions(told) == []
    told.worker.look()
    assert "opened" not in dict(states(told)).values()


def test_a_case_goes_and_comes_with_its_facts(told: Told) -> None:
    told.append(report())
    told.worker.look()
    told.append(status("r1", Action.DISMISS))
    told.worker.look()
    assert (waiting(told), states(told)) == ([], [(REPORTED, "opened"), (REPORTED, "withdrawn")])
    told.append(status("r1", Action.REVIEW))
    told.worker.look()
    assert waiting(told) == cautions(told) == [REPORTED]


def test_a_case_that_opens_late_has_its_cautions_deadline(told: Told) -> None:
    flow = FlowStated(TODAY - 5, delivered_orders=90, disputed_orders=30)
    entry = Entry("f1", SELLER, flow, report_time=told.clock.now - 5 * DAY)
    told.ledger.append(MARKET, [entry], imported=True)
    told.worker.look()
    [case] = told.ledger.cases.list_open(MARKET, told.ledger.cut(), 10)
    [caution] = build_scorer(told.ledger, told.policy).cautions(MARKET, [SELLER], told.ledger.cut())[SELLER]
    assert case.decide_by == caution.decide_by < told.clock.now
    assert read_status(told.ledger).overdue_cases == 1


def test_an_undecided_case_counts_as_overdue(told: Told) -> None:
    told.append(report())
    told.worker.look()
    told.clock.now += 2 * DAY
    assert read_status(told.ledger).open_cases == 1
    assert read_status(told.ledger).overdue_cases == 0
    told.clock.now += 2 * DAY
    assert cautions(told) == []
    another = told.another()
    another.look()
    assert waiting(told) == [REPORTED]
    assert (read_status(told.ledger).open_cases, read_status(told.ledger).overdue_cases) == (1, 1)
    shown = {one.name: one.samples[0].value for one in MechanismMetrics(another).collect()}
    assert (shown["sellertrust_cases_open"], shown["sellertrust_cases_overdue"]) == (1, 1)
    told.append(decided(CaseState.ENDED))
    assert waiting(told) == []


def test_a_cautions_protections_are_in_the_restitution(told: Told) -> None:
    told.append(report())
    told.worker.look()
    told.append(status("r1", Action.DISMISS))
    told.worker.look()
    payouts = Payouts(told.ledger, build_scorer(told.ledger, told.policy))
    found = payouts.restitution(MARKET, SELLER, "r1", told.ledger.cut())
    assert {(item.span.kind, item.span.rule) for item in found.items} == {
        (MeasureKind.INTAKE_CAP, "grave-reports"),
        (MeasureKind.MANUAL_REVIEW, "grave-reports"),
    }
    assert {item.span.end for item in found.items} == {told.clock.now}


def ended_case(case: str) -> entry_pb2.Entry:
    decision = entry_pb2.CaseChanged(
        case=case, state=entry_pb2.CASE_STATE_ENDED, actor="staff", reason="their own goods"
    )
    return entry_pb2.Entry(entry_id=f"end-{case}", seller=seller_name(MARKET, "s1"), case=decision)


@pytest.mark.long
def test_cases_are_decided_over_a_socket_and_by_command(tmp_path: Path) -> None:
    with (
        servers.running_server(tmp_path, artifact=artifact(), policy=GRADED) as running,
        running.client() as client,
    ):
        client.append_entries(MARKET, [servers.identity("i1", "s1"), servers.exposure("x1", "s1", 5_000)])
        review, shell = client, shell_of(tmp_path / "cli", target=running.address)
        client.append_entries(MARKET, [servers.violation(name, "s1", source=3) for name in ("r1", "r2")])
        build_worker(running.ledger, running.scorer).look()
        found = review.list_cases(MARKET)
        assert (found.open_cases, found.overdue_cases) == (2, 0)
        case = found.cases[0]
        assert (case.case, case.seller.rsplit("/", 1)[-1], case.rule, [*case.entries]) == (
            *(REPORTED, "s1", "grave-reports", ["r1"]),
        )
        [caution] = [one for one in client.get_trust_score(MARKET, "s1").cautions if one.case == REPORTED]
        assert case.decide_by_time == caution.decide_by_time
        assert case.decide_by_time.ToDatetime() - case.open_time.ToDatetime() > timedelta(days=2.9)
        client.append_entries(MARKET, [ended_case(REPORTED)])
        assert REPORTED not in {one.case for one in client.get_trust_score(MARKET, "s1").cautions}
        assert [one.case for one in review.list_cases(MARKET).cases] == ["grave-reports~r2"]
        shown = {one.violation.name[-2:]: one.case for one in review.list_review_queue(MARKET)}
        assert shown == {"r1": "", "r2": "grave-reports~r2"}
        with pytest.raises(SellertrustCallError, match="CASE_NOT_FOUND") as caught:
            client.append_entries(MARKET, [ended_case("grave-reports~r9")])
        assert caught.value.metadata == {"case": "grave-reports~r9"}
        [row] = shell.json("case", "list")
        assert (row["case"], row["seller"], row["overdue"]) == ("grave-reports~r2", "s1", False)
        assert "1 case of cautions to be decided, 0 overdue" in shell("violation", "queue")[1]
        decide = ("ledger", "append", "case", "seller=s1", "actor=staff", "reason=looked at")
        error = shell.error(4, *decide, "case=grave-reports~r2", "state=confirmed", "violations=r2")
        assert "'r2' is alleged" in error
        error = shell.error(3, *decide, "case=r~nothing", "state=ended")
        assert "sellertrust case list" in error
        client.append_entries(MARKET, [servers.violation("r3", "s1")])
        client.confirm_violation(MARKET, "r3", actor="staff", reason="so it is")
        shell(*decide, "case=grave-reports~r2", "state=confirmed", "violations=r3")
        assert shell.json("case", "list") == []
        assert {one.case for one in review.list_review_queue(MARKET)} == {""}
        assert "grave-reports~r2" in {one.case for one in client.get_trust_score(MARKET, "s1").cautions}
