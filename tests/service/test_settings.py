from pathlib import Path

import pytest

from scoring.base.errors import ConfigurationWrong
from service.settings import VARIABLES, describe, host_and_port, is_loopback, load
from tests.helpers.tls_folders import with_folders

CERTIFICATES = Path(__file__).parent / "certificates"
SERVER = with_folders({"tls_certificate": CERTIFICATES / "server.pem", "tls_key": CERTIFICATES / "server.key"})
TLS = {"SELLERTRUST_TLS": str(SERVER["tls"])}


def problems(**environment: str) -> list[str]:
    with pytest.raises(ConfigurationWrong) as caught:
        load({f"SELLERTRUST_{name}": value for name, value in environment.items()})
    return caught.value.message.splitlines()


def test_nothing_needs_to_be_set() -> None:
    settings = load({"HOME": "/home/x", "PATH": "/bin"})
    assert settings.address == "127.0.0.1:50051"
    assert settings.database_url == f"sqlite:///{settings.data_dir}/ledger.db"
    assert settings.registry == settings.data_dir / "registry"
    assert settings.policy is None


def test_the_process_is_read_unless_an_environment_is_given(monkeypatch) -> None:
    monkeypatch.setenv("SELLERTRUST_MARKETPLACE", "acme")
    assert load().marketplace == "acme"
    assert load({}).marketplace == "default"


def test_the_data_folder_follows_the_user(monkeypatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert load({}).data_dir == Path("/data/sellertrust")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/x")
    assert load({}).data_dir == Path("/home/x/.local/share/sellertrust")
    assert load({"SELLERTRUST_DATA_DIR": "~/trust"}).data_dir == Path("/home/x/trust")
    assert load({"SELLERTRUST_DATA_DIR": "trust"}).data_dir == Path.cwd() / "trust"
    [unknown] = problems(DATA_DIR="~nobody-of-this-name/trust")
    assert "unknown user" in unknown


def test_a_mistyped_variable_is_refused() -> None:
    assert problems(ADRESS="127.0.0.1:1") == ["SELLERTRUST_ADRESS is not a setting: did you mean SELLERTRUST_ADDRESS?"]
    [unlike] = problems(QQQ="1")
    assert "doctor" in unlike


def test_every_problem_is_told_at_once() -> None:
    found = problems(
        ADRESS="x", ADDRESS="here", LOG_LEVEL="loud", SHARE_ADDRESS="4", MARKETPLACE="a b",
        TLS="/nowhere",
    )  # fmt: skip
    starts = {line.split(":")[0].split(" is ")[0] for line in found}
    assert starts == {
        "SELLERTRUST_ADRESS",
        "SELLERTRUST_ADDRESS = 'here'",
        "SELLERTRUST_LOG_LEVEL = 'loud'",
        "SELLERTRUST_SHARE_ADDRESS = '4'",
        "SELLERTRUST_MARKETPLACE = 'a b'",
        "SELLERTRUST_TLS = '/nowhere'",
    }


def test_links_hold_no_braces_but_those_of_the_case() -> None:
    assert load({"SELLERTRUST_CONTEST_LINK": "https://a.example/{measure}"}).contest_link.endswith("{measure}")
    for name, link in (("CONTEST", "{case}"), ("CONTEST", "{measure"), ("REDRESS", "{measure}")):
        [found] = problems(**{f"{name}_LINK": f"https://a.example/{link}"})
        assert "braces" in found


GRANTS = {"SELLERTRUST_GRANTS": str(CERTIFICATES / "README.md")}


def test_an_address_that_others_can_reach_needs_tls_and_grants() -> None:
    for address in ("0.0.0.0:50051", "[::]:50051", "10.0.0.7:50051", "trust.example:50051"):
        no_tls, no_grants = problems(ADDRESS=address)
        assert "no TLS" in no_tls
        assert "set SELLERTRUST_TLS to a folder" in no_tls
        assert "set SELLERTRUST_GRANTS" in no_grants
        with pytest.raises(ConfigurationWrong, match="nothing says who may do what") as caught:
            load({"SELLERTRUST_ADDRESS": address, **TLS})
        assert caught.value.message.startswith(f"SELLERTRUST_ADDRESS = {address!r}: ")
        assert load({"SELLERTRUST_ADDRESS": address, **TLS, **GRANTS}).address == address
        assert load({"SELLERTRUST_ADDRESS": address, "SELLERTRUST_TLS": "mesh", **GRANTS}).is_mesh
    for address in ("127.0.0.1:0", "localhost:50051", "[::1]:50051", "127.9.9.9:1"):
        assert load({"SELLERTRUST_ADDRESS": address}).address == address
        assert load({"SELLERTRUST_ADDRESS": address, **TLS}).address == address


def test_a_mesh_needs_grants_also_on_loopback() -> None:
    [problem] = problems(TLS="mesh")
    assert problem.startswith("SELLERTRUST_TLS = mesh needs SELLERTRUST_GRANTS")


def credentials(**files: str) -> str:
    return str(
        with_folders({f"target_{name}": CERTIFICATES / file for name, file in files.items()})["target_credentials"]
    )


def test_a_token_is_shown_over_tls_or_to_this_machine_alone() -> None:
    folder = credentials(token="README.md")
    assert "is sent over TLS only" in problems(TARGET_CREDENTIALS=folder, TARGET="trust.example:50051")[0]
    assert problems(TARGET_CREDENTIALS=folder, TARGET="dns:///localhost.example:50051")
    for target in ("127.0.0.1:50051", "[::1]:50051", "[::1]", "localhost", "unix:/run/sellertrust.sock"):
        found = load({"SELLERTRUST_TARGET_CREDENTIALS": folder, "SELLERTRUST_TARGET": target})
        assert found.target_file("token")


def test_a_client_certificate_needs_its_key_and_authorities() -> None:
    pair = {"certificate": "client.pem", "key": "client.key"}
    for files, missing in (
        ({"certificate": "client.pem", "ca": "ca.pem"}, "tls.key is not there"),
        ({"key": "client.key", "ca": "ca.pem"}, "tls.crt is not there"),
        (pair, "ca.crt is not there"),
    ):
        [problem] = problems(TARGET_CREDENTIALS=credentials(**files))
        assert missing in problem
    assert "must be a folder with ca.crt" in problems(TARGET_CREDENTIALS=str(CERTIFICATES))[0]
    assert load({"SELLERTRUST_TARGET_CREDENTIALS": credentials(**pair, ca="ca.pem")}).target_file("tls.key")


def test_half_of_tls_is_a_problem() -> None:
    for name, file, missing in (("tls_certificate", "server.pem", "tls.key"), ("tls_key", "server.key", "tls.crt")):
        [problem] = problems(TLS=str(with_folders({name: CERTIFICATES / file})["tls"]))
        assert f"{missing} is not there" in problem


def test_a_bad_value_is_not_taken_for_a_further_problem() -> None:
    [problem] = problems(TLS="/nowhere", ADDRESS="0.0.0.0:1", GRANTS=GRANTS["SELLERTRUST_GRANTS"])
    assert problem.startswith("SELLERTRUST_TLS = '/nowhere'")


def test_secrets_are_never_shown() -> None:
    wrong = problems(DATABASE_URL="mysql://trust:hunter2@db/x?password=hunter3", ADDRESS="x")
    settings = load(
        {
            "SELLERTRUST_DATABASE_URL": "postgresql://trust:hunter2@db/x?password=hunter3&sslmode=require",
        }
    )
    rows = {row.name: row for row in describe(settings)}
    shown = "\n".join(wrong) + repr(rows)
    assert "hunter" not in shown
    assert rows["database_url"].value == "postgresql+psycopg://***@db/x?password=***&sslmode=require"


def test_a_description_says_where_each_value_comes_from() -> None:
    rows = {row.name: row for row in describe(load({"SELLERTRUST_MARKETPLACE": "acme"}))}
    assert set(rows) == set(VARIABLES)
    assert rows["marketplace"] == ("marketplace", "SELLERTRUST_MARKETPLACE", "acme", "environment")
    assert rows["address"].source == "default"


def test_an_empty_variable_is_not_set() -> None:
    empty = {f"SELLERTRUST_{name.upper()}": "" for name in VARIABLES}
    settings = load(empty)
    assert settings.metrics_address == ""
    assert settings.model_copy(update={"metrics_address": load({}).metrics_address}) == load({})


def test_variables_of_kubernetes_are_no_mistake() -> None:
    load(
        {
            "SELLERTRUST_SERVICE_HOST": "10.0.0.1",
            "SELLERTRUST_SERVICE_PORT": "50051",
            "SELLERTRUST_SERVICE_PORT_GRPC": "50051",
            "SELLERTRUST_PORT": "tcp://10.0.0.1:50051",
            "SELLERTRUST_PORT_50051_TCP": "tcp://10.0.0.1:50051",
            "SELLERTRUST_PORT_50051_TCP_ADDR": "10.0.0.1",
            "SELLERTRUST_DB_SERVICE_HOST": "10.0.0.2",
            "SELLERTRUST_DB_PORT": "tcp://10.0.0.2:5432",
        }
    )
    assert problems(PORT="50051")


def test_names_are_read_in_any_case_and_words_too() -> None:
    assert load({"sellertrust_log_level": "WARNING"}).log_level == "warning"


@pytest.mark.parametrize("target", ["http://127.0.0.1:50051", "HTTPS://trust.example:443"])
def test_a_target_is_no_url_of_http(target: str) -> None:
    assert "must be HOST:PORT, without http://" in problems(TARGET=target)[-1]
    assert load({"SELLERTRUST_TARGET": "dns:///trust.example:443"}).target == "dns:///trust.example:443"


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://server:secret@db/ledger\n")
    settings = load({"SELLERTRUST_DATABASE_URL": f"@{secret}"})
    assert settings.database_url == "postgresql+psycopg://server:secret@db/ledger"
    assert "secret" not in str(describe(settings))
    secret.unlink()
    assert problems(DATABASE_URL=f"@{secret}") == [
        f"SELLERTRUST_DATABASE_URL names a file that cannot be read: {secret} (No such file or directory)"
    ]


def test_addresses_are_taken_apart() -> None:
    assert host_and_port("[::1]:50051") == ("::1", 50051)
    assert host_and_port("localhost:0") == ("localhost", 0)
    assert is_loopback("[::1]:1")
    assert not is_loopback("example.org:1")
    for address in ("50051", "host:", ":50051", "host:65536", "::1:5", "http://host:1", "host:1/x"):
        assert problems(ADDRESS=address)
