from functools import partial
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict
from rich.table import Table

from sellertrust.v1.entry_pb2 import ViolationStatus
from sellertrust.v1.measure_service_pb2 import EvaluatePayoutResponse, GetRestitutionResponse
from service.cli.amounts import format_amount, parse_amount
from service.cli.common import client, marketplace_of, moment
from service.cli.measures import kind_text
from service.cli.options import Marketplace, Seller
from service.cli.output import Format, Output, emit_one, format_count, print_table, write

app = typer.Typer()


@app.command("payout")
def payout(
    seller: Seller,
    captured: Annotated[
        str, typer.Argument(metavar="CAPTURED", help="The captured amount in units of the currency, such as 1,250.00.")
    ],
    currency: Annotated[str, typer.Argument(metavar="CURRENCY", help="ISO 4217 code, such as EUR.")],
    capture_day: Annotated[str, typer.Argument(metavar="CAPTURE_DAY", help="The UTC day of it, as YYYY-MM-DD.")],
    day: Annotated[str, typer.Option("--day", metavar="DAY", help="The UTC day to answer for; default: today.")] = "",
    product_category: Annotated[
        str, typer.Option("--product-category", metavar="ID", help="What was sold; default: nothing in particular.")
    ] = "",
    delivered: Annotated[bool, typer.Option("--delivered", help="It has reached its buyer; else all is held.")] = False,
    confirmed: Annotated[
        str | None,
        typer.Option(
            "--confirmed", metavar="TIME", help="When carrier or buyer confirmed the delivery; default: never."
        ),
    ] = None,
    disputed: Annotated[bool, typer.Option("--disputed", help="Its buyer disputes it.")] = False,
    refunded: Annotated[
        str, typer.Option("--refunded", metavar="AMOUNT", help="The amount that its buyer got back.")
    ] = "0",
    claims: Annotated[
        str, typer.Option("--claims", metavar="AMOUNT", help="The amount adjudicated to its buyer.")
    ] = "0",
    drawn: Annotated[str, typer.Option("--drawn", metavar="AMOUNT", help="The amount taken from it for claims.")] = "0",
    drawn_day: Annotated[
        str,
        typer.Option("--drawn-day", metavar="DAY", help="The last day of these draws; default: the day to answer for."),
    ] = "",
    minor: Annotated[bool, typer.Option("--minor", help="All amounts are in minor units (cents).")] = False,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show what of an order is released, drawn and held on a day, by the terms that were fixed at its capture."""
    amount = partial(parse_amount, currency=currency, is_minor=minor)
    amounts = {
        "captured_minor": amount("CAPTURED", captured),
        "refunded_minor": amount("--refunded", refunded),
        "claims_minor": amount("--claims", claims),
        "drawn_minor": amount("--drawn", drawn),
    }
    with client() as (connection, settings):
        found = connection.evaluate_payout(
            marketplace_of(marketplace, settings),
            seller,
            capture_day=capture_day,
            currency=currency,
            product_category=product_category,
            delivered=delivered,
            confirmed_time=moment(confirmed, "--confirmed"),
            disputed=disputed,
            drawn_day=drawn_day,
            day=day,
            **amounts,
        )
    if output is Format.JSON:
        emit_one(
            MessageToDict(found, preserving_proto_field_name=True, always_print_fields_with_no_presence=True), output
        )
        return
    _print_payout(found, is_delivered=delivered)


def _print_payout(found: EvaluatePayoutResponse, *, is_delivered: bool) -> None:
    for name in ("released", "drawn", "held"):
        write(f"{name:9}{format_amount(getattr(found, f'{name}_minor'), found.currency):>20}\n")
    terms = f"a hold of {format_count(found.hold_days, 'day')}"
    if found.reserve_ppm:
        terms += f", {found.reserve_ppm / 10_000:g} % for {format_count(found.reserve_days, 'day')}"
    write(f"by {terms} after the capture\n")
    if found.held_minor and not is_delivered:
        write("not stated as delivered (--delivered), so it is held whatever its age, for 180 days at most\n")
    if found.HasField("stopped_time"):
        decide = found.stop_decide_time.ToJsonString()[:16] if found.HasField("stop_decide_time") else ""
        until = f", until {decide}Z if nobody decides" if decide else ", which is confirmed"
        write(f"payouts stand stopped since {found.stopped_time.ToJsonString()[:16]}Z{until}\n")
    if found.next_release_day:
        write(f"more is released on {found.next_release_day}\n")


@app.command("restitution")
def restitution(
    seller: Seller,
    violation: Annotated[str, typer.Argument(metavar="VIOLATION", help="Id of the violation that was taken back.")],
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show which recorded measures stood on a violation that was taken back, for how long, and what they held."""
    with client() as (connection, settings):
        found = connection.get_restitution(marketplace_of(marketplace, settings), seller, violation)
    if output is Format.JSON:
        emit_one(MessageToDict(found, preserving_proto_field_name=True), output)
        return
    _print_restitution(found)


def _print_restitution(found: GetRestitutionResponse) -> None:
    status = ViolationStatus.Name(found.status).removeprefix("VIOLATION_STATUS_").lower()
    write(f"{found.violation}: {status}; {format_count(len(found.items), 'measure')} stood on it\n")
    if not found.items:
        return
    table = Table(show_edge=False, pad_edge=False, box=None)
    for name in (
        "measure",
        "rule",
        "from",
        "to",
        "days",
        "held",
        "other violations",
    ):
        table.add_column(name, overflow="fold")
    for item in found.items:
        table.add_row(
            kind_text(item.kind),
            item.rule or "(a person)",
            item.begin_time.ToJsonString()[:16] + "Z",
            item.end_time.ToJsonString()[:16] + "Z" if item.HasField("end_time") else "",
            f"{item.days:,}",
            format_amount(item.held_minor, found.currency) if item.held_minor else "",
            " ".join(item.other_violations),
        )
    print_table(table)
    write(
        f"captured meanwhile: {format_amount(found.captured_minor, found.currency)}\n" if found.captured_minor else ""
    )
