from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.descriptor import FieldDescriptor

from scoring.base.enums import DeliverySource
from scoring.base.errors import FieldViolation, InvalidInput
from scoring.base.money import format_amount, parse_amount, parse_currency
from scoring.base.time import parse_time
from scoring.entries.field_types import FLAG, is_id, parse_word
from sellertrust.errors import SellertrustCallError
from sellertrust.v1.measure_service_pb2 import EvaluatePayoutRequest, EvaluatePayoutResponse
from service.cli.common import open_client
from service.cli.options import Marketplace
from service.cli.output import Column, Format, Output, emit, format_count, say
from service.cli.progress import StepProgress
from service.cli.tables import read_table
from service.contract.fields import timestamp

ORDER, AHEAD = "order", "others_paid_ahead_minor"
FIELDS = {field.name: field for field in EvaluatePayoutRequest.DESCRIPTOR.fields if field.name != "at_least_sequence"}
NEEDED = ("seller", "capture_day", "captured_minor")

Orders = list[tuple[int, str, dict[str, Any]]]
"""(line, the caller's id of the order, the fields of its request)."""


def payouts(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", exists=True, dir_okay=False, help="Orders as CSV, with a first line of columns."
        ),
    ],
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show when each order of a CSV file is paid out, and why.

    Needed are the columns seller, capture_day and captured_minor. An amount is 239.88 EUR, or 23988 with EUR in a column
    currency. `order` is your own id. Others are fields of EvaluatePayoutRequest, such as delivered (true or false),
    confirmed_time and delivery_source (carrier, platform_label, buyer or seller).

    Without the column others_paid_ahead_minor the file must hold all young orders of its sellers: each order counts what
    the orders above it get. Pay them in this order.
    """
    orders = _read_orders(file)
    are_amounts_ahead_stated = any(AHEAD in fields for _, _, fields in orders)
    rows, ahead = [], Counter[str]()
    with open_client(marketplace) as (connection, market), StepProgress() as progress:
        for line, name, fields in orders:
            seller = fields["seller"]
            ahead_of_order: dict[str, Any] = {} if are_amounts_ahead_stated else {AHEAD: ahead[seller]}
            try:
                payout = connection.evaluate_payout(market, **fields, **ahead_of_order)
            except SellertrustCallError as error:
                error.message = f"line {line}{', ' if error.fields else ': '}{error.message}"
                error.fields = [(f"line {line}, {path}", description) for path, description in error.fields]
                raise
            ahead[seller] += payout.paid_ahead_minor
            rows.append(_make_row(name, seller, payout, is_delivered=fields.get("delivered", False)))
            progress("payouts", len(rows), len(orders))
    emit(rows if output is Format.JSON else [_format_amounts(row) for row in rows], output, COLUMNS)
    if output is Format.TABLE:
        say(
            f"{format_count(len(rows), 'order')}; paid_out is the sum by today, next the next payout if nothing happens"
        )


COLUMNS = [Column(name) for name in ("order", "seller", "paid_out", "held", "next", "why")]


def _make_row(order: str, seller: str, response: EvaluatePayoutResponse, *, is_delivered: bool) -> dict[str, Any]:
    return {
        "order": order,
        "seller": seller,
        "paid_out": response.released_minor,
        "drawn": response.drawn_minor,
        "held": response.held_minor,
        "currency": response.currency,
        "next": response.next_release_day or None,
        "why": "; ".join(_list_reasons(response, is_delivered=is_delivered)),
    }


def _format_amounts(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: format_amount(row[name], row["currency"]) for name in ("paid_out", "drawn", "held")}


def _list_reasons(response: EvaluatePayoutResponse, *, is_delivered: bool) -> Iterator[str]:
    if not response.held_minor:
        yield "all is paid out"
        return
    if response.HasField("stopped_time"):
        yield f"payouts are stopped since {response.stopped_time.ToJsonString()[:10]}"
    if not is_delivered:
        yield "no delivery is stated"
    if response.hold_days:
        yield f"held {format_count(response.hold_days, 'day')} after the capture"
    if response.delivery_hold_days:
        yield f"held {format_count(response.delivery_hold_days, 'day')} after the delivery"
    if response.HasField("ahead_limit_minor"):
        limit_text = format_amount(response.ahead_limit_minor, response.currency)
        yield f"orders younger than {format_count(response.ahead_days, 'day')} get at most {limit_text} together"
    if response.reserve_ppm:
        yield f"{response.reserve_ppm / 10_000:g} % held {format_count(response.reserve_days, 'day')} after the capture"


def _read_orders(file: Path) -> Orders:
    wrong: list[FieldViolation] = []
    rows = read_table(file, [ORDER, *FIELDS], NEEDED)
    orders = [(line, row.get(ORDER, ""), _read_row(line, row, wrong)) for line, row in rows.items()]
    first_lines: dict[str, int] = {}
    for line, name, _ in orders:
        first = first_lines.setdefault(name, line) if name else line
        if first != line:
            wrong.append(
                FieldViolation(
                    (f"line {line}, {ORDER}",),
                    f"{name!r} is on line {first}, too. State it once, and of an order in parts the last part.",
                )
            )
    if wrong:
        raise InvalidInput(wrong)
    return orders


def _read_row(line: int, row: dict[str, str], wrong: list[FieldViolation]) -> dict[str, Any]:
    currency = row.get("currency") or parse_currency(row["captured_minor"])
    fields: dict[str, Any] = {"currency": currency}
    for name, text in row.items():
        if name in FIELDS and (text or name in NEEDED):
            try:
                fields[name] = _read_cell(FIELDS[name], text, currency)
            except ValueError as error:
                wrong.append(FieldViolation((f"line {line}, {name}",), str(error)))
    if "captured_minor" in fields and not currency:
        wrong.append(FieldViolation((f"line {line}, currency",), "is missing. Write the amount like 50,400.00 EUR."))
    return fields


def _read_cell(field: FieldDescriptor, text: str, currency: str) -> Any:
    if field.name == "seller" and not is_id(text):
        raise ValueError(f"{text!r} is no id of a seller")
    if field.name.endswith("_minor"):
        return parse_amount(text, currency)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return FLAG.parse(text)
    if field.enum_type is not None:
        return parse_word(DeliverySource, text)
    return timestamp(parse_time(text)) if field.message_type is not None else text
