from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.base.canonical import JsonObject
from scoring.base.errors import ConfigurationWrong
from scoring.base.time import DAY, format_time, parse_day, parse_time
from scoring.entries.entry import Entry
from service.ingest.mapping.dates import Dates, add_days
from service.ingest.mapping.rules import MappedFile, compile_mapping
from tests.helpers.mapped_rows import EXPOSURE, IDENTITY, ROW, VIOLATION

SAO_PAULO: JsonObject = {"format": "%Y-%m-%d %H:%M:%S", "offset": "-03:00"}


def file_of(*rules: Mapping[str, Any], **stated: Any) -> MappedFile:
    return compile_mapping(
        {"marketplace": "acme", "files": [{"path": "r.csv", "entries": list(rules), **stated}]}
    ).files[0]


def made(rules: Mapping[str, Any] | list[Mapping[str, Any]], *rows: Mapping[str, str], **stated: Any) -> list[Any]:
    file = file_of(*(rules if isinstance(rules, list) else [rules]), **stated)
    return [e if isinstance(e, Entry) else str(e) for _, e in file.entries(enumerate(rows, 2))]


def refused(**stated: Any) -> str:
    with pytest.raises(ConfigurationWrong) as caught:
        file_of(VIOLATION, **stated)
    return caught.value.message


@pytest.mark.parametrize(
    ("dates", "text", "moment"),
    [
        (SAO_PAULO, "2017-10-02 10:56:33", "2017-10-02T13:56:33Z"),
        (SAO_PAULO, "2017-10-02T10:56:33Z", "2017-10-02T10:56:33Z"),
        ("%d/%m/%Y", "02/10/2017", "2017-10-02"),
        (["%m/%d/%Y", "%d.%m.%y"], "2.10.17", "2017-10-02"),
        ("epoch_seconds", "1289241911.72836", "2010-11-08T18:45:11.728360Z"),
        ("epoch_milliseconds", "1289241911728", "2010-11-08T18:45:11.728000Z"),
        ("%Y-%m-%dT%H:%M:%S%z", "2017-10-02T10:56:33-0300", "2017-10-02T13:56:33Z"),
        ({"offset": "+02:00"}, "2017-10-02T10:56:33", "2017-10-02T08:56:33Z"),
        ({"offset": "+02:00"}, "2017-10-02", "2017-10-02"),
    ],
)
def test_dates_are_read_in_the_forms_that_the_mapping_states(dates: Any, text: str, moment: str) -> None:
    (entry,) = made(VIOLATION, ROW | {"when": text}, dates=dates)
    assert entry.occur_time == parse_time(moment)
    whole = compile_mapping(
        {"marketplace": "acme", "dates": dates, "files": [{"path": "r.csv", "entries": [VIOLATION]}]}
    )
    ((_, same),) = whole.files[0].entries([(2, ROW | {"when": text})])
    assert same == entry


def test_a_date_in_any_form_is_known_at_the_end_of_its_day() -> None:
    (entry,) = made(VIOLATION, ROW | {"when": "02/10/2017"}, dates="%d/%m/%Y")
    assert entry.report_time == (parse_day("2017-10-02") + 1) * DAY - 1
    (entry,) = made(VIOLATION, ROW | {"when": "2017-10-02 10:56:33"}, dates=SAO_PAULO)
    assert entry.report_time == entry.occur_time


def test_a_date_of_no_stated_form_is_rejected() -> None:
    for text in ("31/02/2017", "2017/10/02", "soon"):
        assert made(VIOLATION, ROW | {"when": text}, dates="%d/%m/%Y") == [
            f"occur_time: {text!r} is not of the form %d/%m/%Y"
        ]
    for text in ("-1", "1e99", "NaN", "Infinity", "x"):
        (reason,) = made(VIOLATION, ROW | {"when": text}, dates="epoch_seconds")
        assert reason == f"occur_time: {text!r} is not of the form epoch_seconds"


def test_wrong_dates_are_refused_before_any_row_is_read() -> None:
    assert refused(dates="%Y-%m-%d %H:%M") == (
        'files[0].dates has times; add their offset from UTC, such as offset = "+00:00"'
    )
    for wrong in ("RFC 822", 7, {}, {"form": "%Y"}, ["%Y", 1]):
        assert refused(dates=wrong).startswith("files[0].dates must be a format such as %d/%m/%Y")
    for offset in ("UTC", "3", "+25:00", "+01:60", 3):
        assert refused(dates=SAO_PAULO | {"offset": offset}).startswith("files[0].dates.offset must be an offset")


@pytest.mark.long
@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)).map(lambda d: d.replace(microsecond=0)),  # noqa: DTZ001
    st.integers(-14 * 60, 14 * 60),
    st.integers(-400, 400),
)
def test_reading_a_time_is_what_python_says_of_it(moment: datetime, minutes: int, days: int) -> None:
    offset = timezone(timedelta(minutes=minutes))
    text = Dates(("%d.%m.%Y %H-%M-%S",), offset).canonical(moment.strftime("%d.%m.%Y %H-%M-%S"))
    utc = moment.replace(tzinfo=offset).astimezone(UTC)
    assert datetime.fromisoformat(text) == utc
    assert datetime.fromisoformat(add_days(text, days)) == utc + timedelta(days=days)
    assert add_days(text[:10], days) == (utc.date() + timedelta(days=days)).isoformat()


def test_a_day_is_the_utc_day_of_a_time() -> None:
    rule = EXPOSURE | {"entry_id": "x-{shop}-{when:day}", "day": "{when}", "settled_orders": {"count": "case"}}
    rows = [
        {"case": "1", "shop": "s", "when": "2017-10-01 22:00:00"},
        {"case": "2", "shop": "s", "when": "2017-10-02 10:00:00"},
        {"case": "2", "shop": "s", "when": "2017-10-02 10:00:00"},
    ]
    (entry,) = made(rule, *rows, dates=SAO_PAULO)
    assert (entry.entry_id, entry.fact.day, entry.fact.settled_orders) == ("x-s-2017-10-02", parse_day("2017-10-02"), 2)
    assert made(rule, ROW | {"when": "soon"}, dates="%d/%m/%Y") == ["when: 'soon' is not of the form %d/%m/%Y"]


def test_a_date_can_be_some_days_later_than_its_column() -> None:
    settled = EXPOSURE | {"day": {"column": "when", "plus_days": 14}, "settled_orders": 1}
    (entry,) = made(settled, ROW)
    assert entry.fact.day == parse_day("2026-03-15")
    known = IDENTITY | {"level": "none", "occur_time": {"column": "when", "plus_days": -1}}
    (entry,) = made(known, ROW | {"when": "02/10/2017"}, dates="%d/%m/%Y")
    assert format_time(entry.occur_time) == "2017-10-01T00:00:00Z"
    (reason,) = made(known, ROW | {"when": "soon"})
    assert reason.startswith("occur_time: 'soon' is not a time")


@pytest.mark.parametrize(
    ("delivered", "promised", "found"),
    [
        ("2017-10-02 10:00:00", "2017-10-02 09:59:59", True),
        ("2017-10-02 10:00:00", "2017-10-02 10:00:00", False),
        ("2017-10-02 10:00:00", "", False),
        ("", "2017-10-02 10:00:00", False),
    ],
)
def test_a_violation_follows_from_a_date_later_than_another(delivered: str, promised: str, *, found: bool) -> None:
    late = VIOLATION | {"occur_time": "{delivered}", "when": {"column": "delivered", "after": "{promised}"}}
    row = {"case": "1", "shop": "s", "delivered": delivered, "promised": promised}
    assert len(made(late, row, dates=SAO_PAULO)) == found
    grace = late | {"when": {"column": "delivered", "after": {"column": "promised", "plus_days": -1}}}
    assert len(made(grace, row, dates=SAO_PAULO)) == bool(delivered and promised)


def test_violations_follow_from_numbers_and_texts() -> None:
    low = VIOLATION | {"when": {"column": "n", "below": 0}}
    assert [len(made(low, ROW | {"n": n})) for n in ("-0.5", "-10", "0", "3", "")] == [1, 1, 0, 0, 0]
    closed = VIOLATION | {"when": {"column": "n", "contains": "losed"}}
    assert [len(made(closed, ROW | {"n": n})) for n in ("Establishment Closed.", "closed", "open", "")] == [1, 1, 0, 0]


def test_amounts_become_whole_cents_and_are_summed() -> None:
    rule = EXPOSURE | {
        "settled_orders": {"count": "case"},
        "units": {"sum": "n"},
        "value_minor": {"sum": "price", "multiply": 100},
        "currency": "BRL",
    }
    rows = [
        ROW | {"case": str(k), "n": n, "price": p} for k, n, p in ((1, "2", "58.90"), (2, "", "0.1"), (2, "1", "0.2"))
    ]
    (entry,) = made(rule, *rows)
    assert (entry.fact.settled_orders, entry.fact.units, entry.fact.value_minor) == (2, 3, 5920)
    one = EXPOSURE | {"settled_orders": 1, "value_minor": {"column": "price", "multiply": 100}, "currency": "BRL"}
    (entry,) = made(one, ROW | {"price": "58.90"})
    assert entry.fact.value_minor == 5890
    for text in ("a lot", "NaN", "1e999"):
        assert made(one, ROW | {"price": text})[0].startswith(f"value_minor: {text!r} is not a number")
        assert made(rule, ROW | {"n": "1", "price": text})[0].startswith(f"value_minor: {text!r} is not a number")


def test_columns_of_another_file_are_joined_by_a_key() -> None:
    (join,) = file_of(VIOLATION, join=[{"path": "o.csv", "on": "order", "key": "id", "take": ["shop", "late"]}]).joins
    others = [{"id": "1", "late": "no", "shop": "x"}, {"id": " 1", "late": "yes", "shop": "x"}]
    rows = [(2, {"order": "1", "shop": "s"}), (3, {"order": "2", "shop": "s"})]
    index = join.index(enumerate(others, 2))
    assert list(join.joined(rows, index)) == [
        (2, {"order": "1", "shop": "s", "late": "yes"}),
        (3, {"order": "2", "shop": "s", "late": ""}),
    ]
    with pytest.raises(ConfigurationWrong, match=r"o\.csv, which the mapping joins: there is no column 'late'"):
        join.index([(2, {"id": "1", "shop": "x"})])


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"join": "o.csv"}, "files[0].join must be a list of tables"),
        (
            {"join": [{"path": "o.csv", "on": "order"}]},
            "files[0].join[0].take must be a list",
        ),
        (
            {"join": [{"path": "o.csv", "on": "order", "take": "late"}]},
            "files[0].join[0].take must be a list",
        ),
        (
            {"join": [{"path": "o.csv", "on": "order", "take": ["late"], "how": "left"}]},
            "files[0].join[0].how is not a part of a mapping",
        ),
        ({"columns": "a"}, "files[0].columns must be a list of one or more of the columns of a file"),
        ({"columns": ["a", "a"]}, "files[0].columns must name the columns of a file without a header, each once"),
    ],
)
def test_a_wrong_file_is_refused_by_its_place(stated: JsonObject, message: str) -> None:
    assert refused(**stated).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"occur_time": {"column": "a", "plus_days": 1.5}}, "files[0].entries[0].occur_time.plus_days must be a whole"),
        ({"harm": {"column": "a", "multiply": "2"}}, "files[0].entries[0].harm.multiply must be a number"),
        (
            {"harm": {"column": "a", "multiply": 2, "plus_days": 1}},
            "files[0].entries[0].harm must be a table of column and one",
        ),
        (
            {"when": {"column": "a", "after": {"column": "b", "days": 1}}},
            "files[0].entries[0].when.after.days is not a part",
        ),
        ({"when": {"column": "a", "contains": 7}}, "files[0].entries[0].when.contains must be a text, not 7"),
    ],
)
def test_a_wrong_change_of_a_column_is_refused_by_its_place(change: JsonObject, message: str) -> None:
    with pytest.raises(ConfigurationWrong) as caught:
        file_of(VIOLATION | change)
    assert caught.value.message.startswith(message)


def test_a_wrong_sum_is_refused_by_its_place() -> None:
    for wrong, named in (
        ({"count": "a", "sum": "b"}, "count"),
        ({"count": "a", "multiply": 2}, "multiply"),
        ({"sum": 3}, "sum"),
        ({"sum": "a", "of": "b"}, "of"),
    ):
        with pytest.raises(ConfigurationWrong, match=rf"files\[0\]\.entries\[0\]\.settled_orders\.{named} "):
            file_of(EXPOSURE | {"settled_orders": wrong})
