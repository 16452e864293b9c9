import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from scoring.base.enums import CorrectionKind, IdentityLevel, Status
from scoring.base.errors import ConfigurationWrong, InvalidInput
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ViolationReported
from scoring.entries.kinds.decisions import EntryCorrected
from service.ingest import file_import as importing
from service.ingest.file_import import ImportReport
from service.ingest.mapping.rules import ForeignMapping, compile_mapping
from service.ingest.unmatched_queue import import_and_queue, import_matched, read_queue
from service.ledger.records import ViolationView
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, ago, identity
from tests.helpers.customs import HEADER, MATCH, REVOCATION, SEIZURE
from tests.helpers.limits import Limit


@pytest.fixture
def ledger(ledger: Ledger) -> Ledger:
    ledger.append(
        MARKET,
        [
            known("s-1", licence="EX-1", shop="Amber & Co."),
            known("s-2", licence="EX-2", shop="Blue"),
            known("s-3", licence="EX-3", shop="Blue"),
        ],
    )
    return ledger


def known(seller: str, level: IdentityLevel = IdentityLevel.BUSINESS, entry_id: str = "", **attributes: str) -> Entry:
    return identity(entry_id or f"i-{seller}", seller, level=level, attributes=attributes)


def mapping(*rules: Mapping[str, Any]) -> ForeignMapping:
    entries = list(rules) or [SEIZURE, REVOCATION]
    return compile_mapping(
        {"marketplace": MARKET, "match": MATCH, "files": [{"path": "customs.csv", "entries": entries}]}
    )


def imported(ledger: Ledger, folder: Path, *rows: str) -> ImportReport:
    (folder / "customs.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return import_and_queue(ledger, mapping(), folder, folder / "q.unmatched.csv", lambda step, done, total: None)


def fill(folder: Path, **said: str) -> None:
    path = folder / "q.unmatched.csv"
    with path.open(newline="") as text:
        rows = list(csv.DictReader(text))
    rows[0] |= said
    with path.open("w", newline="") as text:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def violations(ledger: Ledger) -> dict[str, ViolationView]:
    return {view.violation: view for view in ledger.violations.list(MARKET, ledger.cut(), limit=1000)[0]}


def entries(ledger: Ledger) -> list[Entry]:
    return [one.entry for one in ledger.entries.list(MARKET, ledger.cut(), limit=1000)]


def queue(folder: Path) -> list[tuple[str, str]]:
    return [(row.row["no"], row.reason) for row in read_queue(folder / "q.unmatched.csv", mapping())]


@pytest.mark.long
@pytest.mark.parametrize(("final", "by_licence", "level"), [*product((True, False), (True, False), IdentityLevel)])
def test_only_final_and_verified_acts_are_confirmed(
    ledger: Ledger, tmp_path: Path, final: bool, by_licence: bool, level: IdentityLevel
) -> None:
    ledger.append(MARKET, [known("s-9", level, licence="EX-9", shop="Nine")])
    who = "EX-9,Nine" if by_licence else ",Nine"
    imported(ledger, tmp_path, f"seizure,1,{who},{final}")
    confirmed = final and by_licence and level >= IdentityLevel.BUSINESS
    assert violations(ledger)["c-1"].status is (Status.CONFIRMED if confirmed else Status.ALLEGED)
    assert violations(ledger)["c-1"].seller == "s-9"


@pytest.mark.parametrize(
    ("licence", "shop", "seller"),
    [
        ("ex 1", "", "s-1"),
        ("E.X/1", "", "s-1"),
        ("\uff25\uff38-\uff11", "", "s-1"),
        ("", "AMBER CO", "s-1"),
        ("EX-2", "Amber & Co.", "s-2"),
        ("EX-77", "amber & co", "s-1"),
        ("EX-11", "", None),
        ("", "Amber", None),
        ("--", "!", None),
        ("", "Blue", None),
    ],
)
def test_identifiers_match_by_letters_and_digits(
    ledger: Ledger, tmp_path: Path, licence: str, shop: str, seller: str | None
) -> None:
    imported(ledger, tmp_path, f"seizure,1,{licence},{shop},yes")
    assert [view.seller for view in violations(ledger).values()] == [seller] * (seller is not None)


def test_an_unmatched_row_waits_for_a_person(ledger: Ledger, tmp_path: Path) -> None:
    report = imported(
        ledger, tmp_path, "seizure,1,EX-1,,yes", "seizure,2,EX-7,Grey,yes", "seizure,3,,Blue,no", "seizure,4,,,no"
    )
    assert (report.appended, report.rejects) == (1, [])
    with (tmp_path / "q.unmatched.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [(row["file"], row["line"], row["reason"], row["candidates"]) for row in rows] == [
        ("customs.csv", "3", "no seller has licence 'EX-7' or shop 'Grey'", ""),
        ("customs.csv", "4", "2 sellers have shop 'Blue'", "s-2 s-3"),
        ("customs.csv", "5", "the row gives no licence and no shop", ""),
    ]
    assert all(row[name] == "" for row in rows for name in ("seller", "verified", "decided_by"))
    assert json.loads(rows[1]["row"]) == {"record": "seizure", "no": "3", "licence": "", "shop": "Blue", "final": "no"}


@pytest.mark.parametrize("verified", ["yes", ""])
def test_a_persons_match_is_imported(ledger: Ledger, tmp_path: Path, verified: str) -> None:
    imported(ledger, tmp_path, "seizure,1,EX-1,Amber,yes", "seizure,2,EX-7,Grey,yes", "seizure,3,EX-8,,yes")
    fill(tmp_path, seller="s-2", verified=verified, decided_by="reviewer-3")
    report = import_matched(ledger, mapping(), tmp_path / "q.unmatched.csv")
    assert (report.appended, report.already_present, report.rejects) == (1, 0, [])
    by_licence = {entry.entry_id: entry for entry in entries(ledger)}
    model = by_licence["c-1"]
    assert isinstance(model.fact, ViolationReported)
    fact = replace(model.fact, identifier_verified=verified == "yes")
    assert by_licence["c-2"] == replace(model, entry_id="c-2", seller="s-2", fact=fact)
    assert [no for no, _ in queue(tmp_path)] == ["3"]
    with (tmp_path / "q.matched.csv").open(newline="") as text:
        ((row),) = csv.DictReader(text)
    assert (row["line"], row["seller"], row["decided_by"]) == ("3", "s-2", "reviewer-3")


def test_a_rerun_keeps_a_persons_match(ledger: Ledger, tmp_path: Path) -> None:
    rows = ("seizure,1,EX-1,,yes", "seizure,2,EX-7,Grey,yes", "seizure,3,EX-8,,yes")
    imported(ledger, tmp_path, *rows)
    fill(tmp_path, seller="s-2", verified="yes", decided_by="reviewer-3")
    import_matched(ledger, mapping(), tmp_path / "q.unmatched.csv")
    before = entries(ledger)
    again = imported(ledger, tmp_path, *rows)
    assert (again.appended, again.already_present, again.rejects) == (0, 2, [])
    assert entries(ledger) == before
    assert [no for no, _ in queue(tmp_path)] == ["3"]


def test_what_a_person_filled_in_survives_a_rerun(ledger: Ledger, tmp_path: Path) -> None:
    imported(ledger, tmp_path, "seizure,2,EX-7,Grey,yes")
    fill(tmp_path, seller="s-2", decided_by="reviewer-3")
    imported(ledger, tmp_path, "seizure,2,EX-7,Grey,yes")
    imported(ledger, tmp_path, "seizure,3,EX-8,,yes")
    waiting = {row.row["no"]: row for row in read_queue(tmp_path / "q.unmatched.csv", mapping())}
    assert {no: (row.seller, row.decided_by) for no, row in waiting.items()} == {
        "2": ("s-2", "reviewer-3"),
        "3": ("", ""),
    }
    assert import_matched(ledger, mapping(), tmp_path / "q.unmatched.csv").appended == 1
    assert violations(ledger)["c-2"].seller == "s-2"


def test_a_later_identity_matches_a_waiting_row(ledger: Ledger, tmp_path: Path) -> None:
    imported(ledger, tmp_path, "seizure,1,EX-7,,yes")
    imported(ledger, tmp_path, "seizure,2,EX-7,,yes")
    ledger.append(MARKET, [known("s-7", licence="ex7")])
    report = imported(ledger, tmp_path, "seizure,2,EX-7,,yes")
    assert (report.appended, report.unmatched, report.rejects) == (2, [], [])
    assert {view.seller: view.status for view in violations(ledger).values()} == {"s-7": Status.CONFIRMED}
    assert not (tmp_path / "q.unmatched.csv").exists()


def test_a_match_stands_when_more_becomes_known_of_a_seller(ledger: Ledger, tmp_path: Path) -> None:
    row = "seizure,1,EX-7,Amber & Co,yes"
    imported(ledger, tmp_path, row)
    for number, seller in enumerate(("s-1", "s-7")):
        ledger.append(MARKET, [known(seller, entry_id=f"later-{number}", licence="EX-7", shop="Amber & Co")])
        report = imported(ledger, tmp_path, row)
        assert (report.appended, report.already_present, report.rejects, report.unmatched) == (0, 1, [], [])
    assert (violations(ledger)["c-1"].seller, violations(ledger)["c-1"].status) == ("s-1", Status.ALLEGED)


def test_only_the_identity_in_force_matches(ledger: Ledger, tmp_path: Path) -> None:
    void = EntryCorrected("i-s-2", CorrectionKind.VOID, "staff", "another seller's papers")
    newer = identity("i-1b", "s-1", attributes={"licence": "EX-1B"}, occur_time=ago(3))
    ledger.append(MARKET, [newer, Entry("void", "", void)])
    imported(ledger, tmp_path, "seizure,1,EX-1,,yes", "seizure,2,EX-2,,yes", "seizure,3,EX-1B,,yes")
    assert [view.violation for view in violations(ledger).values()] == ["c-3"]
    found = {one.seller: one for one in ledger.identities.in_force(MARKET, ledger.cut())}
    assert sorted(found) == ["s-1", "s-3"]
    assert found["s-1"].attributes == {"licence": "EX-1B"}


WRONG = {
    "nobody decided": ({"seller": "s-2"}, "decided_by: must say who matched the row"),
    "a seller that is none": ({"seller": "s-99", "decided_by": "r"}, "seller: nothing is on record of 's-99' in acme"),
    "no id": ({"seller": "s 2", "decided_by": "r"}, "seller: nothing is on record of 's 2' in acme"),
    "neither yes nor no": ({"seller": "s-2", "decided_by": "r", "verified": "perhaps"}, "verified: 'perhaps' is"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_an_impossible_match_stays_in_the_queue(ledger: Ledger, tmp_path: Path, kind: str) -> None:
    """Mistyped ids would create sellers."""
    said, reason = WRONG[kind]
    imported(ledger, tmp_path, "seizure,2,EX-7,Grey,yes")
    fill(tmp_path, **said)
    before = (tmp_path / "q.unmatched.csv").read_text()
    ((file, line, why),) = import_matched(ledger, mapping(), tmp_path / "q.unmatched.csv").rejects
    assert (file, line) == ("customs.csv", 2)
    assert why.startswith(reason)
    assert violations(ledger) == {}
    after = (tmp_path / "q.unmatched.csv").read_text()
    assert list(csv.reader(after.splitlines())) == list(csv.reader(before.splitlines()))


def test_a_match_without_its_seller_is_refused_and_stays(ledger: Ledger, tmp_path: Path) -> None:
    imported(ledger, tmp_path, "seizure,2,EX-7,Grey,yes")
    fill(tmp_path, decided_by="reviewer-3")
    report = import_matched(ledger, mapping(), tmp_path / "q.unmatched.csv")
    assert [reason for *_, reason in report.rejects] == [
        "seller: is empty, though decided_by or verified is filled in: name the seller, or empty them too"
    ]
    assert len(report.unmatched) == 1
    assert (tmp_path / "q.unmatched.csv").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", ["file,line\n", "{header}customs.csv,x,,,,,,{{}}\n", "{header}customs.csv,2,,,,,,[]\n"]
)
def test_a_file_that_is_no_queue_is_refused(ledger: Ledger, tmp_path: Path, content: str) -> None:
    path = tmp_path / "q.unmatched.csv"
    header = "file,line,reason,candidates,seller,verified,decided_by,row\n"
    path.write_text(content.format(header=header))
    with pytest.raises(ConfigurationWrong, match=r"q\.unmatched\.csv"):
        imported(ledger, tmp_path, "seizure,1,EX-1,,yes")
    assert violations(ledger) == {}
    with pytest.raises(InvalidInput, match="there is no queue"):
        import_matched(ledger, mapping(), tmp_path / "none.csv")


def test_a_row_about_an_entry_takes_its_match(ledger: Ledger, tmp_path: Path) -> None:
    imported(ledger, tmp_path, "seizure,1,EX-7,Grey,yes")
    fill(tmp_path, seller="s-2", verified="yes", decided_by="reviewer-3")
    import_matched(ledger, mapping(), tmp_path / "q.unmatched.csv")
    report = imported(ledger, tmp_path, "revocation,1,,,yes")
    assert (report.appended, report.unmatched, report.rejects) == (1, [], [])
    assert violations(ledger)["c-1"].status is Status.OVERTURNED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entry_id": "c-{@seller}"}, "has an id that depends on the match"),
        ({"match": None}, "state \\[match\\] to find it"),
        ({"match": {"identifiers": []}}, "state \\[match\\] to find it"),
        ({"match": {"identifiers": [{"attribute": "licence"}]}}, r"match\.identifiers\[0\]\.value must be a text"),
        ({"match": {"identifiers": [{"attribute": "a", "value": "{b}", "verified": "yes"}]}}, "must be true or false"),
        ({"kind": "exposure", "day": "2026-01-01", "settled_orders": {"count": "no"}}, "cannot be counted"),
    ],
)
def test_a_match_that_cannot_work_is_refused(change: dict[str, Any], message: str) -> None:
    """An id that changes with the match would add a row twice."""
    rule = SEIZURE | {name: value for name, value in change.items() if name != "match"}
    if rule["kind"] == "exposure":
        rule = {name: rule[name] for name in ("kind", "entry_id", "seller", "day", "settled_orders")}
    data = {"marketplace": MARKET, "match": change.get("match", MATCH), "files": [{"path": "f", "entries": [rule]}]}
    with pytest.raises(ConfigurationWrong, match=message):
        compile_mapping({name: value for name, value in data.items() if value is not None})


def test_a_matched_row_that_is_no_entry_waits_on(ledger: Ledger, tmp_path: Path) -> None:
    imported(ledger, tmp_path, "seizure,2,EX-7,Grey,perhaps")
    fill(tmp_path, seller="s-2", decided_by="reviewer-3")
    report = import_matched(ledger, mapping(), tmp_path / "q.unmatched.csv")
    assert report.rejects == [("customs.csv", 2, "final: 'perhaps' is neither true nor false")]
    assert [row.seller for row in read_queue(tmp_path / "q.unmatched.csv", mapping())] == ["s-2"]
    assert not (tmp_path / "q.matched.csv").exists()


@pytest.mark.parametrize("breaks_at", ["customs.csv", "other.csv"])
def test_an_interrupted_import_queues_every_row(ledger: Ledger, tmp_path: Path, limit: Limit, breaks_at: str) -> None:
    limit(importing, MAX_BATCH=2)
    rows = [f"seizure,{number},{'EX-0' if number % 3 == 0 else 'EX-1'},,true" for number in range(12)]
    (tmp_path / "customs.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (tmp_path / "other.csv").write_text("id\n1\n2\n3\n")
    other = {"kind": "identity", "entry_id": "o-{id}", "seller": "s-1", "occur_time": "2026-01-01", "level": "basic"}
    files = [{"path": "customs.csv", "entries": [SEIZURE]}, {"path": "other.csv", "entries": [other]}]
    both = compile_mapping({"marketplace": MARKET, "match": MATCH, "files": files})
    interrupted = True

    def progress(step: str, done: int, total: int) -> None:
        if interrupted and step == f"import {breaks_at}":
            raise InterruptedError

    def run() -> ImportReport:
        return import_and_queue(ledger, both, tmp_path, tmp_path / "q.unmatched.csv", progress)

    with pytest.raises(InterruptedError):
        run()
    interrupted = False
    assert [row.line for row in run().unmatched] == [2, 5, 8, 11]
    assert len(violations(ledger)) == 8


@pytest.mark.parametrize("name", ["@seller", "@verified", " @seller", "@anything"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_cannot_name_its_sellers_itself(ledger: Ledger, tmp_path: Path, name: str, kind: str) -> None:
    row = {"record": "seizure", "no": "1", "licence": "NOBODY", "shop": "", "final": "true", name: "s-1"}
    table, file = pl.DataFrame([row]), tmp_path / f"customs.{kind}"
    table.write_csv(file) if kind == "csv" else table.write_parquet(file)
    rules = compile_mapping(
        {"marketplace": MARKET, "match": MATCH, "files": [{"path": file.name, "entries": [SEIZURE]}]}
    )
    report = import_and_queue(ledger, rules, tmp_path, tmp_path / "q.unmatched.csv", lambda *_: None)
    [(_, line, reason)] = report.rejects
    assert (report.appended, report.unmatched, line) == (0, [], 1)
    assert "begins with @" in reason


def test_a_queued_row_cannot_name_its_seller_itself(ledger: Ledger, tmp_path: Path) -> None:
    imported(ledger, tmp_path, "seizure,1,NOBODY,,true")
    row = json.dumps({"record": "seizure", "no": "1", "licence": "", "shop": "", "final": "true", "@seller": "s-1"})
    fill(tmp_path, row=row)
    with pytest.raises(ConfigurationWrong, match="must stay as they were written"):
        imported(ledger, tmp_path)
    assert violations(ledger) == {}
