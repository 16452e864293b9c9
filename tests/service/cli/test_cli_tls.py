from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.callers import Authority
from tests.helpers.shells import MARKET, Shell, bare_shell, lines_of, serving, shell_of

pytestmark = pytest.mark.long

CERTIFICATES = Path(__file__).parents[1] / "certificates"
CA, SERVER, SERVER_KEY, CLIENT, CLIENT_KEY = (
    CERTIFICATES / name for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")
)
SHOWN = {"target_ca": CA, "target_certificate": CLIENT, "target_key": CLIENT_KEY}


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("asking")
    server = shell_of(folder / "data", tls_certificate=SERVER, tls_key=SERVER_KEY, tls_client_ca=CA)
    with serving(server, folder) as address:
        yield shell_of(folder / "data", target=address)


def test_every_asking_command_shows_the_client_certificate(asking: Shell) -> None:
    asking("ledger", "append", "-", stdin=lines_of("s", "v-1"), **SHOWN)
    (found,) = asking.json("violation", "list", **SHOWN)
    assert found["violation"] == "v-1"
    target = asking.environment["SELLERTRUST_TARGET"]
    assert asking.json("model", "list", "--server", target, **SHOWN) == []
    checks = {row["check"]: row for row in asking.json("doctor", code=6, **SHOWN)}
    assert checks["server"]["ok"]
    assert checks["server"]["found"].startswith(f"{target}: serving; sellertrust ")


@pytest.mark.parametrize(
    ("settings", "problem", "remedy"),
    [
        (
            {"target_ca": CA},
            "the server asks for a client certificate, and none is set",
            "put tls.crt and tls.key into the folder SELLERTRUST_TARGET_CREDENTIALS",
        ),
        ({}, "speaks TLS, and this command does not", "put the authorities of its certificate into ca.crt in"),
        (
            SHOWN | {"target_ca": CLIENT},
            "the certificate of the server is not trusted",
            "ca.crt in SELLERTRUST_TARGET_CREDENTIALS must hold the authority that signed it",
        ),
    ],
)
def test_a_handshake_that_fails_is_told_by_its_cause_and_remedy(
    asking: Shell, settings: dict[str, object], problem: str, remedy: str
) -> None:
    said = asking.error(5, "score", "s", **settings)
    assert problem in said
    assert f"next:  {remedy}" in said
    assert "No server answers" not in said
    assert "ssl_transport" not in said, "what gRPC writes itself"
    checks = {row["check"]: row for row in asking.json("doctor", code=6, **settings)}
    assert problem in checks["server"]["found"]
    assert remedy in checks["server"]["found"]


@pytest.mark.parametrize(
    ("names", "days", "problem", "remedy"),
    [
        (["192.0.2.1"], (-1, 30), "certificate of the server is for another name", "SELLERTRUST_TARGET must be a name"),
        (
            ["127.0.0.1"],
            (-3, -1),
            "is not trusted: certificate has expired",
            "ca.crt in SELLERTRUST_TARGET_CREDENTIALS",
        ),
    ],
)
def test_a_wrong_certificate_of_a_server_is_told(
    tmp_path: Path, names: list[str], days: tuple[float, float], problem: str, remedy: str
) -> None:
    server = Authority(tmp_path).certificate(addresses=names, days=days)
    settings = {"tls_certificate": server.certificate, "tls_key": server.key}
    with serving(shell_of(tmp_path / "data", **settings), tmp_path) as address:
        said = shell_of(tmp_path / "data", target=address).error(5, "score", "s", target_ca=server.tls)
    assert problem in said
    assert f"next:  {remedy}" in said


def test_plain_text_and_files_that_are_no_certificates_are_told(tmp_path: Path) -> None:
    with serving(shell_of(tmp_path / "data"), tmp_path) as address:
        plain = shell_of(tmp_path / "data", target=address)
        assert "the server does not speak TLS" in plain.error(5, "score", "s", **SHOWN)
    wrong = bare_shell(tmp_path).error(6, "score", "s", **SHOWN | {"target_key": SERVER_KEY})
    assert "tls.crt or tls.key in SELLERTRUST_TARGET_CREDENTIALS cannot be used" in wrong
    assert "ca.crt in SELLERTRUST_TARGET_CREDENTIALS cannot be used" in bare_shell(tmp_path).error(
        6, "score", MARKET, target_ca=CLIENT_KEY
    )
