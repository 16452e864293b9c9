"""`sellertrust access`: the table of rights, and the check of a grants file."""

from pathlib import Path

from tests.callers import Authority, TokenIssuer, grant, write_grants
from tests.service.shells import MARKET, bare_shell, lines_of, serving, shell_of


def test_the_table_of_rights_and_what_one_caller_is_granted(tmp_path: Path) -> None:
    shell = bare_shell(tmp_path)
    rows = {row["method"]: row for row in shell.json("access", "show")}
    assert rows["LedgerService/OverturnViolation"]["right"] == "decide"
    assert rows["LedgerService/OverturnViolation"]["certificate"] is True
    path = tmp_path / "grants.toml"
    write_grants(path, grant("dns:*.example", ["read_scores"]))
    rows = {
        row["method"]: row["grants"]
        for row in shell.json("access", "show", "--principal", "dns:a.example", "--grants", path)
    }
    assert rows["TrustScoreService/GetTrustScore"] == "grants[0]"
    assert rows["LedgerService/ListEntries"] == ""


def test_a_grants_file_is_checked_as_a_server_does_it(tmp_path: Path) -> None:
    shell = bare_shell(tmp_path)
    path = tmp_path / "grants.toml"
    write_grants(path, grant("dns:*.example", ["read_scores"], sellers=["s-1"]))
    [row] = shell.json("access", "check", path)
    assert (row["principals"], row["rights"], row["limits"]) == ("dns:*.example", "read_scores", "sellers s-1")
    write_grants(path, grant("customs", ["rule"]))
    said = shell.error(6, "access", "check", path)
    assert "grants[0].principals" in said
    assert "grants[0].rights" in said
    assert "set SELLERTRUST_GRANTS" in shell.error(6, "access", "check")


def test_the_command_shows_its_token_and_is_told_what_it_lacks(tmp_path: Path) -> None:
    authority, issuer = Authority(tmp_path), TokenIssuer(tmp_path)
    path = tmp_path / "grants.toml"
    limits = {"kinds": ["*"], "sources": ["*"], "notifiers": ["*"], "entry_ids": ["*"]}
    write_grants(path, issuer.table() + grant("jwt:https://login.example#*", ["append"], **limits))
    settings = {name: value for name, value in authority.server_settings().items() if name != "tls_client_ca"}
    with serving(shell_of(tmp_path / "data", **settings, grants=path), tmp_path) as address:
        shell = shell_of(tmp_path / "data", target=address, target_ca=authority.ca)
        token = issuer.token_file("gateway")
        shell("ledger", "append", "-", stdin=lines_of("s", "v-1"), target_token=token)
        assert "SELLERTRUST_TARGET_TOKEN" in shell.error(4, "violation", "show", "v-1", "-m", MARKET)
        assert "sellertrust access show" in shell.error(4, "violation", "show", "v-1", target_token=token)
        (tmp_path / "junk.jwt").write_text("not a token")
        said = shell.error(6, "violation", "show", "v-1", target_token=tmp_path / "junk.jwt")
        assert "SELLERTRUST_TARGET_TOKEN" in said
        assert "holds no token" in said
