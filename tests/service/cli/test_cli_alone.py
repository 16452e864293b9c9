import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import make_url

from scoring.base.time import SECOND, parse_time
from service.ledger.clock.demo_clock import MARKER
from service.ledger.clock.server_clock import wall_clock
from service.ledger.database.schema import upgrade
from service.ledger.store import Ledger
from service.registry.registry import Registry
from tests.helpers.builders import identity
from tests.helpers.databases import postgresql
from tests.helpers.models import publish
from tests.helpers.processes import COMMAND, run_from_nothing
from tests.helpers.servers import running_server
from tests.helpers.shells import SECONDS, Shell, lines_of, shell_of


@pytest.mark.long
def test_a_damaged_model_is_listed_as_such_and_refused(bare: Shell, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "data" / "registry")
    digest = publish(registry)
    (Path(registry.place) / "models" / digest / "model.txt").write_bytes(b"tree")
    (row,) = bare.json("model", "list")
    assert (row["digest"], row["state"]) == (digest, "damaged")
    refused = bare.error(6, "serve", address="127.0.0.1:0")
    assert f"model {digest[:12]} is refused: " in refused
    assert "model.txt of the artifact was altered" in refused


@pytest.mark.long
def test_training_that_cannot_begin_says_what_to_do(bare: Shell, tmp_path: Path) -> None:
    assert "there is no study nope.toml; the shipped ones are in" in bare.error(2, "train", "nope.toml")
    (tmp_path / "data").mkdir()
    upgrade(f"sqlite:///{tmp_path}/data/ledger.db")
    assert "the ledger holds no entries of marketplace 'demo'" in bare.error(3, "train", "marketplace.toml")


@pytest.mark.long
def test_what_needs_a_server_ends_with_5_without_one(bare: Shell) -> None:
    rights = {row["method"]: row["right"] for row in bare.json("access")}
    assert rights["LedgerService/ConfirmViolation"] == "decide"
    said = bare.error(5, "score", "s")
    target = bare.environment["SELLERTRUST_TARGET"]
    assert said.startswith(f"error: No server answers at {target}. Start one with `sellertrust serve`.\nnext:  ")
    assert "next:  localhost has several addresses" in bare.error(5, "score", "s", target="localhost:1")


@pytest.mark.long
def test_a_silent_database_is_not_taken_for_a_missing_server(tmp_path: Path) -> None:
    with running_server(tmp_path, book_sellers=0) as running:
        running.ledger.close()
        said = shell_of(tmp_path, target=running.address).error(5, "score", "s")
    assert "next:  the server answers, its database does not; look where the server runs: sellertrust doctor" in said
    assert "No server answers" not in said


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score"], "Missing argument 'SELLER"),
        (["score", "s", "--observe-time", "yesterday"], "error: --observe-time: 'yesterday' is not a time"),
        (["model", "show", "--against", "b", "--card"], "error: --card: does not belong to --against; leave out one"),
        (["model", "show", "--card", "--report", "r"], "error: --report: does not belong to --card; leave out one"),
        (["policy", "show", "a", "--history"], "error: --history: lists every policy; leave out POLICY, or --history"),
    ],
)
def test_a_wrong_call_is_2_and_says_what_would_be_right(bare: Shell, arguments: list[str], message: str) -> None:
    assert message in replace(bare, run=run_from_nothing).error(2, *arguments)


@pytest.mark.long
@pytest.mark.parametrize("value", ["[" * 3000 + "]" * 3000, "9" * 5000])
def test_toml_that_no_parser_can_hold_is_told(bare: Shell, tmp_path: Path, value: str) -> None:
    (tmp_path / "x.toml").write_text(f"x = {value}\n")
    for command, code in ((["policy", "check"], 6), (["train"], 6), (["ledger", "import"], 2)):
        assert " TOML: " in bare.error(code, *command, tmp_path / "x.toml")


def test_every_mistyped_or_wrong_variable_is_told_at_once(bare: Shell) -> None:
    said = bare.error(6, "serve", adress="127.0.0.1:1", log_level="loud")
    assert "SELLERTRUST_ADRESS is not a setting: did you mean SELLERTRUST_ADDRESS?" in said
    assert "SELLERTRUST_LOG_LEVEL = 'loud'" in said


def test_the_configuration_is_shown_without_its_secrets(bare: Shell) -> None:
    url = "postgresql://trust:hunter2@db.example/trust"
    stdout, _ = bare("doctor", "-o", "json", database_url=url, code=6)
    assert "hunter2" not in stdout
    rows = {row["check"]: row["found"] for row in json.loads(stdout)}
    assert rows["SELLERTRUST_LOG_LEVEL"] == "info (default)"


@pytest.mark.long
def test_a_database_is_upgraded_and_refused_if_it_is_newer(bare: Shell, tmp_path: Path) -> None:
    assert bare("ledger", "upgrade") == ("", "the ledger's database is up to date\n")
    database = tmp_path / "data" / "ledger.db"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE ledger_version SET version_num = '9999'")
    connection.close()
    before = database.read_bytes()
    assert "is newer than this release" in bare.error(6, "serve", address="127.0.0.1:0")
    assert database.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(bare: Shell, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.txt"
    wrong.write_text("not a database, but somebody's notes")
    said = bare.error(6, "ledger", "upgrade", database_url=f"sqlite:///{wrong}")
    assert f"{wrong} is no SQLite database; name another file by SELLERTRUST_DATABASE_URL" in said
    assert wrong.read_text() == "not a database, but somebody's notes"
    said = bare.error(6, "ledger", "upgrade", data_dir=wrong / "below")
    assert f"the ledger cannot be kept in {wrong / 'below' / 'ledger.db'}: not a directory" in said


@pytest.mark.long
def test_a_missing_libgomp_is_named_with_the_package_to_install(bare: Shell, tmp_path: Path) -> None:
    """The test raises the error of LightGBM's wheel on a bare machine."""
    without = _shadowed(
        bare, tmp_path, "lightgbm", 'OSError("libgomp.so.1: cannot open shared object file: No such file or directory")'
    )
    said = without.error(6, "serve", address="127.0.0.1:0")
    assert said == (
        "error: libgomp.so.1 is missing, which LightGBM needs\nnext:  install it: apt-get install libgomp1\n"
    )
    rows = {row["check"]: row for row in without.json("doctor", code=6)}
    assert rows["lightgbm"]["found"] == "libgomp.so.1 is missing; install it: apt-get install libgomp1"


@pytest.mark.long
def test_a_missing_extra_is_named_with_what_to_install(bare: Shell, tmp_path: Path) -> None:
    without = _shadowed(bare, tmp_path, "polars", 'ModuleNotFoundError("No module named \'polars\'", name="polars")')
    for command in (("ledger", "export", tmp_path / "x.parquet"), ("train", "marketplace.toml")):
        said = without.error(6, *command)
        assert said == "error: this needs the package polars; install it: pip install 'sellertrust[training]'\n"


@pytest.mark.long
def test_an_unforeseen_error_is_1_in_one_line(bare: Shell, tmp_path: Path) -> None:
    broken = _shadowed(bare, tmp_path, "polars", 'RuntimeError("boom")')
    said = broken.error(1, "ledger", "export", tmp_path / "x.parquet")
    assert said.startswith("error: unforeseen: boom (RuntimeError)\nnext:  please report it")


def _shadowed(shell: Shell, folder: Path, package: str, error: str) -> Shell:
    stand_in = folder / "shadow" / package
    stand_in.mkdir(parents=True)
    (stand_in / "__init__.py").write_text(f"raise {error}\n")
    path = os.pathsep.join([str(stand_in.parent), shell.environment["PYTHONPATH"]])
    return Shell(shell.environment | {"PYTHONPATH": path}, run_from_nothing)


@pytest.mark.long
def test_a_reader_that_has_seen_enough_is_no_error(bare: Shell) -> None:
    command = [*COMMAND, "access"]
    with subprocess.Popen(
        command, env=bare.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait(SECONDS)) == ("", 0)


@pytest.mark.long
def test_a_command_that_is_interrupted_says_so_and_is_130(bare: Shell, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [*COMMAND, "ledger", "append", pipe]
    with subprocess.Popen(command, env=bare.environment, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        # A signal between its two steps may not end the next read: the user then presses Ctrl-C again.
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
        os.close(writer)
        _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert said.startswith("interrupted; what was acknowledged is kept")


READERS_OF_FILES: tuple[tuple[str, ...], ...] = (
    ("ledger", "append"),
    ("ledger", "import"),
    ("ledger", "restore"),
    ("verify",),
    ("verify", "ledger", "--public-key", "00" * 32),
    ("policy", "check"),
    ("train",),
)


@pytest.mark.parametrize("command", READERS_OF_FILES, ids=" ".join)
def test_a_missing_file_and_a_folder_are_wrong_input(bare: Shell, tmp_path: Path, command: tuple[str, ...]) -> None:
    missing = bare.error(2, *command, tmp_path / "none")
    assert any(words in missing for words in ("does not exist", "no such file", "there is no study"))
    assert "is a directory" in bare.error(2, *command, tmp_path)


def test_wrong_arguments_are_refused_before_any_work(bare: Shell, tmp_path: Path) -> None:
    file, nowhere = tmp_path / "entries.jsonl", tmp_path / "nowhere" / "file"
    file.write_text(lines_of("s-1"))
    for command in (("ledger", "import", file, "--rejects"), ("model", "show", "--report")):
        assert "there is no folder" in bare.error(2, *command, nowhere)
    assert "--marketplace: must be 1 to 128" in bare.error(2, "ledger", "import", file, "--marketplace", "a b")
    assert "--actor: must be 1 to 128" in bare.error(2, "ledger", "erase", "s-1", "--actor", "")
    assert "--against: must be 1 to 128" in bare.error(2, "model", "show", "--against", "")
    assert not (tmp_path / "data" / "ledger.db").exists()


def test_an_error_names_the_next_command_once(bare: Shell) -> None:
    for command in (("model", "show", "nobody"), ("train", "marketplace.toml")):
        bare("ledger", "upgrade")
        assert bare.error(3, *command).count("sellertrust ") == 1


@pytest.mark.long
def test_a_table_needs_a_mapping_and_an_erasure_a_seller(bare: Shell, tmp_path: Path) -> None:
    table = tmp_path / "orders.csv"
    bare("ledger", "upgrade")
    table.write_text("id\n1\n")
    assert "orders.csv is a table, and needs a mapping" in bare.error(2, "ledger", "import", table)
    assert "No seller 'nobody' in marketplace" in bare.error(3, "ledger", "erase", "nobody", "--actor", "privacy")


@pytest.mark.long
def test_record_times_that_ran_ahead_are_put_right_by_a_command(bare: Shell) -> None:
    bare("ledger", "upgrade")
    url = f"sqlite:///{Path(bare.environment['SELLERTRUST_DATA_DIR']) / 'ledger.db'}"
    with Ledger.open(url, clock=lambda: wall_clock() + 3600 * SECOND) as fast:
        [ahead] = fast.append("default", [identity()])
    said = ("--actor", "operator", "--reason", "a clock an hour ahead")
    for options in ((), ("--first", "1"), ("--ahead", "3600"), ("--rested", "--first", "1", "--ahead", "3600")):
        assert "--first" in bare.error(2, "ledger", "mend-clock", *said, *options)
    assert "--ahead" in bare.error(2, "ledger", "mend-clock", *said, "--first", "1", "--ahead", "soon")
    row = bare.json("ledger", "mend-clock", *said, "--first", "1", "--ahead", "3600")
    assert row["sequence"] == 2
    assert parse_time(row["record_time"]) < ahead.record_time
    with Ledger.open(url) as ledger:
        assert ledger.list_cautions() == [
            caution for caution in ledger.list_cautions() if "ahead of the clock" not in caution
        ]
        [found] = ledger.entries.list("default", ledger.cut())
        assert found.record_time == ahead.record_time - 3600 * SECOND


def test_a_missing_ledger_is_named_with_what_makes_one(bare: Shell) -> None:
    file = Path(bare.environment["SELLERTRUST_DATA_DIR"]) / "ledger.db"
    rows = {row["check"]: row for row in bare.json("doctor", code=6)}
    said = f"there is no ledger at {file}: a first sellertrust serve or ledger import makes one; if it lies elsewhere,"
    assert rows["ledger"]["found"] == f"{said} name its folder by SELLERTRUST_DATA_DIR"
    assert said in bare.error(6, "verify", "ledger")
    assert not file.exists()
    demo = file.parent / "demo"
    demo.mkdir(parents=True)
    (demo / MARKER).write_text("2026-06-30T12:00:00Z")
    assert f"such as the demo's: SELLERTRUST_DATA_DIR={demo}\n" in bare.error(6, "verify", "ledger")


def test_a_faulty_mapping_is_wrong_input_by_its_name(bare: Shell, tmp_path: Path) -> None:
    mapping = tmp_path / "orders.toml"
    for text, problem in (("files = 7", "files"), ("files = [", "is not TOML")):
        mapping.write_text(text)
        said = bare.error(2, "ledger", "import", mapping)
        assert str(mapping) in said
        assert problem in said


def test_a_new_ledger_is_for_its_owner_alone(bare: Shell) -> None:
    bare("ledger", "upgrade")
    file = Path(bare.environment["SELLERTRUST_DATA_DIR"]) / "ledger.db"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_refusing_postgresql_is_6_and_a_silent_one_5(bare: Shell) -> None:
    server = make_url(postgresql()).set(password="s3cret")
    unknown = server.set(database="no_such_ledger").render_as_string(hide_password=False)
    stranger = server.set(username="nobody_here").render_as_string(hide_password=False)
    host = str(server.query["host"])
    for url, cause in (
        (unknown, 'database "no_such_ledger" does not exist'),
        (stranger, '"nobody_here" does not exist'),
    ):
        said = bare.error(6, "verify", "ledger", database_url=url)
        assert f"PostgreSQL at {host}, port 5432 refuses: " in said
        assert cause in said
        assert "s3cret" not in said
    with socket.socket() as taken_and_left:
        taken_and_left.bind(("127.0.0.1", 0))
        port = taken_and_left.getsockname()[1]
    said = bare.error(5, "verify", "ledger", database_url=f"postgresql://u:s3cret@127.0.0.1:{port}/ledger")
    assert f"does PostgreSQL run at 127.0.0.1, port {port}, as SELLERTRUST_DATABASE_URL says?" in said
    assert "s3cret" not in said
