from pathlib import Path

import pytest

from service.api.telemetry.logs import Pseudonyms
from tests.helpers.callers import Authority, TokenIssuer, grant, write_grants
from tests.helpers.shells import MARKET, bare_shell, lines_of, serving, shell_of, shells_of_people

pytestmark = pytest.mark.long


def test_the_table_of_rights_and_what_one_caller_is_granted(tmp_path: Path) -> None:
    shell = bare_shell(tmp_path)
    rows = {row["method"]: row for row in shell.json("access")}
    by_kind = {row["right"]: row["kinds"] for row in shell.json("access") if "AppendEntries" in row["method"]}
    assert (by_kind["override"], by_kind["decide"]) == ("override", "status, attribution, incident, correction, case")
    assert "violation" in by_kind["append"].split(", ")
    assert "clock" not in ", ".join(by_kind.values())
    assert rows["LedgerService/OverturnViolation"]["right"] == "decide"
    assert rows["LedgerService/OverturnViolation"]["certificate"] is True
    path = tmp_path / "grants.toml"
    write_grants(path, grant("dns:*.example", ["read_scores"]))
    rows = {row["method"]: row["grants"] for row in shell.json("access", "--principal", "dns:a.example", grants=path)}
    assert rows["TrustScoreService/GetTrustScore"] == "grants[0]"
    assert rows["LedgerService/ListEntries"] == ""
    for garbage in ("garbage", "dns:*.example", "DNS:a.example", "dns:"):
        assert "is no principal" in shell.error(2, "access", "--principal", garbage, grants=path)


def test_who_has_the_key_of_the_log_finds_a_caller_in_it(tmp_path: Path) -> None:
    path = tmp_path / "grants.toml"
    write_grants(path, grant("dns:*.example", ["read_scores"]))
    shell = shell_of(tmp_path, grants=path)
    (tmp_path / "pseudonym-key").write_bytes(b"0123456789abcdef")
    told = shell("access", "--principal", "jwt:https://login.example#ann@example.org")[1]
    name = "jwt:https://login.example#~" + Pseudonyms(b"0123456789abcdef")("jwt:https://login.example#ann@example.org")
    assert f"in the log it is {name}" in told
    assert "in the log it is dns:a.example" in shell("access", "--principal", "dns:a.example")[1]


def test_the_doctor_checks_a_grants_file_as_a_server(tmp_path: Path) -> None:
    shell, path = bare_shell(tmp_path), tmp_path / "grants.toml"
    limits = '[[limits]]\nprincipals = ["dns:*.example"]\ncalls_per_second = 2.5\nclasses = ["read"]\n'
    write_grants(path, TokenIssuer(tmp_path).table(), grant("dns:*.example", ["read_scores"]), limits)
    found = {row["check"]: row for row in shell.json("doctor", grants=path, code=6)}["grants"]
    assert (found["ok"], found["found"]) == (True, "1 issuer, 1 grant, 1 limit, 0 persons")
    write_grants(path, grant("customs", ["rule"]))
    found = {row["check"]: row for row in shell.json("doctor", grants=path, code=6)}["grants"]
    assert not found["ok"]
    assert "grants[0].principals" in found["found"]
    assert "grants[0].rights" in found["found"]


@pytest.mark.parametrize(("command", "code"), [(["doctor"], 6), (["verify", "recovery"], 4)])
def test_a_key_that_stops_a_server_is_told_before(tmp_path: Path, command: list[str], code: int) -> None:
    (tmp_path / "pseudonym-key").write_bytes(b"cut")
    found = {row["check"]: row for row in shell_of(tmp_path).json(*command, code=code)}["pseudonym-key"]
    assert not found["ok"]
    assert "must hold at least 16 bytes" in found["found"]


def test_the_command_shows_its_token_and_is_told_what_it_lacks(tmp_path: Path) -> None:
    authority, issuer = Authority(tmp_path), TokenIssuer(tmp_path)
    path = tmp_path / "grants.toml"
    limits = {"kinds": ["*"], "sources": ["*"], "notifiers": ["*"], "entry_ids": ["*"]}
    write_grants(path, issuer.table() + grant("jwt:https://login.example#*", ["append"], **limits))
    settings = {name: value for name, value in authority.server_settings().items() if name != "tls_client_ca"}
    with serving(shell_of(tmp_path / "data", **settings, grants=path), tmp_path) as address:
        shell = shell_of(tmp_path / "data", target=address, target_ca=authority.ca)
        token = issuer.token_file("gateway")
        shell("ledger", "append", "-", stdin=lines_of("s", "v-1"), target_ca=authority.ca, target_token=token)
        assert "SELLERTRUST_TARGET_CREDENTIALS" in shell.error(4, "violation", "show", "v-1", "-m", MARKET)
        assert "sellertrust access --principal NAME" in shell.error(
            4, "violation", "show", "v-1", target_ca=authority.ca, target_token=token
        )
        said = shell.error(4, "ledger", "list", "--follow", target_ca=authority.ca, target_token=token)
        assert "CALLER_NOT_GRANTED" in said
        assert "seen up to" not in said
        (tmp_path / "junk.jwt").write_text("not a token")
        said = shell.error(6, "violation", "show", "v-1", target_ca=authority.ca, target_token=tmp_path / "junk.jwt")
        assert "SELLERTRUST_TARGET_CREDENTIALS" in said
        assert "holds no token" in said


def test_a_caller_beyond_its_limit_is_told_to_wait(tmp_path: Path) -> None:
    limit = '[[limits]]\nprincipals = ["dns:a.example"]\ncalls_per_second = 0.001\n'
    with shells_of_people(tmp_path, grant("dns:a.example", ["read_ledger"]), limit) as connect:
        shell = connect("a")
        shell("ledger", "list")
        said = shell.error(5, "ledger", "list")
        assert "TOO_MANY_CALLS" in said
        assert "wait and send it again" in said
        assert "sellertrust serve" not in said
