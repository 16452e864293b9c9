from collections.abc import Mapping
from typing import Any

import pytest

from scoring.base.canonical import JsonObject
from scoring.base.enums import Action, Harm, IdentityLevel, Severity, Source
from scoring.base.errors import ConfigurationWrong
from scoring.base.time import DAY, parse_day, parse_time
from scoring.entries.entry import Entry
from scoring.entries.kinds.account import IdentityVerified
from scoring.entries.kinds.conduct import StatusChanged, ViolationReported
from scoring.entries.kinds.trade import ExposureStated
from service.ingest.mapping.cells import RowRejected
from service.ingest.mapping.rules import compile_mapping
from tests.helpers.mapped_rows import EXPOSURE, IDENTITY, ROW, VIOLATION, entries, entry, mapping, rejection

STATUS: JsonObject = {
    "kind": "status",
    "entry_id": "d-{case}",
    "seller": "",
    "violation": "v-{case}",
    "action": "{act}",
    "actor": "staff",
    "reason": "seen",
}


def refusal(rule: Mapping[str, Any]) -> str:
    with pytest.raises(ConfigurationWrong) as caught:
        mapping(rule)
    return str(caught.value)


def test_a_text_is_filled_with_columns_and_line() -> None:
    made = entry(VIOLATION | {"entry_id": "v-{shop}-{case}-{line}"})
    assert made == Entry(
        "v-s-7-2",
        "s",
        ViolationReported("counterfeit_goods", Harm.HIGH, Source.BRAND),
        occur_time=parse_time("2026-03-01T10:00:00Z"),
        report_time=parse_time("2026-03-01T10:00:00Z"),
    )


def test_blanks_around_a_cell_are_not_part_of_it() -> None:
    assert entry(VIOLATION, ROW | {"shop": " s ", "case": "7"}).seller == "s"


def test_every_kind_of_entry_can_be_mapped() -> None:
    made = entry(
        VIOLATION
        | {"incident": "{shop}-1", "notifier": "n", "final": True, "identifier_verified": "{yes}", "listing": "l"},
        ROW | {"yes": "Yes"},
    )
    assert made.fact == ViolationReported(
        "counterfeit_goods", Harm.HIGH, Source.BRAND, "s-1", "n", final=True, identifier_verified=True, listing="l"
    )
    reduced = entry(STATUS | {"severity": "minor"}, ROW | {"act": "reduce"})
    assert reduced.fact == StatusChanged("v-7", Action.REDUCE, "staff", "seen", Severity.MINOR)
    assert (reduced.seller, reduced.occur_time, reduced.report_time) == ("", None, None)
    sold = entry(EXPOSURE | {"settled_orders": "{n}", "late": 1, "currency": "CNY", "revision": 2}, ROW | {"n": "20.0"})
    assert sold.fact == ExposureStated(parse_day("2026-03-01"), 20, currency="CNY", late=1, revision=2)
    known = entry(IDENTITY | {"level": "basic", "attributes": {"kind": "{act}", "empty": "{none}"}}, ROW | {"none": ""})
    assert known.fact == IdentityVerified(IdentityLevel.BASIC, attributes={"kind": "confirm"})


def test_a_map_translates_a_column() -> None:
    harm = {"column": "grade", "map": {"3": "extreme"}}
    assert entry(VIOLATION | {"harm": harm}, ROW | {"grade": " 3 "}).fact.harm is Harm.EXTREME
    assert entry(VIOLATION | {"harm": harm | {"default": "low"}}, ROW | {"grade": "x"}).fact.harm is Harm.LOW
    assert rejection(VIOLATION | {"harm": harm}, ROW | {"grade": "x"}) == "harm: 'x' in column grade is not in the map"


def test_a_default_stands_for_an_empty_cell() -> None:
    rule = EXPOSURE | {"settled_orders": {"column": "n", "default": 0}, "revision": {"column": "r", "default": 3}}
    fact = entry(rule, ROW | {"n": "", "r": ""}).fact
    assert fact == ExposureStated(parse_day("2026-03-01"), 0, revision=3)
    assert entry(VIOLATION | {"listing": {"column": "l", "default": 0}}, ROW | {"l": ""}).fact.listing == "0"
    final = VIOLATION | {"final": {"column": "f", "map": {"y": True}, "default": False}}
    assert [entry(final, ROW | {"f": text}).fact.final for text in "yn"] == [True, False]


@pytest.mark.parametrize(
    ("condition", "passing", "failing"),
    [
        ({"equals": "1"}, ["1", " 1 "], ["", "01", "2"]),
        ({"equals": 1}, ["1"], ["true"]),
        ({"equals": True}, ["true"], ["True", "1"]),
        ({"in": ["a", 2]}, ["a", "2"], ["", "b"]),
        ({"not_in": ["a", 2]}, ["b", ""], ["a", " a", "2"]),
        ({"filled": True}, ["x", "0"], ["", "  "]),
        ({"filled": False}, ["", "  "], ["x"]),
        ({"below": 3}, ["2.9", "-4"], ["3", ""]),
        ({"above": 3}, ["3.1", "1e2"], ["3", ""]),
        ({"before": "2026-03-01"}, ["2026-02-28", "2026-02-28T23:59:59Z"], ["2026-03-01", "2026-03-02", ""]),
        ({"after": "2026-03-01"}, ["2026-03-01T00:00:01Z"], ["2026-03-01", ""]),
        ({"before": "{day}"}, ["2026-02-28"], ["2026-03-01"]),
        ({"after": "{day}"}, ["2026-03-02"], ["2026-03-01"]),
    ],
)
def test_a_rule_applies_where_its_condition_holds(
    condition: JsonObject, passing: list[str], failing: list[str]
) -> None:
    rule = IDENTITY | {"occur_time": "2026-01-01", "when": {"column": "c"} | condition}
    for text in passing:
        assert len(entries([rule], ROW | {"c": text})) == 1, text
    for text in failing:
        assert entries([rule], ROW | {"c": text}) == [], text


def test_one_row_may_give_several_entries() -> None:
    both = VIOLATION | {"when": [{"column": "a", "equals": "1"}, {"column": "b", "equals": "1"}]}
    rows = [ROW | {"a": "1", "b": "1", "case": "1"}, ROW | {"a": "1", "b": "0", "case": "2"}]
    made = entries([both, IDENTITY], *rows)
    assert [(line, e.entry_id) for line, e in made if isinstance(e, Entry)] == [(2, "v-1"), (2, "i-s"), (3, "i-s")]


def test_a_date_is_known_at_the_end_of_its_day() -> None:
    end = (parse_day("2026-03-01") + 1) * DAY - 1
    violation = entry(VIOLATION, ROW | {"when": "2026-03-01"})
    assert (violation.occur_time, violation.report_time) == (parse_time("2026-03-01"), end)
    assert entry(EXPOSURE).report_time == end
    assert entry(EXPOSURE).occur_time is None
    moment = "2026-03-01T10:00:00Z"
    assert entry(VIOLATION).report_time == parse_time(moment)
    learned = VIOLATION | {"report_time": "{learned}"}
    assert entry(learned, ROW | {"learned": "2026-03-01"}).report_time == end
    assert entry(learned, ROW | {"learned": "2026-03-05T00:00:00Z"}).report_time == parse_time("2026-03-05T00:00:00Z")
    assert entry(learned, ROW | {"learned": ""}).report_time == parse_time(moment)


def test_exposure_counts_distinct_values() -> None:
    rule = EXPOSURE | {
        "settled_orders": {"count": "order"},
        "late": {"count": "order", "when": {"column": "late", "equals": "1"}},
    }
    cells = [("a", "1", "0"), ("b", "1", "1"), ("a", "1", "1"), ("a", "2", "0"), ("a", "3", "1")]
    made = entries([rule], *(ROW | {"shop": shop, "order": order, "late": late} for shop, order, late in cells))
    day = parse_day("2026-03-01")
    assert [(line, e.seller, e.fact) for line, e in made if isinstance(e, Entry)] == [
        (2, "a", ExposureStated(day, 3, late=2)),
        (3, "b", ExposureStated(day, 1, late=1)),
    ]


def test_a_row_that_cannot_be_counted_leaves_no_entry_of_its_own() -> None:
    rule = EXPOSURE | {"settled_orders": {"count": "order", "when": {"column": "absent", "filled": True}}}
    ((line, made),) = entries([rule], ROW | {"order": "1"})
    assert isinstance(made, RowRejected)
    assert line == 2


def test_counting_begins_anew_with_every_pass() -> None:
    file = mapping(EXPOSURE | {"settled_orders": {"count": "order"}}, IDENTITY).files[0]
    rows = [(2, ROW | {"order": "1"}), (3, ROW | {"order": "2", "shop": "t"})]
    next(file.entries(rows))
    assert [e.entry_id for _, e in file.entries(rows[1:]) if isinstance(e, Entry)] == ["i-t", "x-t-2026-03-01"]


@pytest.mark.parametrize(
    ("rule", "row", "message"),
    [
        (VIOLATION, {"when": "yesterday"}, "occur_time: 'yesterday' is not a time such as 2026-03-01T12:00:00Z"),
        (VIOLATION, {"when": "2026-03-01 10:00"}, "occur_time: '2026-03-01 10:00' has no offset from UTC"),
        (VIOLATION, {"when": "2026-02-30"}, "occur_time: "),
        (VIOLATION | {"report_time": "{act}"}, {}, "report_time: 'confirm' is not a time"),
        (VIOLATION | {"harm": "{act}"}, {}, "harm: 'confirm' is unknown. Use low, medium, high or extreme."),
        (VIOLATION | {"source": "{act}"}, {}, "source: 'confirm' is unknown. Use court, police"),
        (VIOLATION | {"final": "{act}"}, {}, "final: 'confirm' is neither true nor false"),
        (VIOLATION | {"listing": "{gone}"}, {}, "there is no column 'gone'; the file has case, shop, when"),
        (VIOLATION | {"when": {"column": "gone", "filled": True}}, {}, "there is no column 'gone'"),
        (STATUS, {"act": "pardon"}, "action: 'pardon' is unknown. Use review, confirm"),
        (IDENTITY | {"level": ""}, {}, "level: '' is unknown. Use none, basic"),
        (EXPOSURE, {"day": "1 March"}, "day: '1 March' is not a date of the form YYYY-MM-DD"),
        (EXPOSURE | {"settled_orders": "{act}"}, {}, "settled_orders: 'confirm' is not a whole number"),
        (EXPOSURE | {"settled_orders": "{act}"}, {"act": "1.5"}, "settled_orders: '1.5' is not a whole number"),
        (EXPOSURE | {"units": "{act}"}, {"act": "nan"}, "units: 'nan' is not a whole number"),
        (EXPOSURE | {"units": "{act}"}, {"act": "1e999"}, "units: '1e999' is not a whole number"),
    ],
)
def test_an_unreadable_row_is_rejected_by_field(rule: JsonObject, row: dict[str, str], message: str) -> None:
    assert rejection(rule, ROW | row).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"kind": "rumour"},
            "files[0].entries[0].kind must be one of violation, status, exposure, identity, attribution",
        ),
        (
            {"harms": "high"},
            "files[0].entries[0].harms is not a part of a mapping; did you mean harm?",
        ),
        (
            {"harm": ["high"]},
            "files[0].entries[0].harm must be a text, a number, or a table: of column and one of map, plus_days",
        ),
        (
            {"harm": "{grade"},
            "files[0].entries[0].harm must name a column as {COLUMN}, not '{grade'",
        ),
        ({"harm": "grade}"}, "files[0].entries[0].harm must name a column as {COLUMN}, not 'grade}'"),
        (
            {"harm": {"column": "a", "maps": {}}},
            "files[0].entries[0].harm.maps is not a part",
        ),
        ({"harm": {"column": "a", "map": ["b"]}}, "files[0].entries[0].harm.map must be a table"),
        ({"when": "a = 1"}, "files[0].entries[0].when must be a list of tables"),
        ({"when": ["a"]}, "files[0].entries[0].when must be a list of tables"),
        ({"when": {"equals": "1"}}, "files[0].entries[0].when.column must name a column"),
        ({"when": {"column": "a", "like": "1"}}, "files[0].entries[0].when must give column and one of"),
        ({"when": {"column": "a", "above": 1, "below": 2}}, "files[0].entries[0].when must give column and one of"),
        ({"when": {"column": "a", "in": "abc"}}, "files[0].entries[0].when.in must be a list, not 'abc'"),
        ({"when": {"column": "a", "below": "3"}}, "files[0].entries[0].when.below must be a number, not '3'"),
        ({"when": {"column": "a", "above": True}}, "files[0].entries[0].when.above must be a number, not True"),
        ({"when": {"column": "a", "filled": "no"}}, "files[0].entries[0].when.filled must be true or false, not 'no'"),
        ({"when": {"column": "a", "before": "2026-13-01"}}, "files[0].entries[0].when.before must be a time, a date"),
    ],
)
def test_a_wrong_rule_is_refused_by_its_place(change: JsonObject, message: str) -> None:
    found = refusal(VIOLATION | change)
    assert found.startswith(message)
    assert found.count("entries[0].harm ") <= 1


def test_a_rule_must_name_what_its_kind_needs() -> None:
    for rule, missing in (
        ({"kind": "violation"}, ["entry_id", "seller", "occur_time", "violation_type", "harm", "source"]),
        ({"kind": "exposure", "seller": "s", "entry_id": "x"}, ["day"]),
        ({name: value for name, value in STATUS.items() if name not in ("actor", "reason")}, ["actor", "reason"]),
    ):
        assert refusal(rule) == "; ".join(f"files[0].entries[0].{name} is missing" for name in missing)
    mapping(IDENTITY, EXPOSURE)
    assert refusal(EXPOSURE | {"occur_time": "{day}"}).startswith("files[0].entries[0].occur_time is not a part")
    assert refusal(IDENTITY | {"attributes": "a"}).startswith("files[0].entries[0].attributes must be a table")
    wrong_attribute = refusal(IDENTITY | {"attributes": {"a": []}})
    assert wrong_attribute.startswith("files[0].entries[0].attributes.a must be")
    wrong_count = refusal(EXPOSURE | {"settled_orders": {"count": "a", "wen": {}}})
    assert wrong_count == "files[0].entries[0].settled_orders.wen is not a part of a mapping; did you mean when?"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "marketplace must be given as text.*; files must be a list of one or more tables"),
        ({"marketplace": "acme", "files": []}, "files must be a list of one or more tables"),
        ({"marketplace": "acme", "files": {"path": "x"}}, "files must be a list of tables"),
        ({"marketplace": "no id", "files": [{}]}, "marketplace must be 1 to 128 characters"),
        ({"marketplace": "acme", "files": [{}]}, r"files\[0\]\.path must be given.*files\[0\]\.entries must be a list"),
        ({"marketplace": "acme", "files": [{"path": "a", "entries": ["x"]}]}, r"files\[0\]\.entries must be a list"),
        ({"marketplace": "acme", "file": 1, "files": [{}]}, "file is not a part of a mapping; did you mean files"),
    ],
)
def test_a_mapping_without_its_frame_is_refused(data: JsonObject, message: str) -> None:
    with pytest.raises(ConfigurationWrong, match=message):
        compile_mapping(data)


@pytest.mark.parametrize("text", ["19.99", "1999.00", "20.0", "1e3", "1,999"])
def test_an_amount_in_minor_units_is_digits_alone(text: str) -> None:
    """1999.00 could be cents or euros; a count of 12.0 is valid."""
    rule = EXPOSURE | {"settled_orders": "{n}", "value_minor": "{v}", "currency": "EUR"}
    assert rejection(rule, ROW | {"n": "12", "v": text}).startswith(f"value_minor: {text!r} is not an amount in minor")
    assert "write 19.99 EUR as 1999 (cents)" in rejection(rule, ROW | {"n": "12", "v": text})
    assert entry(rule, ROW | {"n": "12.0", "v": "1999"}).fact.value_minor == 1999


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            VIOLATION | {"harm": "hi"},
            "entries[0].harm cannot be used: 'hi' is unknown. Use low, medium, high or extreme.",
        ),
        (
            VIOLATION | {"harm": {"column": "grade", "map": {"-10": "hi"}}},
            "entries[0].harm.map.-10 cannot be used: 'hi' is unknown. Use low, medium, high or extreme.",
        ),
        (
            VIOLATION | {"harm": {"column": "grade", "map": {"1": "low"}, "default": "none"}},
            "entries[0].harm.default cannot be used: 'none' is unknown. Use low, medium, high or extreme.",
        ),
        (
            VIOLATION | {"violation_type": "fraud"},
            "violation_type cannot be used: 'fraud' is no violation type; see docs",
        ),
        (STATUS | {"actor": "my staff"}, "entries[0].actor cannot be used: 'my staff' must be 1 to 128 characters of"),
        (VIOLATION | {"final": "maybe"}, "entries[0].final cannot be used: 'maybe' is neither true nor false"),
        (EXPOSURE | {"settled_orders": -1}, "entries[0].settled_orders cannot be used: '-1' must be 0 to"),
    ],
)
def test_a_value_that_no_row_mends_is_refused(rule: Mapping[str, Any], message: str) -> None:
    assert message in refusal(rule)


def test_what_is_wrong_with_several_rules_is_told_at_once() -> None:
    with pytest.raises(ConfigurationWrong) as caught:
        mapping(VIOLATION | {"harm": "hi", "source": "me"}, EXPOSURE | {"late": "many"}, {"kind": "none"})
    for part in (
        "[0].harm cannot be used: 'hi'",
        "[0].source cannot be used: 'me'",
        "[1].late cannot be used: 'many'",
        "entries[2].kind must be one of",
    ):
        assert part in caught.value.message


def test_the_first_of_several_columns_that_is_not_empty_is_taken() -> None:
    rule = VIOLATION | {"brand": {"first": ["mark", "owner"], "default": "nobody"}}

    def brand(mark: str, owner: str) -> str:
        fact = entry(rule, ROW | {"mark": mark, "owner": owner}).fact
        assert isinstance(fact, ViolationReported)
        return fact.brand

    assert [brand("a", "b"), brand(" ", "b"), brand("", "")] == ["a", "b", "nobody"]
    assert "there is no column 'mark'" in rejection(rule)
    assert "entries[0].brand.first must be a list" in refusal(VIOLATION | {"brand": {"first": "mark"}})
