import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import pytest

from sellertrust.client import Client
from sellertrust.names import violation_name
from sellertrust.v1 import ledger_service_pb2 as pb
from service.engine import turnstile
from service.engine.turnstile import (
    HELD_REFUSALS,
    HOLD_SECONDS,
    MAX_HELD,
    MAX_HELD_SHARED,
    PROMPT_REFUSALS,
    PROOFS,
    Turnstile,
    digest_of,
)
from service.limits import Limits
from tests.helpers.callers import TokenIssuer, grant, write_grants
from tests.helpers.granted import EVERY, Granted, granted_server
from tests.helpers.limits import Limit
from tests.helpers.refusals import refusal, refused_fields
from tests.helpers.servers import MARKET, identity, running_server
from tests.helpers.waiting import wait_until

FEW = 3
GET = "LedgerService/GetViolation"


def shown(token: str) -> list[tuple[str, object]]:
    return [("user-agent", "x"), *([("authorization", token)] if token else [])]


def test_a_caller_is_held_after_many_refusals() -> None:
    now = [100.0]
    gate = Turnstile(lambda: now[0])
    for number in range(PROMPT_REFUSALS + 1):
        assert gate.find_held(GET, "c1", shown("")) == "", number
        gate.note_refusal(GET, "dns:a.example", "c1", b"", 0.25)
    assert gate.find_held(GET, "c1", shown("")) == "dns:a.example"
    others = [("LedgerService/ListEntries", "c1", ""), (GET, "c1", "Bearer x"), (GET, "c2", "")]
    assert [gate.find_held(method, connection, shown(token)) for method, connection, token in others] == [""] * 3
    gate.note_refusal(GET, "dns:a.example", "c2", b"", 0.25)
    assert gate.find_held(GET, "c2", shown("")) == "dns:a.example"
    now[0] += 0.25
    assert gate.find_held(GET, "c1", shown("")) == ""
    gate.note_refusal(GET, "dns:a.example", "c1", b"", 1e9)
    now[0] += HOLD_SECONDS
    assert gate.find_held(GET, "c1", shown("")) == ""
    now[0] += 1
    gate.note_refusal(GET, "dns:a.example", "c1", b"", 1e9)
    assert gate.find_held(GET, "c1", shown("")) == ""


def test_a_refusal_that_was_dear_counts_for_many() -> None:
    gate = Turnstile(lambda: 100.0)
    gate.note_refusal(GET, "dns:a.example", "c1", b"", 0.25, weight=PROMPT_REFUSALS + 1)
    assert gate.find_held(GET, "c1", shown("")) == "dns:a.example"


def test_strangers_of_a_connection_are_held() -> None:
    known = {(b"pem", "Bearer good")}
    gate = Turnstile(lambda: 100.0, lambda *shown: shown in known)
    for number in range(PROMPT_REFUSALS + 1):
        assert gate.find_held(GET, "c1", shown(f"Bearer bad-{number}")) == "", number
        gate.note_stranger("c1", b"%d" % number, b"pem", "dns:a.example")
    held = [gate.find_held("LedgerService/ListEntries", "c1", shown(token)) for token in ("Bearer new", "Basic x")]
    assert held == ["dns:a.example"] * 2
    assert [gate.find_held(GET, "c1", shown(token)) for token in ("Bearer good", "")] == ["", ""]
    assert gate.find_held(GET, "c2", shown("Bearer new")) == ""
    assert gate.find_held("", "c1", shown("Bearer new")) == "", "health"
    gate.note_stranger("c2", b"x", b"pem", "dns:a.example")
    assert gate.find_held(GET, "c2", shown("Bearer new")) == "dns:a.example"


def test_strangers_of_a_host_count_together() -> None:
    gate = Turnstile(lambda: 100.0)
    for number in range(PROMPT_REFUSALS + 1):
        gate.note_stranger(f"ipv4:10.0.0.7:{number}", b"", b"", "")
    gate.note_stranger("ipv4:10.0.0.8:1", b"", b"", "")
    connections = ("ipv4:10.0.0.7:3", "ipv4:10.0.0.7:999", "ipv4:10.0.0.8:1")
    assert [gate.find_held(GET, one, shown("Bearer new")) for one in connections] == ["nobody", "", ""]
    assert gate.find_held(GET, connections[0], shown("")) == "nobody"


def test_a_few_new_tokens_a_second_are_let_in() -> None:
    now = [100.0]
    gate = Turnstile(lambda: now[0], is_plausible=lambda shown: "new" in shown)
    for number in range(PROMPT_REFUSALS + 1):
        gate.note_stranger("c1", b"%d" % number, b"", "")
    for _ in range(2):
        found = [gate.find_held(GET, "c1", shown(f"Bearer new-{number}")) for number in range(PROOFS + 1)]
        assert found == [""] * PROOFS + ["nobody"]
        assert gate.find_held(GET, "c1", shown("Bearer x")) == "nobody"
        now[0] += 1.1
        for number in range(PROMPT_REFUSALS + 1):
            gate.note_stranger("c1", b"%d" % number, b"", "")


def test_held_calls_leave_places_on_a_shared_connection() -> None:
    gate = Turnstile(is_shared=True)
    held = [gate.start_holding("c1") for _ in range(MAX_HELD_SHARED + 1)]
    assert held == [HOLD_SECONDS] * MAX_HELD_SHARED + [0]
    assert Limits().connection_calls / 4 >= MAX_HELD_SHARED
    assert gate.start_holding("c2") == HOLD_SECONDS
    gate.stop_holding(["c1"])
    assert [gate.start_holding("c1") for _ in range(2)] == [HOLD_SECONDS, 0]


def test_the_more_calls_are_held_the_longer_each_waits() -> None:
    gate = Turnstile()
    seconds = [gate.start_holding(f"c{number}") for number in range(MAX_HELD + 1)]
    assert (seconds[0], seconds[-2], seconds[-1]) == (HOLD_SECONDS, MAX_HELD / HELD_REFUSALS, 0)
    gate.stop_holding(f"c{number}" for number in range(MAX_HELD))
    assert gate.start_holding("c1") == HOLD_SECONDS


def test_a_token_that_proves_nobody_is_held() -> None:
    gate = Turnstile(lambda: 100.0)
    token = digest_of(shown("Bearer x"))
    gate.note_refusal(GET, "jwt:https://login.example#a", "c1", token, 0.25)
    for _ in range(PROMPT_REFUSALS + 1):
        gate.note_stranger("c1", token, b"", "")
    assert gate.find_held(GET, "c1", shown("Bearer x")) == "nobody"


@pytest.fixture
def few(limit: Limit) -> None:
    """Hold beyond FEW refusals a second instead of twenty, which a busy machine does not reach."""
    limit(turnstile, PROMPT_REFUSALS=FEW)


@pytest.fixture
def callers(tmp_path: Path, few: None) -> Iterator[Granted]:
    names = ("dns:*.example", "jwt:https://login.example#*")
    rules = "".join(grant(name, ["append", "read_ledger"], **EVERY) for name in names)
    limits = '[[limits]]\nprincipals = ["dns:a.example", "jwt:https://login.example#a"]\n'
    slow = f'{limits}classes = ["slow"]\ncalls_per_second = 2\n'
    with granted_server(tmp_path, rules, slow, f"{limits}entries_per_second = 10\n") as callers:
        yield callers


def outcome(client: Client, seconds: float = 60) -> tuple[str, float]:
    began = monotonic()
    error = refusal(client.get_violation, MARKET, "v", deadline_seconds=seconds)
    return error.reason, monotonic() - began


@pytest.mark.long
def test_repeated_calls_are_refused_later_and_alone(
    callers: Granted,
) -> None:
    running = callers.running
    with (
        callers("a", service_config="{}") as a,
        callers("b", service_config="{}") as b,
    ):
        began = monotonic()
        counts = {"TOO_MANY_CALLS": 0, "VIOLATION_NOT_FOUND": 0}
        slowest = 0.0
        while monotonic() < began + 3 or running.value("turned_away_total", pool="slow", cause="limit") < 2:
            reason, seconds = outcome(a)
            counts[reason] += 1
            slowest = max(slowest, seconds)
            assert outcome(b)[0] == "VIOLATION_NOT_FOUND"
        took = monotonic() - began
        assert counts["TOO_MANY_CALLS"] <= FEW * (took + 1) + running.value(
            "turned_away_total", pool="slow", cause="limit"
        )
        assert counts["VIOLATION_NOT_FOUND"] <= 2 * (took + 1)
        assert slowest > HOLD_SECONDS / 2
        line = next(line for line in running.lines() if line.get("turned_away") == "limit")
        assert (line["caller"], line["code"]) == ("dns:a.example", "RESOURCE_EXHAUSTED")
        a.append_entries(MARKET, [identity("i-1", "s")])


@pytest.mark.long
def test_a_held_refusal_arrives_before_its_deadline(callers: Granted) -> None:
    running = callers.running
    with callers("a", service_config="{}") as a:
        reasons = [outcome(a, seconds=0.9)[0] for _ in range(FEW + 8)]
        assert set(reasons) == {"TOO_MANY_CALLS", "VIOLATION_NOT_FOUND"}
        wait_until(lambda: running.value("turned_away_total", pool="slow", cause="limit") >= 1)


@pytest.mark.long
def test_another_token_by_the_same_certificate_is_not_held(callers: Granted) -> None:
    """A gateway brings many callers by one connection."""
    running = callers.running
    tokens = {name: (("authorization", f"Bearer {callers.issuer.token(name)}"),) for name in "ab"}
    with callers("b", service_config="{}") as gateway:
        method: Any = gateway.channel.unary_unary(f"/sellertrust.v1.{GET}")
        calls = [method.future(b"", timeout=60, metadata=tokens["a"]) for _ in range(100)]
        for _ in range(10):
            refused_fields(method, b"", timeout=60, metadata=tokens["b"])
        assert sum(call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED for call in calls) >= 90
    wait_until(lambda: running.value("turned_away_total", pool="slow", cause="limit") >= 1)


@pytest.mark.long
def test_batches_beyond_the_limit_are_held_unparsed(callers: Granted) -> None:
    running = callers.running
    batch = [identity(f"i-{number}", "s") for number in range(10_000)]
    with callers("a", service_config="{}") as a:
        a.append_entries(MARKET, batch)
        for entries in (batch, batch[:1]) * 2:
            assert refusal(a.append_entries, MARKET, entries).reason == "TOO_MANY_CALLS"
    wait_until(lambda: running.value("turned_away_total", pool="write", cause="limit") >= 1)


@pytest.mark.long
def test_a_server_that_stops_ends_the_calls_that_it_holds(callers: Granted) -> None:
    codes: list[grpc.StatusCode] = []
    with callers("a", service_config="{}") as a:
        for _ in range(FEW + 4):
            outcome(a)
        method: Any = a.channel.unary_unary(f"/sellertrust.v1.{GET}")
        calls = [method.future(b"", timeout=60) for _ in range(20)]
        ended = threading.Event()
        for call in calls:
            call.add_done_callback(lambda done: (codes.append(done.code()), len(codes) == 20 and ended.set()))
        callers.running.server.stop(grace_seconds=0)
        assert ended.wait(60)
    known = grpc.StatusCode
    assert {*codes} <= {known.RESOURCE_EXHAUSTED, known.UNAVAILABLE, known.CANCELLED, known.INVALID_ARGUMENT}


def refusals(client: Client, *tokens: str) -> list[str]:
    method: Any = client.channel.unary_unary(f"/sellertrust.v1.{GET}")
    shown = [(("authorization", f"Bearer {token}"),) if token else None for token in tokens]
    return [call.code().name for call in [method.future(b"", timeout=60, metadata=one) for one in shown]]


@pytest.mark.long
def test_bad_tokens_are_held_and_charged_to_the_certificate(
    callers: Granted,
) -> None:
    running = callers.running
    good = callers.issuer.token("b")
    with callers("a", service_config="{}") as a:
        assert refusals(a, good) == ["INVALID_ARGUMENT"]
        refusals(a, *(f"bad-{number}" for number in range(FEW + 1)))
        codes = refusals(a, *(f"bad-{number}" for number in range(50)))
        assert codes == ["RESOURCE_EXHAUSTED"] * 50
        wait_until(lambda: running.value("turned_away_total", pool="slow", cause="limit") >= 50)
        assert refusals(a, *(f"worse-{number}" for number in range(FEW + 1))) == ["UNAUTHENTICATED"] * (FEW + 1)
        assert refusals(a, "") == ["RESOURCE_EXHAUSTED"], "its two calls a second were used by the bad tokens"
        wait_until(lambda: running.value("requests_total", method=GET, code="INVALID_ARGUMENT") == 1)
    with callers("b", service_config="{}") as b:
        refusals(b, good, *(f"bad-{number}" for number in range(50)))
        assert refusals(b, good, good) == ["INVALID_ARGUMENT"] * 2
        assert refusals(b, "", "") == ["INVALID_ARGUMENT"] * 2, "the certificate by itself"


@pytest.mark.long
def test_callers_without_the_right_are_held(
    callers: Granted,
) -> None:
    with callers("somebody.elsewhere", service_config="{}") as stranger:
        assert refusals(stranger, *[""] * (FEW + 1)) == ["PERMISSION_DENIED"] * (FEW + 1)
        assert refusal(stranger.get_trust_score, MARKET, "s").reason == "TOO_MANY_CALLS"
    with callers("b", service_config="{}") as b:
        of_models = [code_of(b, "ModelService/ListModels", b"") for _ in range(FEW + 2)]
        assert of_models[0] == "PERMISSION_DENIED"
        assert of_models[-1] == "RESOURCE_EXHAUSTED"
        elsewhere = pb.GetViolationRequest(name=violation_name("another", "v")).SerializeToString()
        codes = [code_of(b, GET, elsewhere) for _ in range(2 * (FEW + 1))]
        assert {*codes} == {"PERMISSION_DENIED"}, "its right is for another marketplace"


def code_of(client: Client, method: str, data: bytes) -> str:
    return refusal(client.channel.unary_unary(f"/sellertrust.v1.{method}"), data, timeout=60).code.name


@pytest.mark.long
def test_strangers_behind_a_mesh_are_held_and_new_tokens_go_on(tmp_path: Path, few: None) -> None:
    issuer, grants = TokenIssuer(tmp_path), tmp_path / "grants.toml"
    write_grants(grants, issuer.table(), grant("jwt:https://login.example#*", ["read_ledger"]))
    with running_server(tmp_path, grants=grants, tls="mesh") as running, running.client() as mesh:
        refusals(mesh, *(f"bad-{number}" for number in range(FEW + 1)))
        codes = refusals(mesh, *(f"bad-{number}" for number in range(100)))
        assert codes == ["RESOURCE_EXHAUSTED"] * 100
        assert refusals(mesh, issuer.token("a"), issuer.token("b")) == ["INVALID_ARGUMENT"] * 2
        refusals(mesh, *(f"worse-{number}" for number in range(FEW + 1)))
        expired, other = issuer.token("a", exp=1), TokenIssuer(tmp_path / "..", "https://else.example").token()
        assert refusals(mesh, expired, other) == ["RESOURCE_EXHAUSTED"] * 2
