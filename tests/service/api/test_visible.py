from collections.abc import Iterator

import grpc
import pytest

from sellertrust.client import SellertrustCallError, seller_name
from sellertrust.v1 import entry_pb2
from sellertrust.v1 import ledger_service_pb2 as ledger_pb
from tests.helpers.callers import grant
from tests.helpers.granted import EVERY, Granted, granted_server
from tests.helpers.refusals import refusal
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
                with pytest.raises(SellertrustCallError) as caught:
                    [*call(MARKET, seller)]
                told.add(str(caught.value))
        assert len(told) == 1
        assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED


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
                with pytest.raises(grpc.RpcError) as caught:
                    stub(request, timeout=60)
                assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
