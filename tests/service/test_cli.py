"""The real command, in processes of its own: data on stdout, all else on stderr, and an exit code that can be trusted."""

import gzip
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sellertrust.client import Client
from sellertrust.v1.trust_score_service_pb2 import ScoreState
from service.ledger import upgrade
from service.registry import Registry
from tests.scoring.worlds import artifact
from tests.service.processes import run_forked, run_from_nothing
from tests.service.test_registry import another

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from service.cli import main; main()"]
MARKET = "acme"
SECONDS = 60


@dataclass
class Shell:
    """Runs the command in one environment, and checks what holds for every run of it."""

    environment: dict[str, str]
    run: Callable[[list[str], dict[str, str], str, float], tuple[int, str, str]] = run_forked

    def __call__(self, *arguments: object, stdin: str = "", code: int = 0, **changes: object) -> tuple[str, str]:
        """(stdout, stderr) of a run that must end with `code`; `changes` are settings, by the name of the field."""
        environment = self.environment | _variables(changes)
        ended, stdout, stderr = self.run([*map(str, arguments)], environment, stdin, SECONDS)
        assert ended == code, (ended, stdout, stderr)
        assert "Traceback" not in stdout + stderr
        assert ("error: " in stderr.lower()) == (code != 0) or arguments[0] == "doctor", stderr
        return stdout, stderr

    def json(self, *arguments: object, **options: Any) -> Any:
        """What a run prints as JSON, which must be all that it prints on stdout."""
        return json.loads(self(*arguments, "-o", "json", **options)[0])

    def error(self, code: int, *arguments: object, **options: Any) -> str:
        """What a run says that ends with `code` and prints no data."""
        stdout, stderr = self(*arguments, code=code, **options)
        assert stdout == ""
        return stderr


def _variables(settings: dict[str, Any]) -> dict[str, str]:
    return {f"SELLERTRUST_{name.upper()}": str(value) for name, value in settings.items()}


def shell_of(folder: Path, **settings: object) -> Shell:
    """A shell with a data folder of its own and nothing else of this machine's configuration."""
    slow = "PYTHONDONTWRITEBYTECODE"  # each of these processes would compile everything anew
    base = {name: value for name, value in os.environ.items() if not name.startswith("SELLERTRUST_") and name != slow}
    base["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "proto")])
    values = {"data_dir": folder, "metrics_address": "", "drain_seconds": 0, "marketplace": MARKET}
    return Shell(base | _variables(values | settings))


@contextmanager
def serving(shell: Shell, folder: Path) -> Iterator[str]:
    """`sellertrust serve` on a free port, in a session of its own; its address. SIGTERM ends it, all of it, with 0."""
    ready, log = folder / "ready", folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*COMMAND, "serve", "--ready-file", ready],
            env=shell.environment | _variables({"address": "127.0.0.1:0"}),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + SECONDS
            while not ready.exists():
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            yield ready.read_text().strip()
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=SECONDS) == 0
            with pytest.raises(ProcessLookupError):
                os.killpg(server.pid, 0)  # nobody is left in its session
            assert "Traceback" not in log.read_text()
        finally:
            if server.poll() is None:
                server.kill()
                server.wait()


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell whose server runs, with a champion and a challenger."""
    folder = tmp_path_factory.mktemp("data")
    registry = Registry(folder / "registry")
    for model in (artifact(), another()):
        registry.publish(model.parts, actor="test", reason="trained", now=1)
    shell = shell_of(folder)
    with serving(shell, folder) as address:
        yield shell_of(folder, target=address)


@pytest.fixture
def bare(tmp_path: Path) -> Shell:
    """A shell with no server, no ledger and no model."""
    with socket.socket() as taken_and_left:
        taken_and_left.bind(("127.0.0.1", 0))
        port = taken_and_left.getsockname()[1]
    return shell_of(tmp_path / "data", target=f"127.0.0.1:{port}")


def days_ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def lines_of(seller: str, *violations: str) -> str:
    """An established seller as JSON lines: an identity, a good month, and the violations that are alleged."""
    identity = {"entry_id": f"i-{seller}", "occur_time": days_ago(400), "identity": {"level": "business"}}
    exposure = {"entry_id": f"x-{seller}", "exposure": {"day": days_ago(60)[:10], "settled_orders": 5000}}
    reported = [
        {
            "entry_id": violation,
            "occur_time": days_ago(30),
            "violation": {"violation_type": "counterfeit_goods", "harm": "high", "source": "brand"},
        }
        for violation in violations
    ]
    return "".join(json.dumps({"seller": seller} | entry) + "\n" for entry in (identity, exposure, *reported))


def score_of(shell: Shell, seller: str) -> Any:
    ((row),) = shell.json("score", seller)
    return row


def test_entries_are_appended_from_stdin_listed_and_recognised_again(shell: Shell) -> None:
    """One JSON object a line; a retry answers as the first time; other content under an id is refused with 4."""
    text = lines_of("lister", "v-lister")
    first = shell.json("ledger", "append", "-", stdin="\n" + text + "\n")
    assert [row["entry_id"] for row in first] == ["i-lister", "x-lister", "v-lister"]
    assert [row["already_present"] for row in first] == [False] * 3
    again = shell.json("ledger", "append", "-", stdin=text.splitlines()[1])
    assert again == [first[1] | {"already_present": True}]
    assert "ENTRY_CONTENT_DIFFERS" in shell.error(4, "ledger", "append", "-", stdin=text.replace("5000", "5001"))
    listed = shell.json("ledger", "list", "--seller", "lister", "--limit", 2)
    assert [(row["sequence"], row["kind"]) for row in listed] == [
        (first[0]["sequence"], "identity"),
        (first[1]["sequence"], "exposure"),
    ]
    table, told = shell("ledger", "list", "--seller", "nobody")
    assert (table, told) == ("", "nothing found\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "FILE: has 0 entries; append 1 to 10,000 at a time"),
        ("\n[1]\n", "line 2: is not an entry: write a JSON object"),
        ('{"seller": 5}\n', "line 1: is not an entry: "),
        ('{"entry_id": "\N{LINE SEPARATOR}", "seller": "s"}', "INVALID_ARGUMENT"),
    ],
)
def test_lines_that_are_no_entries_are_named_and_nothing_is_appended(shell: Shell, text: str, message: str) -> None:
    """Exit code 2: the input is wrong, wherever it was noticed."""
    assert message in shell.error(2, "ledger", "append", "-", stdin=text)


def test_scores_are_printed_and_an_unknown_seller_is_3_beside_those_that_are_known(shell: Shell) -> None:
    """The data is complete, the trouble is on stderr."""
    shell("ledger", "append", "-", stdin=lines_of("good"))
    stdout, stderr = shell("score", "good", "nobody", "-o", "json", code=3)
    good, nobody = json.loads(stdout)
    assert (good["seller"], good["state"], good["incidents"]) == ("good", "rated", 0)
    assert 0 < good["points"] <= 1000
    assert good["tier"] in ("standard", "trusted", "exemplary")
    assert (nobody["seller"], nobody["state"], nobody["points"]) == ("nobody", "seller_not_found", None)
    assert "error: marketplaces/acme/sellers/nobody: nothing that stands is recorded" in stderr
    table, _ = shell("score", "good")
    assert table.splitlines()[0].split()[0] == "seller"
    assert str(good["points"]) in table


def test_a_confirmed_violation_costs_points_that_are_explained_and_come_back_when_it_is_overturned(
    shell: Shell,
) -> None:
    """Report, confirm, explain, overturn: the answer is as before."""
    shell("ledger", "append", "-", stdin=lines_of("fallen", "v-fallen"))
    before = score_of(shell, "fallen")
    assert (before["incidents"], before["open"]) == (0, 1)
    decision = ("v-fallen", "--actor", "reviewer", "--reason", "test buy: fake")
    confirmed = shell.json("violation", "confirm", *decision, "--entry-id", "d-fallen")
    assert (confirmed["status"], confirmed["allowed_actions"]) == ("confirmed", ["appeal", "reduce", "overturn"])
    stdout, stderr = shell("score", "fallen", "nobody", "--explain", "-o", "json", code=3)
    assert "sellers/nobody" in stderr
    (explained,) = json.loads(stdout)
    assert explained["points"] < before["points"]
    reasons = {reason["reason_code"]: reason for reason in explained["explanation"]}
    assert explained["baseline_points"] + sum(r["points"] for r in reasons.values()) == explained["points"]
    (incident,) = reasons["COUNTERFEIT_CONFIRMED"]["incidents"]
    assert incident["entries"] == ["v-fallen", "d-fallen"]
    text, _ = shell("score", "fallen", "--explain")
    assert "COUNTERFEIT_CONFIRMED" in text
    assert "v-fallen d-fallen" in text

    refused = shell.error(4, "violation", "dismiss", *decision)
    assert "LIFECYCLE_FORBIDS" in refused
    assert "allowed: appeal, reduce, overturn" in refused
    shell("violation", "overturn", *decision)
    after = score_of(shell, "fallen")
    assert after["points"] - before["points"] == 0
    assert (after["incidents"], after["open"], after["reasons"]) == (0, 0, before["reasons"])


def test_violations_are_shown_listed_dismissed_and_withdrawn(shell: Shell) -> None:
    """By seller and status; an unknown one is 3 with where to look, a status that is none is 2."""
    shell("ledger", "append", "-", stdin=lines_of("listed", "v-a", "v-b", "v-c"))
    shell("violation", "dismiss", "v-a", "--actor", "staff", "--reason", "unproven")
    withdrawn = shell.json("violation", "withdraw", "v-b", "--actor", "brand", "--reason", "a mistake")
    assert withdrawn["status"] == "withdrawn"
    rows = shell.json("violation", "list", "--seller", "listed", "--status", "dismissed", "--status", "alleged")
    assert [(row["violation"], row["status"]) for row in rows] == [("v-a", "dismissed"), ("v-c", "alleged")]
    shown, _ = shell("violation", "show", "v-c")
    assert {"v-c", "alleged", "counterfeit_goods"} <= set(shown.split())
    missing = shell.error(3, "violation", "show", "v-z")
    assert "VIOLATION_NOT_FOUND" in missing
    assert "next:  list what there is: sellertrust ledger list, sellertrust violation list" in missing
    assert "'guilty' is none of alleged, under_review" in shell.error(2, "violation", "list", "--status", "guilty")


def test_a_running_server_takes_a_promotion_over_within_seconds(shell: Shell) -> None:
    """Promoted by the beginning of its digest; every later answer names the new model."""
    shell("ledger", "append", "-", stdin=lines_of("promoted"))
    models = {row["aliases"]: row for row in shell.json("model", "list")}
    first, second = models["champion"], models["challenger"]
    assert (first["state"], second["state"]) == ("verified", "verified")
    assert score_of(shell, "promoted")["model"] == first["digest"][:12]
    _, told = shell("model", "promote", second["digest"][:10], "--reason", "better", "--actor", "anna")
    assert told == f"champion is now {second['digest'][:12]}\n"
    deadline = time.monotonic() + 20
    with Client(shell.environment["SELLERTRUST_TARGET"]) as client:
        while client.get_trust_score(MARKET, "promoted").stamp.model_digest != second["digest"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    shown = shell.json("model", "show")
    assert shown["digest"] == second["digest"]


def test_a_damaged_model_is_listed_as_such_and_refused(bare: Shell, tmp_path: Path) -> None:
    """`model list` shows it, `serve` refuses to start with it and says what to do."""
    registry = Registry(tmp_path / "data" / "registry")
    digest = registry.publish(artifact().parts, actor="test", reason="trained", now=1)
    (registry.folder / "models" / digest / "model.txt").write_bytes(b"tree")
    (row,) = bare.json("model", "list")
    assert (row["digest"], row["state"]) == (digest, "damaged")
    refused = bare.error(6, "serve", address="127.0.0.1:0")
    assert f"model {digest[:12]} in " in refused
    assert "model.txt of the artifact was altered" in refused


def test_a_file_is_imported_with_its_broken_rows_in_a_reject_file(bare: Shell, tmp_path: Path) -> None:
    """Exit code 4, the good rows in the ledger, line and reason in the file; what is exported is what was imported."""
    mapping = tmp_path / "shop.toml"
    mapping.write_text(
        'marketplace = "elsewhere"\n[[files]]\npath = "sold.csv"\n[[files.entries]]\nkind = "exposure"\n'
        'entry_id = "x-{shop}-{day}"\nseller = "{shop}"\nday = "{day}"\nsettled_orders = "{orders}"\n'
    )
    (tmp_path / "sold.csv").write_text("shop,day,orders\na,2026-01-01,5\nb,2026-01-01\nc,2026-01-01,7\n")
    rejects = tmp_path / "rejects.csv"
    said = bare.error(4, "ledger", "import", mapping, "--rejects", rejects, "-m", MARKET)
    assert "import sold.csv: done in" in said
    assert "2 entries appended to acme, 0 were there already" in said
    assert f"1 rows were rejected; mend them and import again: {rejects}" in said
    assert rejects.read_text().splitlines()[1] == "sold.csv,3,has 2 cells where the header has 3"
    parquet = tmp_path / "export.parquet"
    stdout, stderr = bare("ledger", "export", parquet)
    assert stdout == ""
    assert f"2 entries of acme written to {parquet}" in stderr
    assert pl.read_parquet(parquet)["seller"].to_list() == ["a", "c"]


def test_a_study_is_trained_from_the_command_line_and_its_figures_are_json(bare: Shell, tmp_path: Path) -> None:
    """On made inspections: imported, trained, published as champion; progress goes to stderr."""
    for name in ("events.csv", "entities.csv"):
        with gzip.open(tmp_path / f"{name}.gz", "wb") as target:
            target.write((ROOT / "tests" / "data" / "inspections" / name).read_bytes())
    studies = ROOT / "training" / "studies"
    study = (studies / "toronto_a.toml").read_text()
    first = study.index("train = [")
    study = study[:first] + 'train = ["2010-01-01"]' + study[study.index("\n", first) :]
    (tmp_path / "study.toml").write_text(study + "\n[model]\nrounds = 10\nparameters = { min_data_in_leaf = 5 }\n")
    bare("ledger", "import", studies / "toronto.mapping.toml", "--data", tmp_path)
    stdout, stderr = bare("train", tmp_path / "study.toml", "-o", "json")
    row = json.loads(stdout)
    assert (row["study"], row["alias"]) == ("toronto_a", "champion")
    for step in ("export", "snapshots", "train", "evaluate", "certify"):
        assert f"{step}: done in" in stderr
    (model,) = bare.json("model", "list")
    assert model["digest"] == row["digest"]
    assert model["auc"] == pytest.approx(float(row["auc"].split()[0]), abs=1e-4)


def test_training_that_cannot_begin_says_what_to_do(bare: Shell, tmp_path: Path) -> None:
    """No study, no entries."""
    assert "there is no study nope.toml; the shipped ones are in" in bare.error(6, "train", "nope.toml")
    (tmp_path / "data").mkdir()
    upgrade(f"sqlite:///{tmp_path}/data/ledger.db")
    assert "the ledger holds no entries of marketplace 'demo'" in bare.error(6, "train", "marketplace.toml")


def test_what_needs_no_server_works_without_one_and_the_rest_is_5(bare: Shell) -> None:
    """Unavailable is worth a retry, and the message names the next command."""
    types = {row["violation_type"]: row for row in bare.json("violation", "types")}
    assert types["counterfeit_goods"]["low"] == "moderate"
    said = bare.error(5, "score", "s")
    assert "error: UNAVAILABLE" in said
    assert "next:  is the server running? start it: sellertrust serve; or look: sellertrust doctor" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score"], "Missing argument 'SELLER"),
        (["score", "s", "--observe-time", "yesterday"], "error: --observe-time: 'yesterday' is not a time"),
    ],
)
def test_a_wrong_call_is_2_and_says_what_would_be_right(bare: Shell, arguments: list[str], message: str) -> None:
    """Usage errors come from the parser, wrong values from the command; the code is the same."""
    assert message in replace(bare, run=run_from_nothing).error(2, *arguments)


def test_every_mistyped_or_wrong_variable_is_told_at_once(bare: Shell) -> None:
    """And the one that was meant is named."""
    said = bare.error(6, "serve", adress="127.0.0.1:1", log_level="loud")
    assert "SELLERTRUST_ADRESS is not a setting: did you mean SELLERTRUST_ADDRESS?" in said
    assert "SELLERTRUST_LOG_LEVEL = 'loud'" in said


def test_the_configuration_is_shown_without_its_secrets(bare: Shell) -> None:
    """Each setting with its variable and source."""
    url = "postgresql://trust:hunter2@db.example/trust"
    stdout, _ = bare("config", "show", "-o", "json", database_url=url, pseudonym_key="a secret of some length")
    assert "hunter2" not in stdout
    assert "a secret" not in stdout
    rows = {row["name"]: row for row in json.loads(stdout)}
    assert rows["pseudonym_key"] == {
        "name": "pseudonym_key",
        "variable": "SELLERTRUST_PSEUDONYM_KEY",
        "value": "***",
        "source": "environment",
    }
    assert rows["log_level"]["source"] == "default"


def test_the_database_is_made_upgraded_and_refused_where_a_newer_release_was_there(bare: Shell, tmp_path: Path) -> None:
    """`db upgrade` makes what is missing, folder and all; a newer schema is never touched."""
    assert bare("db", "upgrade") == ("", "the ledger's database is up to date\n")
    database = tmp_path / "data" / "ledger.db"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE ledger_version SET version_num = '9999'")
    connection.close()
    before = database.read_bytes()
    assert "is newer than this release" in bare.error(6, "serve", address="127.0.0.1:0")
    assert database.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(bare: Shell, tmp_path: Path) -> None:
    """As is a folder that cannot be."""
    wrong = tmp_path / "notes.txt"
    wrong.write_text("not a database, but somebody's notes")
    said = bare.error(6, "db", "upgrade", database_url=f"sqlite:///{wrong}")
    assert f"{wrong} is no SQLite database; name another file by SELLERTRUST_DATABASE_URL" in said
    assert wrong.read_text() == "not a database, but somebody's notes"
    said = bare.error(6, "db", "upgrade", data_dir=wrong / "below")
    assert f"the ledger cannot be kept in {wrong / 'below' / 'ledger.db'}: not a directory" in said


def test_the_doctor_finds_a_sound_house_sound_and_names_every_ailment(shell: Shell, bare: Shell) -> None:
    """Everything is checked, whatever was found before; a remedy beside each ailment."""
    assert {row["check"]: row["ok"] for row in shell.json("doctor")} == dict.fromkeys(
        ("configuration", "lightgbm", "policy", "ledger", "champion", "server"), True
    )
    rows = {row["check"]: row for row in bare.json("doctor", code=6)}
    assert [check for check, row in rows.items() if not row["ok"]] == ["ledger", "champion", "server"]
    assert "run: sellertrust db upgrade" in rows["ledger"]["found"]
    assert "train one: sellertrust train STUDY" in rows["champion"]["found"]
    assert "start one: sellertrust serve" in rows["server"]["found"]


def test_a_port_that_is_taken_is_6_and_names_the_setting(shell: Shell) -> None:
    """The server that has it goes on."""
    said = shell.error(6, "serve", address=shell.environment["SELLERTRUST_TARGET"])
    assert "cannot listen on 127.0.0.1:" in said
    assert "SELLERTRUST_ADDRESS" in said
    shell("ledger", "list", "--limit", 1)


def test_a_missing_libgomp_is_named_with_the_package_to_install(bare: Shell, tmp_path: Path) -> None:
    """LightGBM's wheel does not bring it: what loading it raises on a bare machine is raised here."""
    without = _shadowed(
        bare, tmp_path, "lightgbm", 'OSError("libgomp.so.1: cannot open shared object file: No such file or directory")'
    )
    said = without.error(6, "serve", address="127.0.0.1:0")
    assert said == (
        "error: libgomp.so.1 is missing, which LightGBM needs\nnext:  install it: apt-get install libgomp1\n"
    )
    rows = {row["check"]: row for row in without.json("doctor", code=6)}
    assert rows["lightgbm"]["found"] == "libgomp.so.1 is missing; install it: apt-get install libgomp1"


def test_a_missing_extra_is_named_with_what_to_install(bare: Shell, tmp_path: Path) -> None:
    """A server needs no polars, training does."""
    without = _shadowed(bare, tmp_path, "polars", 'ModuleNotFoundError("No module named \'polars\'", name="polars")')
    said = without.error(6, "ledger", "export", tmp_path / "x.parquet")
    assert said == "error: this needs the package polars; install it: pip install 'sellertrust[training]'\n"


def test_an_unforeseen_error_is_1_in_one_line_and_the_whole_story_only_on_request(bare: Shell, tmp_path: Path) -> None:
    """Nobody but a developer wants a stack trace."""
    broken = _shadowed(bare, tmp_path, "polars", 'RuntimeError("boom")')
    said = broken.error(1, "ledger", "export", tmp_path / "x.parquet")
    assert said.startswith("error: unforeseen: boom (RuntimeError)\nnext:  please report it")


def _shadowed(shell: Shell, folder: Path, package: str, error: str) -> Shell:
    """A shell in which importing a package raises an error."""
    stand_in = folder / "shadow" / package
    stand_in.mkdir(parents=True)
    (stand_in / "__init__.py").write_text(f"raise {error}\n")
    path = os.pathsep.join([str(stand_in.parent), shell.environment["PYTHONPATH"]])
    return Shell(shell.environment | {"PYTHONPATH": path}, run_from_nothing)


def test_a_reader_that_has_seen_enough_is_no_error(bare: Shell) -> None:
    """As in `sellertrust violation types | head -1`."""
    command = [*COMMAND, "violation", "types"]
    with subprocess.Popen(
        command, env=bare.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait(SECONDS)) == ("", 0)


def test_a_command_that_is_interrupted_says_so_and_is_130(bare: Shell, tmp_path: Path) -> None:
    """Ctrl-C while it waits for entries that never come."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [*COMMAND, "ledger", "append", pipe]
    with subprocess.Popen(command, env=bare.environment, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)  # refused until the command reads
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=SECONDS)
        os.close(writer)
    assert process.returncode == 130
    assert said.startswith("interrupted; what was acknowledged is kept")


def test_a_server_starts_from_nothing_and_ends_with_0_on_sigterm(tmp_path: Path) -> None:
    """It makes its folder and ledger, answers unknown without a model, and leaves no process."""
    shell = shell_of(tmp_path / "new" / "data")
    with serving(shell, tmp_path) as address:
        shell("ledger", "append", "-", stdin=lines_of("s"), target=address)
        with Client(address) as client:
            score = client.get_trust_score(MARKET, "s")
        assert score.state == ScoreState.SCORE_STATE_UNKNOWN
        assert not score.HasField("points")
    assert sorted(path.name for path in (tmp_path / "new" / "data").iterdir()) == ["ledger.db"]
    shutil.rmtree(tmp_path / "new")
