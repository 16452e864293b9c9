"""Columns that count a file's earlier rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.base.errors import ConfigurationWrong
from scoring.entries.entry import Entry
from scoring.entries.kinds.account import IdentityVerified
from service.ingest.file_import import import_files
from service.ingest.mapping.cells import RowRejected
from service.ingest.mapping.rules import ForeignMapping, mapping_of
from service.ledger.store import Ledger

COLUMNS: dict[str, Any] = {
    "given": {"by": "{rater}"},
    "got": {"by": "{rater}", "among": "{shop}", "when": {"column": "stars", "above": 3}},
    "shops": {"by": "{rater}", "distinct": "shop"},
    "stars_given": {"by": "{rater}", "sum": "stars"},
}
SHOWN = {name: f"{{{name}}}" for name in COLUMNS}
Rating = tuple[int, str, str, int]
"""Day, rater, shop, stars."""


def mapping(columns: Any = COLUMNS, **changes: Any) -> ForeignMapping:
    rule = {"kind": "identity", "entry_id": "i-{line}", "seller": "s", "occur_time": "{day}", "attributes": SHOWN}
    so_far = {"at": "{day}", "columns": columns}
    file = {"path": "ratings.csv", "count_so_far": so_far, "entries": [rule]}
    return mapping_of({"marketplace": "acme", "files": [file | changes]})


def made(ratings: Sequence[Rating]) -> list[Entry | RowRejected]:
    rows = [
        {"day": f"2026-01-{day:02}", "rater": rater, "shop": shop, "stars": str(stars)}
        for day, rater, shop, stars in ratings
    ]
    return [entry for _, entry in mapping().files[0].entries(enumerate(rows, 2))]


def counts(entry: Entry | RowRejected) -> dict[str, int]:
    assert isinstance(entry, Entry), entry
    assert isinstance(entry.fact, IdentityVerified)
    return {name: int(value) for name, value in entry.fact.attributes.items()}


PEOPLE = st.sampled_from(["a", "b", "c", ""])


@given(st.lists(st.tuples(st.integers(1, 5), PEOPLE, PEOPLE, st.integers(1, 5)), max_size=30))
def test_each_column_counts_the_earlier_rows_and_no_others(ratings: list[Rating]) -> None:
    ratings.sort(key=lambda rating: rating[0])
    for rating, entry in zip(ratings, made(ratings), strict=True):
        day, rater, _, _ = rating
        before = [r for r in ratings if r[0] < day and rater]
        own = [r for r in before if r[1] == rater]
        assert counts(entry) == {
            "given": len(own),
            "got": sum(r[2] == rater and r[3] > 3 for r in before),
            "shops": len({r[2] for r in own if r[2]}),
            "stars_given": sum(r[3] for r in own),
        }


def test_a_row_out_of_order_is_rejected() -> None:
    """A row that lies before one above it is rejected and counts for nobody."""
    entries = made([(1, "a", "x", 5), (3, "a", "x", 5), (3, "a", "x", 5), (2, "a", "x", 5), (4, "a", "x", 5)])
    assert "lies before one above it, in line 3, " in str(entries[3])
    assert "sort the file by the time of count_so_far" in str(entries[3])
    assert counts(entries[4])["given"] == 3
    rows = [{"day": day, "rater": "a", "shop": "x", "stars": stars} for day, stars in (("soon", "5"), ("", "5"))]
    rows += [{"day": "2026-01-01", "rater": "a", "shop": "x", "stars": "five"}]
    rows += [{"day": "2026-01-02", "rater": "a", "shop": "x", "stars": "5"}]
    *wrong, (_, last) = mapping().files[0].entries(enumerate(rows, 2))
    assert [str(error).split(":")[0] for _, error in wrong] == ["at", "at", "stars"]
    assert counts(last)["given"] == 0


def test_one_wrong_date_costs_its_own_row_and_no_later_one() -> None:
    days = [2, 3, 4, 5]
    for place, wrong in [(0, 28), (2, 28), (3, 1)]:
        entries = made([(day, "a", "x", 5) for day in (*days[:place], wrong, *days[place:])])
        error = entries.pop(place)
        assert isinstance(error, RowRejected)
        assert str(error).startswith("at: the row lies ")
        assert [counts(entry)["given"] for entry in entries] == [0, 1, 2, 3]


def test_a_file_that_is_read_again_is_counted_anew() -> None:
    file = mapping().files[0]
    rows = [{"day": "2026-01-01", "rater": "a", "shop": "x", "stars": "5"}]
    for _ in range(2):
        ((_, entry),) = file.entries(enumerate(rows, 2))
        assert counts(entry)["given"] == 0


def test_counted_columns_are_no_columns_of_the_file() -> None:
    """Columns that are counted are no columns of the file and those that they read are."""
    file = mapping().files[0]
    assert file.asked == {"line", "day", "rater", "shop", "stars"}
    assert file.counts


@pytest.mark.parametrize(
    ("columns", "changes", "message"),
    [
        ({}, {}, "count_so_far.columns must name new columns"),
        ({"a": {"among": "{b}"}}, {}, "count_so_far.columns.a must give by"),
        ({"a": {"by": "{b}", "each": 1}}, {}, "each is no part of a mapping; there are among, by, distinct, sum, when"),
        ({"a": {"by": "{b}", "sum": "c", "distinct": "c"}}, {}, "at most one of distinct and sum"),
        ({"a": {"by": "{b}", "sum": 3}}, {}, "at most one of distinct and sum"),
        (COLUMNS, {"count_so_far": {"columns": COLUMNS}}, "must give at"),
        ({"a": {"by": "rater"}}, {}, 'columns.a.by is .rater., the same for every row.*write the column .* "{rater}"'),
        ({"a": {"by": "{b}", "among": 7}}, {}, "columns.a.among is 7, the same for every row"),
        (
            COLUMNS,
            {"count_so_far": {"at": "day", "columns": COLUMNS}},
            "count_so_far.at is 'day', and no time of a row",
        ),
        ({"a": {"by": "{b}"}, "c": {"by": "{a}"}}, {}, "reads {a}, which it counts itself"),
        ({"a": {"by": "{b}", "sum": "a"}}, {}, "reads {a}, which it counts itself"),
        ({"line": {"by": "{b}"}}, {}, "columns.line has the name of a column that is there already"),
        (
            COLUMNS,
            {"join": [{"path": "shops.csv", "on": "shop", "take": ["given"]}]},
            "columns.given has the name of a",
        ),
    ],
)
def test_a_count_that_cannot_be_made_is_refused(columns: Any, changes: Any, message: str) -> None:
    with pytest.raises(ConfigurationWrong, match=message):
        mapping(columns, **changes)


def test_rows_without_a_seller_cannot_be_counted() -> None:
    """Rows that find their seller by the match cannot be counted. They return one by one from the queue, without the
    rows before them.
    """
    rule = {"kind": "identity", "entry_id": "i-{line}", "seller": "{@seller}", "occur_time": "{day}"}
    match = {"identifiers": [{"attribute": "a", "value": "{b}"}]}
    with pytest.raises(ConfigurationWrong, match="count_so_far: rows that find their seller by the match"):
        mapping(entries=[rule], match=match)


def test_a_column_of_the_file_is_not_overwritten_in_silence(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("day,rater,shop,stars,given\n2026-01-01,a,x,5,7\n")
    with (
        Ledger.open(f"sqlite:///{tmp_path}/ledger.db", create=True) as ledger,
        pytest.raises(ConfigurationWrong, match=r"ratings.csv has a column 'given', and count_so_far .* that name"),
    ):
        import_files(ledger, mapping(), tmp_path, lambda *_: None)
