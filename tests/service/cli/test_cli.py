import gzip
import json
import re
import shutil
import sqlite3
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoring.base.version import CORE_VERSION
from sellertrust.client import Client
from sellertrust.v1.trust_score_service_pb2 import ScoreState
from sellertrust.version import VERSION
from service.ledger.database.schema import newest_version
from service.registry.registry import Registry
from service.scores.book.code_digests import core_digest
from tests.helpers.models import another, gates_json
from tests.helpers.shells import MARKET, ROOT, Shell, in_terminal, lines_of, serving, shell_of
from tests.helpers.worlds import artifact


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("data")
    registry = Registry(folder / "registry")
    for model in (artifact(), another()):
        registry.publish(model.parts, actor="test", reason="trained", now=1, attachments={"gates.json": gates_json()})
    shell = shell_of(folder)
    with serving(shell, folder) as address:
        yield shell_of(folder, target=address)


@pytest.mark.parametrize(
    ("command", "where"),
    [
        ("score", "SELLERS"),
        ("score --explain", "SELLERS"),
        ("ledger list --seller", "--seller"),
        ("violation show", "VIOLATION"),
    ],
)
def test_an_id_that_is_malformed_is_named_as_the_command_has_it(shell: Shell, command: str, where: str) -> None:
    said = shell.error(2, *command.split(), "bad id")
    assert said == f"error: {where}: must be 1 to 128 characters of [A-Za-z0-9._~:-], and is 'bad id'\n"


def test_an_unknown_seller_comes_with_the_next_command(shell: Shell) -> None:
    shell("ledger", "append", "-", stdin=lines_of("known"))
    for command in ("score", "measures"):
        assert "next:  list what a marketplace has: sellertrust ledger list" in shell.error(3, command, "nobody")


@pytest.mark.long
def test_entries_from_stdin_are_listed_and_recognised_again(shell: Shell) -> None:
    text = lines_of("lister", "v-lister")
    first = shell.json("ledger", "append", "-", stdin="\n" + text + "\n")
    assert [row["entry_id"] for row in first] == ["i-lister", "x-lister", "v-lister"]
    assert [row["already_present"] for row in first] == [False] * 3
    again = shell.json("ledger", "append", "-", stdin=text.splitlines()[1])
    assert again == [first[1] | {"already_present": True}]
    assert "ENTRY_CONTENT_DIFFERS" in shell.error(4, "ledger", "append", "-", stdin=text.replace("5000", "5001"))
    listed, _ = shell("ledger", "list", "--seller", "lister", "--limit", 2, "-o", "json")
    rows = [json.loads(line) for line in listed.splitlines()]
    assert [row["sequence"] for row in rows] == [first[0]["sequence"], first[1]["sequence"]]
    assert (rows[0]["identity"], rows[1]["exposure"]["settled_orders"]) == ({"level": "IDENTITY_LEVEL_BUSINESS"}, 5000)
    everything, _ = shell("ledger", "list", "--seller", "lister", "--all", "-o", "json")
    back = shell.json("ledger", "append", "-", stdin=everything)
    assert [(row["sequence"], row["already_present"]) for row in back] == [(row["sequence"], True) for row in first]
    table, told = shell("ledger", "list", "--seller", "nobody")
    assert (table, told) == ("", "nothing found\n")


@pytest.mark.long
def test_an_entry_is_appended_by_its_fields(shell: Shell) -> None:
    deposit = ("ledger", "append", "deposit", "seller=depositor", "change=placed", "actor=finance")
    [row] = shell.json(*deposit, "amount_minor=50,400.00 EUR", "entry_id=d-1")
    listed, _ = shell("ledger", "list", "--seller", "depositor", "-o", "json")
    assert json.loads(listed)["deposit"]["amount_minor"] == 5_040_000
    assert shell.json(*deposit, "amount_minor=5040000", "currency=EUR", "entry_id=d-1") == [
        row | {"already_present": True}
    ]
    [other] = shell.json(*deposit, "amount_minor=1 EUR")
    assert other["entry_id"].startswith("deposit-")
    assert "error: amount_minor: '1.00' is no amount. Write '50" in shell.error(2, *deposit, "amount_minor=1.00")
    assert "error: deposit.amount_minor: must be 1 to" in shell.error(2, *deposit, "amount_minor=0 EUR")
    unknown = shell.error(2, "ledger", "append", "erasure", "seller=s")
    assert "error: KIND: 'erasure' is no kind of entry. Use violation, status" in unknown
    assert "'ledger erase' writes erasure, and 'ledger mend-clock' writes clock" in unknown
    assert "error: seller, claim, change, amount_minor, currency, actor: is missing. It needs seller" in shell.error(
        2, "ledger", "append", "claim"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "error: stdin: has 0 entries. Write one JSON object after another."),
        ("\n[1]\n", "line 2: is not an entry: write a JSON object"),
        ('{"seller": 5}\n', "line 1: is not an entry: "),
        (
            '{"entry_id": "e"}\n{"entry_id": "f",\n',
            "stdin: Line 2 is no complete JSON object. At line 3, column 1: expecting property name",
        ),
        ('{"entry_id" "e"}', "stdin: Line 1 is no complete JSON object. At column 13: expecting ':' delimiter."),
        (
            '{"seller": "s", "violation": {"harm": "hi"}}',
            "line 1: is not an entry: violation.harm: 'hi' is unknown. Use low, medium, high or extreme.",
        ),
        (
            '\n\n{"entry_id": "e", "identity": {}}',
            "error: line 3, seller: is required: marketplaces/{m",
        ),
        (
            '{"entry_id": "e", "seller": "s", "violation": {"violation_type": "counterfit_goods"}}',
            "'counterfit_goods' is not in the table of violation types; did you mean counterfeit_goods? All of them: "
            "docs/reference/violation-types.md",
        ),
        ('{"entry_id": "\N{LINE SEPARATOR}", "seller": "s"}', "line 1, fact: must state one fact"),
    ],
)
def test_lines_that_are_no_entries_are_named(shell: Shell, text: str, message: str) -> None:
    assert message in shell.error(2, "ledger", "append", "-", stdin=text)


def test_objects_of_several_lines_are_appended(shell: Shell) -> None:
    objects = [json.loads(line) for line in lines_of("pretty", "v-pretty").splitlines()]
    printed = "\n".join(json.dumps(one, indent=2) for one in objects[:-1]) + json.dumps(objects[-1])
    appended = shell.json("ledger", "append", "-", stdin=printed)
    assert [row["entry_id"] for row in appended] == [one["entry_id"] for one in objects]
    twice = printed.replace("i-pretty", "i pretty")
    assert "line 1, entry_id: must be 1 to 128" in shell.error(2, "ledger", "append", "-", stdin=twice)


@pytest.mark.long
def test_an_unknown_seller_is_3_beside_known_ones(shell: Shell) -> None:
    shell("ledger", "append", "-", stdin=lines_of("good"))
    stdout, stderr = shell("score", "good", "nobody", "-o", "json", code=3)
    good, nobody = json.loads(stdout)
    assert (good["seller"], good["state"], good["incidents"]) == ("good", "rated", 0)
    assert 0 <= good["points_low"] < good["points"] <= good["points_high"] <= 1000
    assert good["tier"] in ("standard", "trusted", "exemplary")
    assert (nobody["seller"], nobody["state"], nobody["points"]) == ("nobody", "seller_not_found", None)
    assert "error: No seller 'nobody' in marketplace 'acme' has orders, an identity or a valid violation" in stderr
    assert "has no entries" not in stderr
    for options in ([], ["--explain"]):
        shown, said = shell("score", "good", "-m", "acmee", *options, code=3)
        assert shown == ""
        assert said.startswith("error: ")
        assert "error: No seller 'good' in marketplace 'acmee' has orders, an identity" in said
        assert "next:  marketplace 'acmee' has no entries: name another one by --marketplace" in said
    assert "next:  marketplace 'acmee' has no entries" in shell("violation", "queue", "-m", "acmee")[1]
    table, _ = shell("score", "good", "nobody", code=3)
    assert "nobody" not in table
    assert table.splitlines()[0].split()[0] == "seller"
    assert str(good["points"]) in table


@pytest.fixture(scope="module")
def reported(shell: Shell) -> Shell:
    of_brand, of_notifier = lines_of("s-00001", "v-00001"), json.loads(lines_of("s-00001", "v-00002").splitlines()[-1])
    of_notifier["violation"]["notifier"] = "brand-7"
    shell("ledger", "append", "-", stdin=of_brand + json.dumps(of_notifier))
    shell("violation", "decide", "v-00001", "confirm", "--actor", "a", "--reason", "r", "--entry-id", "d-00001")
    return shell


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "heading", "hidden"),
    [
        (("score", "s-00001", "nobody"), "seller tier badge points incidents reasons", "state, "),
        (("violation", "queue"), "violation seller type severity priority decide_by", "status, "),
        (("violation", "list"), "violation seller status type severity occurred", "category, "),
        (("notifier",), "notifier source reports upheld open reliability", "overturned, "),
    ],
)
def test_tables_fit_80_characters(reported: Shell, command: tuple[str, ...], heading: str, hidden: str) -> None:
    table, told = in_terminal(reported, 80, *command)
    first, *rows = table.splitlines()
    assert re.split(r"  +", first.replace("decide by", "decide_by").strip()) == heading.split()
    assert rows
    assert all(len(line) <= 80 for line in table.splitlines())
    assert re.search(rf"^not shown: .*{hidden}.*; show them with -o json$", told, re.MULTILINE)


@pytest.mark.long
def test_violations_are_shown_listed_dismissed_and_withdrawn(shell: Shell) -> None:
    shell("ledger", "append", "-", stdin=lines_of("listed", "v-a", "v-b", "v-c"))
    shell("violation", "decide", "v-a", "dismiss", "--actor", "staff", "--reason", "unproven")
    withdrawn = shell.json("violation", "decide", "v-b", "withdraw", "--actor", "brand", "--reason", "a mistake")
    assert withdrawn["status"] == "withdrawn"
    rows = shell.json("violation", "list", "--seller", "listed", "--status", "dismissed", "--status", "alleged")
    assert [(row["violation"], row["status"]) for row in rows] == [("v-a", "dismissed"), ("v-c", "alleged")]
    shown, _ = shell("violation", "show", "v-c")
    assert {"v-c", "alleged", "counterfeit_goods"} <= set(shown.split())
    missing = shell.error(3, "violation", "show", "v-z")
    assert "VIOLATION_NOT_FOUND" in missing
    assert "next:  list the violations: sellertrust violation list" in missing
    assert "'guilty' is unknown. Use alleged, under_review" in shell.error(2, "violation", "list", "--status", "guilty")


@pytest.mark.long
def test_a_dry_run_of_an_import_writes_nothing(bare: Shell, tmp_path: Path) -> None:
    mapping = tmp_path / "cases.toml"
    mapping.write_text(
        'marketplace = "acme"\n[[files]]\npath = "cases.csv"\ndates = "epoch_milliseconds"\n[[files.entries]]\n'
        'kind = "violation"\nentry_id = "v-{id}"\nseller = "{shop}"\noccur_time = "{at}"\n'
        'violation_type = "counterfeit_goods"\nharm = "{harm}"\nsource = "brand"\n'
    )
    table = tmp_path / "cases.csv"
    table.write_text(
        "id,shop,at,harm\n1,a,1767225600,high\n2,a b,1767225600,high\n3,a,1767312000,hi\n4,b,1767312000,low\n"
        "4,b,1767312000,low\n5 b/6,b,1767312000,low\n"
    )
    before = {*tmp_path.rglob("*")}
    stdout, said = bare("ledger", "import", mapping, "--dry-run", code=4)
    assert stdout.splitlines()[-1].split() == [
        *("violation", "2", "1970-01-21T10:53:45.600000Z", "1970-01-21T10:55:12Z"),
    ]
    assert "warning: 2 of 2 entries happened before 1990: look at the unit of epoch times" in said
    assert "cases.csv: 1 row: harm: 'hi' is unknown. Use low, medium, high or extreme. (first in line 4)" in said
    assert "cases.csv: 1 row: seller: must name a seller by" in said
    assert "of [A-Za-z0-9._~:-]; that of the violation has ' ', '/' (first in line 7)" in said
    assert "nothing was appended to acme: a dry run" in said
    assert {*tmp_path.rglob("*")} == before
    assert "--rejects: writes a file" in bare.error(2, "ledger", "import", mapping, "--dry-run", "--rejects", "r.csv")
    table.write_text("id,shop,at,harm\n1,a,1767225600,high\n")
    assert "warning: 1 of 1 entries happened before 1990" in bare("ledger", "import", mapping)[1]
    mapping.write_text(mapping.read_text().replace("milliseconds", "seconds").replace("v-", "w-"))
    stdout, said = bare("ledger", "import", mapping, "--dry-run")
    assert "2026-01-01T00:00:00Z" in stdout
    assert "warning" not in said


def inspections(shell: Shell, folder: Path) -> Path:
    for name in ("events.csv", "entities.csv"):
        with gzip.open(folder / f"{name}.gz", "wb") as target:
            target.write((ROOT / "tests" / "data" / "inspections" / name).read_bytes())
    studies = ROOT / "training" / "studies"
    study = (studies / "toronto_a.toml").read_text()
    first = study.index("train = [")
    study = study[:first] + 'train = ["2010-01-01"]' + study[study.index("\n", first) :]
    (folder / "study.toml").write_text(study + "\n[model]\nrounds = 10\nparameters = { min_data_in_leaf = 5 }\n")
    shell("ledger", "import", studies / "toronto.mapping.toml", "--data", folder)
    return folder / "study.toml"


@pytest.mark.long
def test_a_study_is_trained_and_its_figures_are_json(bare: Shell, tmp_path: Path) -> None:
    inspections(bare, tmp_path)
    bare("train", tmp_path / "study.toml", "--dry-run")
    rows = tmp_path / "rows.csv"
    assert "which scores nothing" in bare.error(2, "train", tmp_path / "study.toml", "--dry-run", "--rows", rows)
    assert "must end in .csv or .parquet" in bare.error(
        2, "train", tmp_path / "study.toml", "--rows", tmp_path / "rows"
    )
    stdout, stderr = bare("train", tmp_path / "study.toml", "-o", "json", "--rows", rows, code=(0, 4))
    row = json.loads(stdout)
    assert f"{len(rows.read_text().splitlines()) - 1} scored test rows written to {rows}" in stderr
    assert (row["study"], row["auc"].keys()) == ("toronto_a", {"value", "low", "high"})
    for step in ("export", "1/9 snapshot", "4/9 train", "9/9 gates"):
        assert f"{step}: done in" in stderr
    (model,) = bare.json("model", "list")
    assert model["digest"] == row["digest"]
    assert model["auc"] == pytest.approx(row["auc"]["value"], abs=1e-4)
    assert len((tmp_path / "data" / "training" / "looks.jsonl").read_text().splitlines()) == 1
    shown, told = bare("train", tmp_path / "study.toml", "--no-publish", "--no-verify", code=(0, 4))
    (took,) = re.findall(r"7/9 compare: done in ([0-9.]+) s", told)
    assert ["compare", took] in [line.split()[:2] for line in shown.splitlines()]
    assert re.search(rf"^auc +{row['auc']['value']:.4f} \(", shown, re.MULTILINE)


@pytest.mark.long
def test_a_champion_of_another_marketplace_is_not_compared(bare: Shell, tmp_path: Path) -> None:
    study = inspections(bare, tmp_path)
    bare("train", study, "--no-verify", code=(0, 4))
    if bare.json("model", "list")[0]["aliases"] != "champion":
        (row,) = (row for row in bare.json("doctor", code=6) if row["check"] == "champion")
        assert "make one: sellertrust model promote challenger --reason WHY" in row["found"]
    digest = bare.json("model", "list")[0]["digest"]
    bare("model", "promote", digest, "--reason", "w", "--override", "a", "--sign-off", "b")
    there = tmp_path / "there.toml"
    name = tomllib.loads(study.read_text())["marketplace"]
    there.write_text(study.read_text().replace(f'marketplace = "{name}"', 'marketplace = "elsewhere"'))
    mapping = ROOT / "training" / "studies" / "toronto.mapping.toml"
    bare("ledger", "import", mapping, "--data", tmp_path, "-m", "elsewhere")
    _, told = bare("train", there, "--no-publish", "--no-verify", code=(0, 4))
    assert f"the champion is of marketplace {name}: not compared; one registry a marketplace" in told
    assert f"the champion is of marketplace {name}" in bare.error(6, "train", there, "--recalibrate")
    _, told = bare("train", study, "--no-publish", "--no-verify", code=(0, 4))
    assert "not compared" not in told


@pytest.mark.long
def test_the_doctor_names_every_ailment_and_no_other(shell: Shell, bare: Shell) -> None:
    found = {row["check"]: row["found"] for row in shell.json("doctor") if row["ok"]}
    assert found["release"] == f"sellertrust {VERSION}, core {CORE_VERSION}"
    assert f"schema {newest_version()}" in found["ledger"]
    running = (
        f"sellertrust {VERSION}, core {CORE_VERSION}, build {core_digest()[:12]}, schema {newest_version()}, model "
    )
    assert f"serving; {running}" in found["server"]
    rows = {row["check"]: row for row in bare.json("doctor", code=6)}
    assert [check for check, row in rows.items() if not row["ok"]] == ["ledger", "measures", "champion", "server"]
    assert "a first sellertrust serve or ledger import makes one" in rows["ledger"]["found"]
    assert "train one: sellertrust train STUDY" in rows["champion"]["found"]
    assert "Start one with `sellertrust serve`." in rows["server"]["found"]
    told = "No model in {}/registry. For the models of a running server add --server ADDRESS."
    told = told.format(bare.environment["SELLERTRUST_DATA_DIR"])
    assert bare("model", "list") == ("", f"{told}\n")
    assert f"'champion' names no model. {told}" in bare.error(3, "model", "show", "--card")


@pytest.mark.long
def test_a_port_that_is_taken_is_6_and_names_the_setting(shell: Shell, tmp_path: Path) -> None:
    said = shell.error(6, "serve", address=shell.environment["SELLERTRUST_TARGET"], data_dir=tmp_path)
    assert "cannot listen on 127.0.0.1:" in said
    assert "SELLERTRUST_ADDRESS" in said
    shell("ledger", "list", "--limit", 1)


@pytest.mark.long
def test_a_server_starts_from_nothing_and_ends_with_0_on_sigterm(tmp_path: Path) -> None:
    shell = shell_of(tmp_path / "new" / "data")
    with serving(shell, tmp_path) as address:
        shell("ledger", "append", "-", stdin=lines_of("s"), target=address)
        with Client(address) as client:
            score = client.get_trust_score(MARKET, "s")
        assert score.state == ScoreState.SCORE_STATE_UNKNOWN
        assert not score.HasField("points")
    made = sorted(path.name for path in (tmp_path / "new" / "data").iterdir())
    assert made == ["audit.jsonl", "ledger.db", "mechanism.lock", "pseudonym-key"]
    lines = [json.loads(line) for line in (tmp_path / "server.log").read_text().splitlines()]
    (ledger,) = [line for line in lines if line["event"] == "ledger"]
    assert (ledger["database"], ledger["version"], ledger["synchronous"]) == ("sqlite", sqlite3.sqlite_version, "full")
    warned = any("3.51.3" in line["caution"] for line in lines if line["event"] == "ledger caution")
    assert warned == (sqlite3.sqlite_version_info < (3, 51, 3))
    shutil.rmtree(tmp_path / "new")
