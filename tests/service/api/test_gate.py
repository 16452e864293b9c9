import re
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from cryptography.x509 import NameAttribute
from cryptography.x509.oid import NameOID
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from scoring.base.enums import Kind
from scoring.base.errors import ConfigurationWrong, PermissionDenied
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductListed
from sellertrust.client import Client, SellertrustCallError
from sellertrust.v1 import entry_pb2, ledger_service_pb2
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub
from service.access import rights
from service.access.rights import require_rows
from service.api.servicers.entry_streams import list_visible_sellers
from service.call_context import Call, begin_answering, end_answering
from service.contract.resource_names import parse_parent
from tests.helpers.callers import Authority, Shown, TokenIssuer, grant, write_grants
from tests.helpers.granted import Granted, granted_server
from tests.helpers.refusals import denied, refusal, refused
from tests.helpers.servers import MARKET, SERVING, Running, call_bytes, running_server, violation
from tests.helpers.waiting import wait_until

CUSTOMS = "spiffe://acme.example/ns/gateways/sa/customs"
BRAND = "dns:brand.example"
GRANTS = (
    grant("dns:checkout.example", ["read_scores"])
    + grant(
        BRAND,
        ["append", "read_ledger"],
        kinds=["violation"],
        sources=["brand"],
        notifiers=["brand-1"],
        entry_ids=["b1-"],
    )
    + grant(
        "spiffe://acme.example/ns/*/sa/customs",
        ["append", "decide"],
        kinds=["violation", "identity"],
        sources=["customs"],
        notifiers=["*"],
        entry_ids=["c-"],
        actions=["confirm"],
    )
    + grant("dns:staff.example", ["decide", "read_ledger"], entry_ids=["*"], actions=["*"])
    + grant("jwt:https://login.example#*", ["read_scores", "decide"], entry_ids=["*"], actions=["*"])
)


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Granted]:
    with granted_server(tmp_path_factory.mktemp("callers"), GRANTS) as callers:
        yield callers


def unknown(call: Any, *arguments: Any, **options: Any) -> str:
    return refused("UNAUTHENTICATED", "CALLER_UNAUTHENTICATED", call, *arguments, **options).message


def customs_report(entry_id: str, seller: str = "s-1") -> entry_pb2.Entry:
    return violation(entry_id, seller, source=entry_pb2.SOURCE_CUSTOMS, final=True, identifier_verified=True)


def test_a_batch_with_one_forbidden_entry_is_refused_whole(callers: Granted) -> None:
    with callers("brand") as brand:
        before = [one.entry_id for one in brand.list_entries(MARKET)]
        for place in (0, 57, 99):
            batch = [violation(f"b1-h-{number}", "s-1", notifier="brand-1") for number in range(100)]
            batch[place] = violation("b1-h", "s-1", notifier="brand-2")
            denied(brand.append_entries, MARKET, batch)
            request = ledger_service_pb2.StreamEntriesRequest(parent=f"marketplaces/{MARKET}", entries=batch)
            denied(next, LedgerServiceStub(brand.channel).StreamEntries(iter([request]), timeout=20))
        assert [one.entry_id for one in brand.list_entries(MARKET)] == before


def test_the_refusal_names_the_right_that_is_missing(callers: Granted) -> None:
    entries = {key: entry_pb2.Entry(entry_id="b1-8") for key in ("override", "measure", "correction")}
    for key, entry in entries.items():
        getattr(entry, key).SetInParent()
    wanted = {"override": "override", "measure": "impose_measures", "correction": "decide"}
    own = violation("b1-7", "s-1", notifier="brand-1")
    with callers("brand") as brand:
        for key, entry in entries.items():
            error = denied(brand.append_entries, MARKET, [own, entry])
            assert (error.metadata, "certificate" in error.message) == ({"right": wanted[key]}, False)
        outside = [violation("b1-7", "s-1", notifier="brand-2"), violation("x-7", "s-1", notifier="brand-1")]
        words = {denied(brand.append_entries, MARKET, [entry]).message for entry in outside}
        assert len(words) == 1
        assert (
            "right append, by one grant that covers marketplace, seller, kind, source, notifier and id" in words.pop()
        )


def test_the_refusal_is_the_same_whether_the_thing_exists_or_not(callers: Granted) -> None:
    with callers(CUSTOMS) as customs, callers("staff") as staff, callers("checkout") as checkout:
        customs.append_entries(MARKET, [customs_report("c-1")])
        told = {
            str(denied(checkout.get_violation, market, name))
            for market in (MARKET, "no-market")
            for name in ("c-1", "none")
        }
        assert len(told) == 1
        told = {str(denied(staff.get_trust_score, market, name)) for market in (MARKET, "no") for name in ("s-1", "x")}
        assert len(told) == 1
        error = denied(staff.get_trust_score, MARKET, "s-1")
        assert error.metadata == {"right": "read_scores"}


def test_a_malformed_name_is_explained_to_granted_callers(callers: Granted) -> None:
    with callers("staff") as staff, callers("stranger") as stranger:
        assert refusal(staff.get_violation, "a b", "v").code is grpc.StatusCode.INVALID_ARGUMENT
        denied(stranger.get_violation, "a b", "v")


@pytest.mark.long
def test_foreign_and_expired_certificates_open_no_connection(callers: Granted, tmp_path: Path) -> None:
    foreign = Authority(tmp_path, "foreign").certificate(dns=["staff.example"])
    shown = [
        Shown(callers.authority.ca, foreign.certificate, foreign.key),
        callers.authority.certificate(dns=["staff.example"], days=(-2, -1)),
        callers.authority.certificate(dns=["staff.example"], days=(1, 2)),
    ]
    for one in shown:
        with callers.running.client(**one.options()) as client:
            error = refused("UNAVAILABLE", "", client.get_violation, MARKET, "c-1", deadline_seconds=60)
        assert "refuse the one that it is shown" in error.message
    for options, hint in (
        ({}, "the server may speak TLS (give tls)"),
        ({"tls": callers.authority.ca}, "ask for a client certificate (give certificate and key)"),
        ({"tls": foreign.tls}, "tls must hold the authority that signed the server's certificate"),
    ):
        with callers.running.client(**options) as client, pytest.raises(SellertrustCallError, match=re.escape(hint)):
            client.get_violation(MARKET, "c-1", deadline_seconds=60)


def test_a_call_that_shows_a_token_too_needs_both_granted(callers: Granted) -> None:
    token = callers.issuer.token_file("user-17")
    options: dict[str, Any] = {"actor": "user", "reason": "so", "entry_id": "t-1"}
    with callers("staff", token=token) as both, callers("brand", token=token) as half:
        denied(both.get_violation, MARKET, "c-1")
        denied(half.confirm_violation, MARKET, "c-1", **options)
    name = "spiffe://acme.example/ns/gateways/sa/customs"
    bound = callers.authority.certificate([name])
    for thumbprint, is_right in ((bound.thumbprint, True), ("x", False)):
        token = callers.issuer.token_file("user-17", cnf={"x5t#S256": thumbprint})
        with callers.running.client(**bound.options(), token=token) as client:
            if is_right:
                denied(client.get_trust_score, MARKET, "s-1")
            else:
                assert "another certificate" in unknown(client.get_trust_score, MARKET, "s-1")


def test_what_the_header_shows_must_be_one_sound_token(callers: Granted) -> None:
    with callers("staff") as client:
        method = client.channel.unary_unary("/sellertrust.v1.TrustScoreService/GetTrustScore")
        for values in (["Basic abc"], ["Bearer"], ["Bearer x"], ["Bearer x", "Bearer y"], [callers.issuer.token()]):
            unknown(method, b"", metadata=[("authorization", value) for value in values], timeout=60)


def test_the_log_names_the_subject_of_a_token_by_a_pseudonym(callers: Granted) -> None:
    """A subject may be a person; the key of the pseudonyms finds it in the log."""
    subject = "ann.smith@example.org"
    pattern = re.compile(rf"{re.escape(BRAND)} jwt:https://login\.example#~[0-9a-f]{{16}}")

    def pseudonyms() -> list[str]:
        return [who for line in callers.running.lines() if pattern.fullmatch(who := line.get("caller", ""))]

    before = len(pseudonyms())
    with callers("brand", token=callers.issuer.token_file(subject)) as client:

        def seen_twice() -> bool:  # of refusals in one second only the first are logged
            denied(client.append_entries, MARKET, [violation("b1-77", "s-1", notifier="brand-1")])
            return len(pseudonyms()) >= before + 2

        wait_until(seen_twice)
    assert len({*pseudonyms()[before:]}) == 1
    assert subject not in callers.running.log.getvalue()


def test_whoever_opens_the_socket_is_local_and_others_cannot(callers: Granted) -> None:
    path = callers.running.server.settings.socket
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o700
    with Client(f"unix:{path}") as client:
        client.append_entries(MARKET, [violation("x-1", "s-2")])
    assert callers.running.lines()[-1]["caller"] == "local"


def test_in_plain_text_no_token_is_believed(tmp_path: Path) -> None:
    issuer = TokenIssuer(tmp_path)
    write_grants(tmp_path / "grants.toml", issuer.table() + GRANTS)
    token = issuer.token_file("user-17")
    for mesh, message in ((False, "over TLS alone"), (True, "")):
        settings = {"grants": tmp_path / "grants.toml"} | ({"tls": "mesh"} if mesh else {})
        with running_server(tmp_path, **settings) as running:
            with running.client() as nobody:
                assert "neither" in unknown(nobody.get_trust_score, MARKET, "s")
            with running.client(token=token) as client:
                if mesh:
                    assert refusal(client.get_trust_score, MARKET, "s").reason == "SELLER_NOT_FOUND"
                    denied(client.get_trust_score, "other", "s")
                    options = {"actor": "user", "reason": "so", "entry_id": "t-1"}
                    error = denied(client.confirm_violation, MARKET, "v", **options)  # a token alone can be replayed
                    assert "beside a client certificate" in error.message
                else:
                    assert message in unknown(client.get_trust_score, MARKET, "s")


def test_without_grants_whoever_reaches_loopback_is_local(running: Running, client: Client) -> None:
    client.append_entries(MARKET, [violation("x-1", "s-2")])
    refusal(call_bytes, running.address, "LedgerService/GetViolation", b"\xff")
    assert {line["caller"] for line in running.lines()} == {"local"}


def test_who_is_granted_nothing_opens_no_stream(callers: Granted) -> None:
    """A stream that sends nothing would hold a thread forever."""
    with callers("nobody") as client:
        ended = Event()
        silent = iter(lambda: ended.wait() and None, None)
        denied(next, LedgerServiceStub(client.channel).StreamEntries(silent, timeout=20))
        ended.set()


def test_health_is_open_to_all(callers: Granted) -> None:
    with callers("stranger") as client:
        answer = HealthStub(client.channel).Check(HealthCheckRequest(), timeout=60)
    assert answer.status == SERVING


def test_grants_that_nobody_can_use_stop_the_start(tmp_path: Path) -> None:
    path = tmp_path / "grants.toml"
    write_grants(path, grant("dns:checkout.example", ["read_scores"]))
    with pytest.raises(ConfigurationWrong, match="nobody can show"), running_server(tmp_path, grants=path):
        pass
    write_grants(path, "[[grants]]")
    with pytest.raises(ConfigurationWrong, match=r"grants\[0\].principals"), running_server(tmp_path, grants=path):
        pass


def test_a_method_without_a_row_stops_the_start() -> None:
    with pytest.raises(TypeError, match="LedgerService/Forget"):
        require_rows(["LedgerService/ListEntries", "LedgerService/Forget"])


def test_a_kind_of_entries_without_a_row_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    # a table without a row, which no release has
    monkeypatch.setattr(rights, "RIGHT_OF_KIND", {Kind.STATUS: rights.Right.DECIDE})
    with pytest.raises(TypeError, match="entries of the kind violation"):
        require_rows([])


def test_every_right_is_of_a_method_a_kind_or_an_audience() -> None:
    used = {row.right for row in rights.METHODS.values()} | {*rights.RIGHT_OF_KIND.values(), *rights.RIGHT_OF_AUDIENCE}
    assert used == {*rights.Right}


def test_work_without_its_call_shows_and_decides_nothing(callers: Granted) -> None:
    ledger = callers.running.ledger
    ledger.append(MARKET, [Entry("lost-1", "s-9", ProductListed("gtin-1"), occur_time=1_600_000_000_000_000)])
    parent = parse_parent(f"marketplaces/{MARKET}", "parent")
    call = Call()

    def shown() -> bool:
        return bool(ledger.entries.list(MARKET, ledger.cut(), sellers=list_visible_sellers(parent)))

    assert not shown()
    token = begin_answering(call)
    try:
        assert not shown()
        with pytest.raises(PermissionDenied):
            ledger.append(MARKET, [Entry("lost-2", "s-9", ProductListed("gtin-2"), occur_time=1_600_000_000_000_000)])
        call.visible_sellers = None
        assert shown()
    finally:
        end_answering(token)
    assert not shown()


def test_only_the_name_of_a_caller_is_shown(tmp_path: Path) -> None:
    canary, authority = "canary-7c1f", Authority(tmp_path)
    write_grants(tmp_path / "grants.toml", grant("dns:brand.example", ["read_ledger"]))
    oids = (NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.SERIAL_NUMBER)
    hidden: dict[str, Any] = {
        "common_name": canary,
        "emails": [f"{canary}@example.org"],
        "more": [NameAttribute(oid, canary) for oid in oids],
    }
    granted = authority.certificate(dns=["brand.example"], **hidden)
    nobody = [
        authority.certificate(**hidden),
        authority.certificate([f"urn:{canary}", f"spiffe://{canary}/a"], **hidden),
    ]
    headers = (
        "x-canary",
        "x-forwarded-client-cert",
        "x-forwarded-for",
        "forwarded",
        "traceparent",
        "baggage",
        "cookie",
    )
    settings: dict[str, Any] = authority.server_settings() | {
        "grants": tmp_path / "grants.toml",
        "metrics_address": "127.0.0.1:0",
    }
    with running_server(tmp_path, **settings) as running:
        for shown in (granted, *nobody):
            with running.client(**shown.options()) as client:
                method: Any = client.channel.unary_unary("/sellertrust.v1.TrustScoreService/GetTrustScore")
                for value in ("", f"Bearer {canary}", f"Basic {canary}"):
                    metadata: list[tuple[str, Any]] = [(name, canary) for name in (*headers, f"x-{canary}")]
                    metadata += [("x-canary-bin", canary.encode())] + [("authorization", value)] * bool(value)
                    with pytest.raises(grpc.RpcError) as caught:
                        method(b"", metadata=metadata, timeout=60)
                    assert canary not in str(caught.value.details()) + repr(caught.value.trailing_metadata())
                    assert canary not in repr(caught.value.initial_metadata())
        with urlopen(f"http://{running.server.metrics_address}/metrics") as answer:
            assert canary not in answer.read().decode()
    callers_logged = [line.get("caller") for line in running.lines()[-9:]]
    assert callers_logged == ["dns:brand.example", *[None] * 8]
    assert canary not in running.log.getvalue()
