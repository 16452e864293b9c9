import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import grpc
import pytest

from scoring.base.errors import ConfigurationWrong
from sellertrust.client import SellertrustCallError
from sellertrust.v1 import ledger_service_pb2
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub
from service.access.grants_file import GrantsFile
from tests.helpers.callers import TokenIssuer, grant, write_grants
from tests.helpers.granted import Granted, granted_server
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
