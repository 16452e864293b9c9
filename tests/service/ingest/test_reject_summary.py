from pathlib import Path

from service.cli.imports import mapping_of_file
from service.ingest.file_import import import_files
from service.ingest.reject_summary import group_rejects
from service.ledger.store import Ledger

MAPPING = """
marketplace = "acme"
[[files]]
path = "cases.csv"
[[files.entries]]
kind = "violation"
entry_id = "v-{id}"
seller = "{shop}"
occur_time = "{at}"
violation_type = "counterfeit_goods"
harm = { column = "harm", map = { high = "high" } }
source = "brand"
"""


def test_reasons_are_one_but_for_what_they_quote_and_number() -> None:
    found = group_rejects(
        [
            ("b.csv", 7, "harm: 'x y' in column h is not in files[0].entries[1].harm"),
            ("a.csv", 9, "day: '31/12/2024' is not a date of the form YYYY-MM-DD"),
            ("a.csv", 4, "day: '30/11/2024' is not a date of the form YYYY-MM-DD"),
            ("a.csv", 5, "harm: 'z' in column h is not in files[0].entries[1].harm"),
            ("a.csv", 6, "harm: 'z' in column h is not in files[0].entries[2].harm"),
        ]
    )
    assert [(group.file, group.number, group.line) for group in found] == [
        *(("a.csv", 2, 4), ("b.csv", 1, 7), ("a.csv", 1, 5), ("a.csv", 1, 6))
    ]
    assert found[0].reason == "day: '30/11/2024' is not a date of the form YYYY-MM-DD"
    assert found[0].remedy.startswith("state how dates are written")
    assert found[1].remedy.startswith("add the text to the map")
    assert group_rejects([]) == []


def test_a_row_that_several_rules_reject_is_counted_once() -> None:
    wrong = [("a.csv", line, f"occur_time: '3{line}/12/2024' is no date") for line in (4, 5) for _ in range(3)]
    ((file, number, line),) = [(group.file, group.number, group.line) for group in group_rejects(wrong)]
    assert (file, number, line) == ("a.csv", 2, 4)


def test_what_imports_really_reject_has_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(MAPPING)
    rows = ["id,shop,at,harm", "1,s1,2026-01-01,high", "1,s1,2026-01-01,high", "2,s1,01/02/2026,high"]
    rows += ["3,s1,2026-01-01,low", "4,,2026-01-01,high", "a b,s1,2026-01-01,high", "1,s2,2026-01-01,high"]
    (tmp_path / "cases.csv").write_text("\n".join(rows))
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", create=True) as ledger:
        mapping = mapping_of_file(tmp_path / "m.toml")
        first = import_files(ledger, mapping, tmp_path, lambda *_: None)
        again = import_files(ledger, mapping, tmp_path, lambda *_: None)
    assert (first.appended, first.already_present, first.repeated) == (1, 1, 1)
    assert (again.appended, again.already_present, again.repeated) == (0, 2, 0)
    groups = group_rejects(first.rejects)
    assert sorted(group.line for group in groups) == [4, 5, 6, 7, 8]
    for group in groups:
        assert group.remedy, group.reason
