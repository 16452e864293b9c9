import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.base.errors import ConfigurationWrong
from sellertrust.client import Client, SellertrustCallError
from sellertrust.v1 import ledger_service_pb2
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub
from service.access.grants_file import GrantsFile
from service.access.limits import CallerLimits, Limit
from service.access.principals import Pattern
from tests.helpers.callers import TokenIssuer, grant, write_grants
from tests.helpers.granted import EVERY, Granted, granted_server
from tests.helpers.refusals import refusal
from tests.helpers.servers import MARKET, append_messages_alone, running_server, violation
from tests.helpers.waiting import wait_until

SECONDS = 60
HALF = "[[grants]]\nprincipals = ["


def write(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


class Server:
    def __init__(self, callers: Granted, folder: Path) -> None:
        self.running, self.folder, self.authority, self.issuer = (
            callers.running,
            folder,
            callers.authority,
            callers.issuer,
        )
        self.callers, self.grants = callers, folder / "grants.toml"

    def append(self) -> None:
        append_messages_alone(self.running.ledger, MARKET, [violation(f"v-{monotonic()}", "s-1")])

    def take(self, text: str) -> None:
        before = len(self.running.lines("grants taken over"))
        write_grants(self.grants, self.issuer.table() + text)
        wait_until(lambda: len(self.running.lines("grants taken over")) > before)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with granted_server(tmp_path, grant("dns:reader.example", ["read_ledger"])) as callers:
        yield Server(callers, tmp_path)


@pytest.mark.long
def test_the_log_of_a_refused_file_names_no_subject_of_a_token(server: Server) -> None:
    subjects = ("jane*doe", "o'jane doe", """jane"doe'x""", "~jane")
    names = [f"jwt:https://other.example#{subject}" for subject in subjects] + ["jtw:https://other.example#jane doe"]
    tables = "".join(grant(name, ["read_ledger"]) for name in names)
    tables += f'[[persons]]\nperson = "p"\nprincipals = ["dns:p.example"]\n"{names[0]}" = 1\n'
    write_grants(server.grants, server.issuer.table() + tables)
    refusal = "grants refused, the last good ones stay in force"
    wait_until(lambda: server.running.lines(refusal))
    problem = server.running.lines(refusal)[0]["problem"]
    assert "grants[0].principals " in problem
    assert "'jwt:https://other.example#~" in problem
    assert len(problem.splitlines()) >= len(names)
    assert [line for line in problem.splitlines() if "jane" in line or "doe" in line] == []
    (server.folder / "other").mkdir()
    settings = server.authority.server_settings() | {"grants": server.grants}
    with pytest.raises(ConfigurationWrong, match=r"grants\[0\]\.principals is wrong: ") as caught:
        running_server(server.folder / "other", **settings).__enter__()
    assert "'jwt:https://other.example#~" in caught.value.message
    assert "jane" not in caught.value.message


@pytest.mark.long
def test_grants_are_taken_over_and_half_written_ones_are_not(server: Server) -> None:
    with server.callers("reader") as reader:
        assert [*reader.list_entries(MARKET)] == []
        refusal = "grants refused, the last good ones stay in force"
        homeless = server.issuer.table().replace(str(server.issuer.path), "~nosuchuser/keys.json")
        for count, bad in enumerate((HALF, "[[grants]]\n", f"a = {'[' * 100_000}", f"{homeless}[end]"), 1):
            server.grants.write_text(bad)
            wait_until(lambda count=count: len(server.running.lines(refusal)) == count)
            assert [*reader.list_entries(MARKET)] == []
        server.grants.unlink()
        wait_until(lambda: len(server.running.lines(refusal)) == 5)
        assert [*reader.list_entries(MARKET)] == []
        server.take(grant("dns:other.example", ["read_ledger"]))
        with pytest.raises(SellertrustCallError) as caught:
            [*reader.list_entries(MARKET)]
        assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.long
def test_a_watch_ends_soon_after_its_grant_is_withdrawn(server: Server) -> None:
    ended: list[SellertrustCallError] = []
    with server.callers("reader") as reader:
        responses = reader.watch_entries(MARKET)
        next(responses)

        def follow() -> None:
            try:
                for _ in responses:
                    pass
            except SellertrustCallError as error:
                ended.append(error)

        thread = threading.Thread(target=follow)
        thread.start()
        server.take(grant("dns:other.example", ["read_ledger"]))
        server.append()
        thread.join(SECONDS)
    assert [error.code for error in ended] == [grpc.StatusCode.PERMISSION_DENIED]


@pytest.mark.long
def test_a_silent_stream_ends_after_its_grant_is_withdrawn(server: Server) -> None:
    every = {name: ["*"] for name in ("kinds", "sources", "notifiers", "entry_ids")}
    server.take(grant("dns:writer.example", ["append"], **every))
    over = threading.Event()

    def silent() -> Iterator[ledger_service_pb2.StreamEntriesRequest]:
        parent, entries = f"marketplaces/{MARKET}", [violation("v-1", "s-1")]
        yield ledger_service_pb2.StreamEntriesRequest(parent=parent, entries=entries)
        over.wait(SECONDS)

    with server.callers("writer") as writer:
        answers = LedgerServiceStub(writer.channel).StreamEntries(silent())
        assert next(answers).acknowledgement.sequence == 1
        server.take(grant("dns:writer.example", ["read_ledger"]))
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
        over.set()
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.long
def test_a_watch_ends_soon_after_its_token_has_expired(server: Server) -> None:
    server.take(grant("dns:reader.example", ["read_ledger"]) + grant("jwt:https://login.example#*", ["read_ledger"]))
    token = server.issuer.token_file(seconds=-28)
    with server.callers("reader", token=token) as reader:
        responses = reader.watch_entries(MARKET)
        next(responses)
        sleep(2)
        server.append()
        error = refusal(next, responses)
    assert error.code is grpc.StatusCode.UNAUTHENTICATED
    assert "has expired" in error.message


@pytest.mark.long
def test_tokens_of_an_issuer_no_longer_named_prove_nobody(server: Server) -> None:
    rules = grant("dns:reader.example", ["read_ledger"])
    server.take(rules + grant("jwt:https://login.example#*", ["read_ledger"]))
    with server.callers("reader", token=server.issuer.token_file()) as reader:
        assert [*reader.list_entries(MARKET)] == []
        before = len(server.running.lines("grants taken over"))
        write_grants(server.grants, rules)
        wait_until(lambda: len(server.running.lines("grants taken over")) > before)
        with pytest.raises(SellertrustCallError, match="of an issuer that is not known here") as caught:
            [*reader.list_entries(MARKET)]
    assert caught.value.code is grpc.StatusCode.UNAUTHENTICATED


def test_grants_that_are_refused_leave_no_thread_behind(tmp_path: Path) -> None:
    issuer = TokenIssuer(tmp_path)
    path = tmp_path / "grants.toml"
    absent = (
        issuer.table().replace("keys.json", "absent.json").replace("https://login.example", "https://other.example")
    )
    write_grants(path, issuer.table() + absent)

    def followers() -> int:
        return sum(thread.name == "key-set" for thread in threading.enumerate())

    before = followers()
    with pytest.raises(ConfigurationWrong, match=r"absent\.json"):
        GrantsFile(path, lambda *_: None)
    wait_until(lambda: followers() <= before)


ANYBODY = (Pattern("dns:*.example"),)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@given(
    st.floats(0.1, 100),
    st.lists(st.tuples(st.floats(0, 2), st.sampled_from(["dns:a.example", "dns:b.example"])), max_size=60),
)
def test_nobody_exceeds_a_second_and_the_rate_after_it(rate: float, calls: list[tuple[float, str]]) -> None:
    clock = Clock()
    limits = CallerLimits([Limit(ANYBODY, calls_per_second=rate)], clock)
    taken = {"dns:a.example": 0, "dns:b.example": 0}
    for pause, name in calls:
        clock.now += pause
        wait = limits.take_call([name], "read")
        taken[name] += not wait
        assert taken[name] <= max(rate, 1) + (clock.now - Clock.now) * rate + 1e-6
        if wait:
            clock.now += wait + 1e-9
            assert limits.take_call([name], "read") == 0
            taken[name] += 1


def test_classes_are_counted_apart_and_a_large_batch_overdraws() -> None:
    clock = Clock()
    limits = CallerLimits(
        [Limit(ANYBODY, frozenset({"read"}), calls_per_second=1), Limit(ANYBODY, entries_per_second=10, streams=3)],
        clock,
    )
    names = ["dns:a.example"]
    assert limits.take_call(names, "read") == 0
    assert limits.take_call(names, "read") == pytest.approx(1)
    assert limits.take_call(names, "write") == 0
    assert limits.take_entries(names, "write", 50) == 0
    assert limits.take_entries(names, "write", 1) == pytest.approx(4.1)
    assert limits.take_entries(["dns:other.test"], "write", 1_000) == 0
    assert (limits.streams("dns:a.example"), limits.streams("dns:other.test")) == (3, 0)


def test_what_is_refused_uses_up_nothing_of_other_limits() -> None:
    clock = Clock()
    few, many = Limit((Pattern("dns:a.example"),), calls_per_second=1), Limit(ANYBODY, calls_per_second=5)
    limits = CallerLimits([many, few], clock)
    names = ["dns:a.example", "dns:b.example"]
    assert limits.take_call(names, "read") == 0
    for _ in range(100):
        assert limits.take_call(names, "read") > 0
    for _ in range(4):
        assert limits.take_call(["dns:b.example"], "read") == 0
    assert limits.take_call(["dns:b.example"], "read") > 0


def test_new_limits_keep_what_was_used_under_the_old() -> None:
    clock = Clock()
    limits = CallerLimits([Limit(ANYBODY, calls_per_second=2, entries_per_second=10)], clock)
    names = ["dns:a.example"]
    assert [limits.take_call(names, "read") for _ in range(3)][:2] == [0, 0]
    assert limits.take_entries(names, "stream", 100) == 0
    for rate in (2, 4, 2):
        limits = limits.renewed([Limit(ANYBODY, calls_per_second=rate, entries_per_second=10)])
        assert limits.take_call(names, "read") == pytest.approx(1 / rate)
    assert limits.take_entries(names, "write", 1) == pytest.approx(9.1)
    clock.now += 0.5
    assert limits.take_call(names, "read") == 0


def test_entries_are_counted_by_class() -> None:
    limits = CallerLimits([Limit(ANYBODY, frozenset({"stream"}), entries_per_second=1)], Clock())
    assert [limits.take_entries(["dns:a.example"], name, 1) for name in ("write", "write", "stream")] == [0, 0, 0]
    assert limits.take_entries(["dns:a.example"], "stream", 1) > 0


def test_a_principal_has_its_streams_whoever_is_shown_besides(tmp_path: Path) -> None:
    principals = ("dns:*.example", "jwt:https://login.example#*")
    rules = "".join(grant(name, ["read_ledger"]) for name in principals)
    limits = f"[[limits]]\nprincipals = {json.dumps(principals)}\nstreams = 1\n"
    with granted_server(tmp_path, rules, limits) as callers, ExitStack() as stack:
        tokens = [callers.issuer.token_file(f"user-{number}") for number in range(2)]
        shown = [stack.enter_context(callers(name, token=one)) for name in "ab" for one in tokens]
        first, same_certificate, same_token, other = shown
        held = [first.watch_entries(MARKET)]
        next(held[0])
        for client in (same_certificate, same_token):
            assert refusal(next, client.watch_entries(MARKET, patience_seconds=0.1)).reason == "TOO_MANY_CALLS"
        held.append(other.watch_entries(MARKET))
        next(held[1])


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Client]]:
    limits = '\n[[limits]]\nprincipals = ["dns:a.example"]\nentries_per_second = 5\nstreams = 1\n'
    limits += '[[limits]]\nprincipals = ["dns:a.example"]\nclasses = ["slow"]\ncalls_per_second = 0.01\n'
    rules = grant("dns:*.example", ["append", "read_ledger"], **EVERY)
    with (
        granted_server(tmp_path_factory.mktemp("limits"), rules, limits) as callers,
        callers("a", service_config="{}") as a,
        callers("b") as b,
    ):
        yield a, b


def test_who_is_in_excess_is_told_when_to_go_on_and_others_go_on(clients: tuple[Client, Client]) -> None:
    a, b = clients
    assert [*a.list_entries(MARKET, "x")] == []
    with pytest.raises(SellertrustCallError) as caught:
        [*a.list_entries(MARKET, "x")]
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
    assert caught.value.metadata == {"limit": "calls"}
    assert 50 < (caught.value.retry_delay or 0) <= 100
    for _ in range(5):
        assert [*b.list_entries(MARKET, "x")] == []
    a.append_entries(MARKET, [violation(f"a-{number}", "s") for number in range(9)])
    assert refusal(a.append_entries, MARKET, [violation("a-10", "s")]).metadata == {"limit": "entries"}
    b.append_entries(MARKET, [violation(f"b-{number}", "s") for number in range(50)])
