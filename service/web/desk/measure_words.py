from datetime import datetime
from typing import NamedTuple

from sellertrust.v1.entry_pb2 import MeasureKind
from sellertrust.v1.measure_service_pb2 import EvaluateMeasuresResponse, Measure, MeasureValue
from service.web.frame.rendering import money, number, time_of, word


class MeasureRow(NamedTuple):
    name: str
    value: str
    since: datetime | None
    until: datetime | None
    rule: str
    reference: str
    note: str
    entries: int
    measure: str


def measure_rows(answer: EvaluateMeasuresResponse) -> list[MeasureRow]:
    return [_row(measure, answer.currency) for measure in answer.measures]


def _row(measure: Measure, currency: str) -> MeasureRow:
    notes = [
        ("waived" if measure.waived else ""),
        ("lifted by a person" if measure.lifted else ""),
        ("for a caution" if measure.caution else ""),
        ("by a person" if not measure.rule else ""),
    ]
    return MeasureRow(
        word(MeasureKind.Name(measure.kind)),
        describe_value(measure.current if measure.HasField("current") else measure.original, currency),
        time_of(measure.start_time) if measure.HasField("start_time") else None,
        time_of(measure.end_time) if measure.HasField("end_time") else None,
        measure.rule,
        measure.reference,
        ", ".join(note for note in notes if note),
        len(measure.entries) + measure.entries_omitted,
        measure.measure,
    )


def describe_value(value: MeasureValue, currency: str) -> str:
    """Return a value in words, such as `30 % of each order for 90 days`; "" for a kind without a number."""
    kind = value.WhichOneof("value")
    if kind is None:
        return ""
    measure_value = getattr(value, kind)
    where = f" in {measure_value.product_category}" if getattr(measure_value, "product_category", "") else ""
    texts = {
        "deposit": lambda: f"{money(measure_value.amount_minor, currency)} to be placed",
        "settlement_hold": lambda: f"{measure_value.days} days after the capture",
        "delivery_hold": lambda: f"{measure_value.days} days after the delivery",
        "rolling_reserve": lambda: f"{measure_value.ppm / 10_000:g} % of each order for {measure_value.days} days",
        "value_cap": lambda: f"{money(measure_value.value_minor, currency)} a day{where}",
        "listing_cap": lambda: (
            f"{number(measure_value.listings) if measure_value.listings else 'no'} open listings{where}"
        ),
        "intake_cap": lambda: (
            f"{number(measure_value.new_listings)} new listings a day{where}"
            if measure_value.new_listings
            else f"no new listings{where}"
        ),
        "paid_ahead_limit": lambda: (
            f"at most {money(measure_value.at_most_minor, currency)} on orders younger than {measure_value.days} days"
        ),
        "waiver": lambda: f"exempts from {word(MeasureKind.Name(measure_value.waives)).lower()}",
        "suspension": lambda: (
            "closes the account"
            if measure_value.terminates
            else "until a plan of action is accepted"
            if measure_value.until_plan
            else f"{measure_value.days} days"
        ),
    }
    return texts[kind]()
