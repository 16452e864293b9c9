from collections.abc import Iterator

import grpc
import pytest

from sellertrust.client import Client, SellertrustCallError, seller_name
from sellertrust.v1 import entry_pb2
from sellertrust.v1 import ledger_service_pb2 as ledger_pb
from tests.helpers.callers import grant
from tests.helpers.granted import EVERY, Granted, granted_server
from tests.helpers.refusals import denied, refusal
from tests.helpers.servers import MARKET, exposure, ledger_stub, violation

SELLERS = ("a", "b", "c", "d")
MINE = ("a", "c")


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Granted]:
    rights = ["read_ledger", "read_scores"]
    grants = (
        grant("dns:some.example", rights, sellers=MINE),
        grant("dns:every.example", [*rights, "append"], **EVERY),
        grant("dns:more.example", rights, sellers=[*MINE, "d"]),
    )
    with granted_server(tmp_path_factory.mktemp("visible"), *grants) as callers:
        with callers("every") as client:
            for round_ in range(5):
                batch = [violation(f"v-{seller}-{round_}", seller) for seller in SELLERS]
                product = entry_pb2.Entry(entry_id=f"p-{round_}")
                product.occur_time.GetCurrentTime()
                product.product_violation.CopyFrom(
                    entry_pb2.ProductViolationReported(
                        violation_type="unsafe_product",
                        harm=entry_pb2.HARM_HIGH,
                        source=entry_pb2.SOURCE_BRAND,
                        product="gtin-1",
                    )
                )
                product.occur_time.seconds -= 86_400
                client.append_entries(MARKET, [exposure(f"x-{round_}", "b", days=60 + round_), *batch, product])
        yield callers


def mine(entry: entry_pb2.Entry) -> bool:
    return entry.seller in {seller_name(MARKET, seller) for seller in MINE}


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 1_000])
def test_lists_hold_what_the_caller_may_see(callers: Granted, page_size: int) -> None:
    with callers("every") as every, callers("some") as some:
        whole = [entry for entry in every.list_entries(MARKET) if mine(entry)]
        assert [*some.list_entries(MARKET, page_size=page_size)] == whole
        violations = [one for one in every.list_violations(MARKET) if one.seller[-1] in MINE]
        assert len(violations) == 10
        assert [*some.list_violations(MARKET, page_size=page_size)] == violations
        confirmed = [entry_pb2.VIOLATION_STATUS_CONFIRMED]
        assert [*some.list_violations(MARKET, page_size=page_size, statuses=confirmed)] == []


def test_a_watch_sends_what_the_caller_may_see(callers: Granted) -> None:
    with callers("every") as every, callers("some") as some:
        seen: list[entry_pb2.Entry] = []
        for response in some.watch_entries(MARKET, page_size=3):
            seen += response.entries
            if len(seen) >= 10:
                break
        assert seen == [entry for entry in every.list_entries(MARKET) if mine(entry)]


def test_an_invisible_seller_is_denied_alike(callers: Granted) -> None:
    with callers("some") as some:
        assert len([*some.list_entries(MARKET, "a")]) == 5
        told = set()
        for seller in ("b", "nobody"):
            for call in (some.list_entries, some.list_violations):
                told.add(str(denied(list, call(MARKET, seller))))
        assert len(told) == 1


def test_invisible_sellers_of_a_batch_are_refused_alone(callers: Granted) -> None:
    names = ["a", *(f"x-{number}" for number in range(50)), "b", "c"]
    with callers("some") as some, callers("every") as every:
        results = some.batch_get_trust_scores(MARKET, names)
        assert [result.seller.rpartition("/")[2] for result in results] == names
        codes = {result.error.code for result in results[1:-1]}
        assert codes == {grpc.StatusCode.PERMISSION_DENIED.value[0]}
        assert {result.error.message for result in results[1:-1]} == {results[1].error.message}
        whole = every.batch_get_trust_scores(MARKET, ["a", "c"])
        assert [results[0].WhichOneof("outcome"), results[-1].WhichOneof("outcome")] == ["trust_score"] * 2
        assert results[0].trust_score.points == whole[0].trust_score.points
        assert refusal(some.batch_get_trust_scores, MARKET, ["b", "nobody"]).reason == "CALLER_NOT_GRANTED"


def test_a_page_token_belongs_to_its_caller(callers: Granted) -> None:
    request = ledger_pb.ListEntriesRequest(parent=f"marketplaces/{MARKET}", page_size=2)
    with callers("every") as every, callers("some") as some:
        stubs = {name: ledger_stub(client).ListEntries for name, client in (("every", every), ("some", some))}
        tokens = {name: stub(request, timeout=60).next_page_token for name, stub in stubs.items()}
        for name, stub in stubs.items():
            for whose, token in tokens.items():
                request.page_token = token
                if name == whose:
                    assert stub(request, timeout=60).entries
                    continue
                assert refusal(stub, request, timeout=60).code is grpc.StatusCode.INVALID_ARGUMENT


WORDS = {"actor": "staff", "reason": "so"}


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    rights = ["append", "impose_measures", "decide"]
    begins = {"entry_ids": ["k-a", "r-", "m-", "d-", "l-"]}
    grants = (
        grant("dns:some.example", rights, sellers=["a", "c"], **EVERY | begins),
        grant("dns:every.example", rights, **EVERY),
    )
    with granted_server(tmp_path_factory.mktemp("others"), *grants) as callers:
        with callers("every") as every:
            paid = entry_of("k-b", claim=claim("v-b", entry_pb2.CLAIM_CHANGE_PAID))
            paid.seller = seller_name(MARKET, "b")
            reported = violation("v-b", "b", source=entry_pb2.SOURCE_BRAND)
            every.append_entries(MARKET, [reported, violation("v-a", "a"), paid])
        with callers("some") as client:
            yield client


def entry_of(entry_id: str, **fact: object) -> entry_pb2.Entry:
    entry = entry_pb2.Entry(entry_id=entry_id, seller=seller_name(MARKET, "a"), **fact)
    entry.occur_time.CopyFrom(violation("x", "a").occur_time)
    entry.occur_time.seconds += 3_600
    return entry


def remediation(about: str) -> entry_pb2.Entry:
    return entry_of(f"r-{about}", remediation=entry_pb2.RemediationDone(violation=about, remedy="refund"))


def suspension(about: str) -> entry_pb2.Entry:
    fact = entry_pb2.MeasureChanged(
        measure="m",
        measure_kind=entry_pb2.MEASURE_KIND_SUSPENSION,
        state=entry_pb2.MEASURE_STATE_IMPOSED,
        violations=[about],
        **WORDS,
    )
    return entry_of(f"m-{about}", measure=fact)


def claim(name: str, change: entry_pb2.ClaimChange) -> entry_pb2.ClaimChanged:
    return entry_pb2.ClaimChanged(claim=name, change=change, amount_minor=1, currency="EUR", actor="a")


def twice(fact: entry_pb2.ClaimChanged) -> entry_pb2.ClaimChanged:
    fact.amount_minor *= 2
    return fact


def recovery(about: str) -> entry_pb2.Entry:
    return entry_of(f"r-{about}", claim=claim(about, entry_pb2.CLAIM_CHANGE_RECOVERED))


def decision(about: str) -> entry_pb2.Entry:
    fact = entry_pb2.StatusChanged(violation=about, action=entry_pb2.ACTION_CONFIRM, **WORDS)
    return entry_of(f"d-{about}", status=fact)


def link(other: str) -> entry_pb2.Entry:
    fact = entry_pb2.LinkChanged(other=other, state=entry_pb2.LINK_STATE_OBSERVED, basis="shared_account", **WORDS)
    return entry_of(f"l-{other}", link=fact)


def answer_of(client: Client, entry: entry_pb2.Entry, about: str) -> tuple[object, str, dict[str, str], str]:
    error = refusal(client.append_entries, MARKET, [entry])
    metadata = {key: value for key, value in error.metadata.items() if value != about}
    return error.code, error.reason, metadata, str(error).replace(f"'{about}'", "it")


@pytest.mark.parametrize("make", [remediation, suspension, recovery, decision])
def test_what_belongs_to_another_seller_is_not_on_record(some: Client, make: object) -> None:
    assert callable(make)
    there, absent = answer_of(some, make("v-b"), "v-b"), answer_of(some, make("v-x"), "v-x")
    assert there == absent
    assert "'b'" not in there[-1]
    assert "another seller" not in there[-1]
    is_decision = make is decision
    refused = {grpc.StatusCode.PERMISSION_DENIED} if is_decision else _UNFIT
    assert there[0] in refused


_UNFIT = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}


def test_whether_another_seller_has_an_entry_id_is_not_told(some: Client) -> None:
    answers = [answer_of(some, exposure(name, "a"), name) for name in ("v-b", "v-x")]
    assert answers[0] == answers[1]
    assert answers[0][:2] == (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_GRANTED")


def test_a_claim_may_have_the_id_of_another_sellers(some: Client) -> None:
    some.append_entries(MARKET, [entry_of("k-a", claim=claim("v-b", entry_pb2.CLAIM_CHANGE_PAID))])
    with pytest.raises(SellertrustCallError, match="has 1 paid"):
        some.append_entries(MARKET, [entry_of("k-a2", claim=twice(claim("v-b", entry_pb2.CLAIM_CHANGE_RECOVERED)))])


def test_a_link_is_stated_by_who_may_append_about_both_sellers(some: Client) -> None:
    some.append_entries(MARKET, [link("c"), remediation("v-a")])
    assert answer_of(some, link("b"), "b") == answer_of(some, link("nobody"), "nobody")
    assert answer_of(some, link("b"), "b")[:2] == (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_GRANTED")
