from collections.abc import Iterator
from typing import Any

from scoring.base.enums import CaseState, ClaimChange, ComplaintOutcome, DepositChange, Kind, MeasureKind, MeasureState
from scoring.base.errors import InvalidInput
from scoring.base.time import DAY
from scoring.entries.entry import Entry, prepare
from scoring.entries.field_types import FactField
from scoring.entries.kinds.decisions import MeasureChanged
from scoring.entries.kinds.settlement import ClaimChanged, ComplaintFiled, DepositChanged
from scoring.entries.kinds.table import KINDS, Need
from sellertrust.v1 import entry_pb2
from service.contract.fields import timestamp
from tests.helpers.builders import NOW, SELLER, TODAY, ago, confirmed, identity

_M0 = MeasureChanged("m0", MeasureKind.DEPOSIT, MeasureState.IMPOSED, "another-actor", "new here")
ON_RECORD = (
    confirmed("v0"),
    identity("i0"),
    Entry("m0", SELLER, _M0, ago(9)),
    *(Entry(f"c{n}", SELLER, ComplaintFiled("m0", "we paid"), ago(8)) for n in range(len(ComplaintOutcome))),
    Entry("d0", SELLER, DepositChanged(DepositChange.PLACED, 1000, "CNY", "bank"), ago(9)),
    Entry("claim0", SELLER, ClaimChanged("some-claim", ClaimChange.PAID, 1000, "CNY", "court"), ago(9)),
)
"""Entries that the others are about; append them first."""

OF_SERVICE = {
    Kind.MEASURE: ("rule", "policy", "at_sequence"),
    Kind.CASE: (
        *("rule", "decide_by", "caution_end", "rests_on", "policy", "at_sequence", "authority_order"),
        *("strength_ppm", "link_kinds", "accounts"),
    ),
}

_OF_CALLERS: dict[Kind, tuple[int, ...]] = {Kind.CASE: (CaseState.CONFIRMED, CaseState.ENDED)}

_TEXTS = ("CNY", "CN", "0" * 64)


def every_entry(text: str = "said") -> list[tuple[Kind, Entry]]:
    """Return for each kind one entry per value of its first required word, with all allowed fields.

    Sealed texts are `text`. Erasures are included, which only the ledger can append.
    """
    return [(kind, entry) for kind in KINDS for entry in _variants(kind, text)]


def _variants(kind: Kind, text: str) -> Iterator[Entry]:
    row = KINDS[kind]
    word = next((f for f in row.fields if f.required and f.shape.words is not None), None)
    members = list(_OF_CALLERS.get(kind, word.shape.words or ())) if word else [None]
    for number, member in enumerate(members):
        fields = [f for f in row.fields if f.name not in OF_SERVICE.get(kind, ())]
        values = {f.name: _value(f, kind, text) for f in fields} | ({word.name: member} if word else {})
        if "complaint" in values:
            values["complaint"] = f"c{number}"
        if kind is Kind.MEASURE and member is max(MeasureKind):
            values["state"] = MeasureState.NOTICE_BARRED
        if kind is Kind.LINK:  # these two exclude each other
            del values["other" if number else "identifier"]
        if "case" in values:
            values["case"] = f"rule~{'v0' if number else 'i0'}"
        yield _allowed(kind, f"{row.kind.word.replace('_', '-')}-{number}", values)


def _allowed(kind: Kind, entry_id: str, values: dict[str, Any]) -> Entry:
    row = KINDS[kind]
    while True:
        seller = "" if row.seller is Need.REFUSED else SELLER
        entry = Entry(entry_id, seller, row.fact(**values), None if row.occur_time is Need.REFUSED else ago(5))
        try:
            prepare(entry, NOW)
        except InvalidInput as error:
            for wrong in error.violations:
                name = str(wrong.path[-1])
                del values[name]
            continue
        return entry


def _value(field: FactField, kind: Kind, text: str) -> Any:
    named: dict[str, Any] = {
        "violation_type": "counterfeit_goods",
        "violation": "later" if kind is Kind.STATUS else "v0",
        "violations": ("v0",),
        "entry": "i0",
        "measure": "m0" if kind is Kind.COMPLAINT else "m1",
        "until": NOW + DAY,
        "since": ago(4),
        "moved_to": ago(3),
    }
    if field.name in named:
        return named[field.name]
    if field.shape.words is not None:
        return next(iter(field.shape.words))
    by_shape: dict[str, Any] = {
        "flag": True,
        "count": 5,
        "day": TODAY - 1,
        "ids": ("one", "two"),
        "attributes": {"kind_of_shop": "factory"},
        "id": f"some-{field.name}".replace("_", "-"),
    }
    if field.shape.kind in by_shape:
        return by_shape[field.shape.kind]
    free = text if field.shape.sealed else "article 7"
    return next(value for value in (free, *_TEXTS) if field.shape.describe_error(value) is None)


def message_of(entry: Entry, kind: Kind) -> entry_pb2.Entry:
    message = entry_pb2.Entry(entry_id=entry.entry_id)
    if entry.seller:
        message.seller = f"marketplaces/acme/sellers/{entry.seller}"
    if entry.occur_time is not None:
        message.occur_time.CopyFrom(timestamp(entry.occur_time))
    stated = getattr(message, kind.word)
    stated.SetInParent()
    for field in KINDS[kind].fields:
        value = getattr(entry.fact, field.name)
        match field.shape.kind:
            case "ids":
                getattr(stated, field.name).extend(value)
            case "attributes":
                getattr(stated, field.name).update(value)
            case "time" if value is not None:
                getattr(stated, field.name).CopyFrom(timestamp(value))
            case "day":
                setattr(stated, field.name, "2026-02-28")
            case "word" if value is not None:
                setattr(stated, field.name, int(value))
            case "flag" | "count" | "id" | "text":
                setattr(stated, field.name, value)
    return message
