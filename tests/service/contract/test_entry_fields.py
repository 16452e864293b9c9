import pytest

from scoring.base.enums import Kind
from scoring.base.errors import InvalidInput
from scoring.base.time import format_time
from scoring.entries.entry import Entry
from scoring.entries.kinds.table import BY_COMMAND, KINDS
from sellertrust.v1.entry_pb2 import DEPOSIT_CHANGE_PLACED
from service.contract.entry_fields import entry_of_fields
from tests.helpers.kinds import every_entry, message_of

DEPOSIT = ("seller=s-1", "change=placed", "actor=finance")


def texts_of(entry: Entry, kind: Kind) -> list[str]:
    found = [f"entry_id={entry.entry_id}"]
    found += [f"seller={entry.seller}"] if entry.seller else []
    found += [] if entry.occur_time is None else [f"occur_time={format_time(entry.occur_time)}"]
    for field in KINDS[kind].fields:
        value = getattr(entry.fact, field.name)
        match field.shape.kind:
            case _ if value in (None, "", (), {}):
                continue
            case "ids":
                found.append(f"{field.name}={' '.join(value)}")
            case "attributes":
                found += [f"{field.name}.{key}={text}" for key, text in value.items()]
            case "time":
                found.append(f"{field.name}={format_time(value)}")
            case "day":
                found.append(f"{field.name}=2026-02-28")
            case "word":
                found.append(f"{field.name}={value.name.lower()}")
            case _:
                found.append(f"{field.name}={value}")
    return found


def test_every_kind_is_made_from_its_fields() -> None:
    tried = set()
    for kind, entry in every_entry():
        if kind not in BY_COMMAND:
            made = entry_of_fields(kind.word, texts_of(entry, kind), "acme", "unused")
            assert made == message_of(entry, kind)
            tried.add(kind)
    assert tried == KINDS.keys() - BY_COMMAND


def test_an_amount_in_units_states_its_currency() -> None:
    made = entry_of_fields("deposit", [*DEPOSIT, "amount_minor=50,400.00 EUR"], "acme", "d-1")
    assert (made.entry_id, made.deposit.amount_minor, made.deposit.currency) == ("d-1", 5_040_000, "EUR")
    assert made.deposit.change == DEPOSIT_CHANGE_PLACED
    assert entry_of_fields("deposit", [*DEPOSIT, "amount_minor=5040000", "currency=EUR"], "acme", "d-1") == made


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (["amount_minor=100.00", "currency=EUR"], "amount_minor: '100.00' is no amount in EUR. Write"),
        (["amount_minor=100.00"], "amount_minor: '100.00' is no amount. Write '50,400.00 EUR', or 5040000 in"),
        (["amount_minor=-5", "currency=EUR"], "amount_minor: '-5' is no amount in EUR"),
        (["amount_minor=100.00 EUR", "currency=CNY"], "amount_minor: '100.00 EUR' is no amount in CNY. Write"),
        (
            ["amout_minor=5"],
            "amout_minor: is no field of deposit. It needs seller, change, amount_minor, currency, act",
        ),
        (["attributes.a=5"], "attributes.a: is no field of deposit"),
        (["change=placed"], "change: is stated twice"),
        (["placed"], "placed: is no field=value"),
        ([], "amount_minor, currency: is missing. It needs seller, change, amount_minor"),
        (["amount_minor=5 EUR", "occur_time=soon"], "occur_time: .* is no time. Write it like 2026-06-20T10:00:00Z"),
    ],
)
def test_a_wrong_field_is_named_with_the_remedy(fields: list[str], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        entry_of_fields("deposit", [*DEPOSIT, *fields], "acme", "d-1")


def test_an_unknown_word_is_named_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match=r"^change: 'gone' is unknown. Use placed, drawn or returned."):
        entry_of_fields("deposit", ["seller=s-1", "change=gone", "actor=a", "amount_minor=5 EUR"], "acme", "d-1")
