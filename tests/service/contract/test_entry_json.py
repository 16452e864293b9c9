import json
from typing import Any

import pytest

from scoring.base.errors import InvalidInput
from scoring.base.time import parse_time
from scoring.entries.kinds.table import KINDS
from service.contract.entry_json import entry_of_json, json_of_entry
from service.contract.fields import timestamp
from service.ingest.sources.payload import entry_from_json
from tests.helpers.kinds import every_entry, message_of

SOLD = {"day": "2026-01-01", "settled_orders": 3, "currency": "EUR"}


def said(text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        entry_from_json(text, "acme")
    return caught.value.message


def entry(**values: Any) -> str:
    return json.dumps({"entry_id": "e", "seller": "s"} | values)


@pytest.mark.parametrize("written", ["19.99", "1999.00", "20.0", "1e3", '"1999.00"', '"1e3"'])
@pytest.mark.parametrize("name", ["value_minor", "valueMinor"])
def test_an_amount_in_minor_units_has_neither_point_nor_exponent(name: str, written: str) -> None:
    text = entry(exposure=SOLD | {name: "AMOUNT"}).replace('"AMOUNT"', written)
    assert "write 19.99 EUR as 1999 (cents)" in said(text)
    sound = entry_from_json(entry(exposure=SOLD | {name: "1999", "settled_orders": 3.0}), "acme")
    assert (sound.fact.value_minor, sound.fact.settled_orders) == (1999, 3)  # type: ignore[union-attr]


def test_every_unknown_word_is_named_with_the_known_ones() -> None:
    tried = 0
    for row in KINDS.values():
        for field in row.fields:
            if field.shape.words is None:
                continue
            *others, last = (name.lower() for name in field.shape.words.__members__)
            problem = f"{row.kind.word}.{field.name}: 'odd' is unknown. Use {', '.join(others)} or {last}."
            assert problem in said(entry(**{row.kind.word: {field.name: "odd"}}))
            tried += 1
    assert tried > 10


def test_a_date_is_its_first_moment_and_as_report_time_its_last() -> None:
    made = entry_from_json(
        entry(occur_time="2026-03-01", report_time="2026-03-02", identity={"level": "basic"}), "acme"
    )
    assert made.occur_time == parse_time("2026-03-01T00:00:00Z")
    assert made.report_time == parse_time("2026-03-02T23:59:59.999999Z")


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ({"violaton": {}}, "violaton is no field. Did you mean violation"),
        ({"violation": {"violation_tipe": "x"}}, "violation.violation_tipe is no field. Did you mean violation_type?"),
        ({"exposure": SOLD | {"zzz": 1}}, "exposure.zzz is no field. Known are day, product_category, "),
        ({"occurTime": "x"}, "occur_time: 'x' is no time. Write it like 2026-06-20T10:00:00Z."),
        ({"seller": {"a": 1}}, "seller field"),
    ],
)
def test_a_mistyped_name_is_named_with_close_ones(written: dict[str, Any], problem: str) -> None:
    assert problem in said(entry(**written))


def test_a_date_that_there_is_not_is_named() -> None:
    assert "occur_time: '2026-99-01' is no date: month must be in 1..12" in said(entry(occur_time="2026-99-01"))
    assert "form YYYY-MM-DD, not '2026-99-01'" in said(entry(exposure=SOLD | {"day": "2026-99-01"}))


def test_a_seller_that_is_missing_is_required() -> None:
    assert "seller: is required" in said(json.dumps({"entry_id": "e", "exposure": SOLD}))


def test_every_kind_is_read_as_it_was_printed() -> None:
    for kind, made in every_entry("said \u00e4"):
        message = message_of(made, kind)
        message.sequence, message.origin, message.pending, message.erased = 2**53, "x", True, True
        message.report_time.CopyFrom(timestamp(made.occur_time or 7))
        message.record_time.CopyFrom(timestamp(1_700_000_000_123_456))
        printed = json_of_entry(message)
        assert entry_of_json(json.dumps(printed), "acme") == message, kind
        assert printed["sequence"] == 2**53
        assert "/" not in printed.get("seller", "")
        facts = printed[kind.word]
        assert not [
            n for f in KINDS[kind].fields if f.shape.kind == "count" and isinstance(n := facts.get(f.name), str)
        ]
