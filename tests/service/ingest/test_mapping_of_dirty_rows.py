from typing import Any

import pytest

from tests.helpers.mapped_rows import EXPOSURE, IDENTITY, ROW, VIOLATION, entries, entry, rejection


@pytest.mark.parametrize(
    ("condition", "text", "reason"),
    [
        ({"below": 3}, "1,200", "c: '1,200' is not a number, which a condition asks for"),
        ({"above": 3}, "nan", "c: 'nan' is not a number"),
        ({"above": 3}, "1e999", "c: '1e999' is not a number"),
        (
            {"after": "1900-01-02"},
            "2022-02-30",
            "c: '2022-02-30' is no date or time of the form that the mapping states",
        ),
        ({"before": "{other}"}, "2022-02-03", "c: '?' is no date or time"),
    ],
)
def test_a_cell_that_a_condition_cannot_read_is_told(condition: dict[str, Any], text: str, reason: str) -> None:
    rule = IDENTITY | {"occur_time": "2026-01-01", "when": {"column": "c"} | condition}
    row = ROW | {"c": text, "other": "?"}
    assert rejection(rule, row).startswith(reason)
    first = {"column": "c", "not_in": [text]}
    assert entries([rule | {"when": [first, {"column": "c"} | condition]}], row) == []


def test_blanks_around_a_column_go_wherever_it_stands() -> None:
    rule = VIOLATION | {"entry_id": "v-{shop}-{case}-c"}
    assert entry(rule, ROW | {"shop": "s-1 ", "case": " 7"}).entry_id == "v-s-1-7-c"


def test_an_empty_cell_is_no_value_that_is_counted() -> None:
    rule = EXPOSURE | {"settled_orders": {"count": "case"}}
    for cases, number in ((["1", " ", "2", "1 "], 2), (["", " "], 0)):
        ((_, made),) = entries([rule], *(ROW | {"case": case} for case in cases))
        assert made.fact.settled_orders == number
