from typing import Annotated

import typer

from sellertrust.v1.measure_service_pb2 import EvaluatePayoutResponse, GetRestitutionResponse
from service.cli.amounts import format_amount, parse_amount
from service.cli.common import client, moment
from service.cli.options import Marketplace, Seller
from service.cli.output import Format, Output, emit, emit_one, format_count, write
from service.cli.rows import dict_of, row_of

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
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show what of an order is released, drawn and held on a day.

    The terms are those that were fixed at its capture.
    """
    amounts = {"CAPTURED": captured, "--refunded": refunded, "--claims": claims, "--drawn": drawn}
    minor = {
        f"{name.removeprefix('--').lower()}_minor": parse_amount(name, text, currency) for name, text in amounts.items()
    }
    with client(marketplace) as (connection, where):
        found = connection.evaluate_payout(
            where,
            seller,
            capture_day=capture_day,
            currency=currency,
            product_category=product_category,
            delivered=delivered,
            confirmed_time=moment(confirmed, "--confirmed"),
            disputed=disputed,
            drawn_day=drawn_day,
            day=day,
            **minor,
        )
    if output is Format.JSON:
        emit_one(dict_of(found, whole=True), output)
    else:
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


def show_restitution(found: GetRestitutionResponse, output: Format) -> None:
    if output is Format.JSON:
        emit_one(dict_of(found), output)
        return
    status = row_of(found, "status")["status"]
    write(f"{found.violation}: {status}; {format_count(len(found.items), 'measure')} stood on it\n")
    if not found.items:
        return
    fields = "measure=kind rule from=begin_time to=end_time days held=held_minor other_violations"
    rows = [row_of(item, fields) for item in found.items]
    for row in rows:
        row |= {name: row[name] and row[name][:16] + "Z" for name in ("from", "to")}
        row["held"] = format_amount(row["held"], found.currency) if row["held"] else None
        row["rule"] = row["rule"] or "(a person)"
    emit(rows, output)
    if found.captured_minor:
        write(f"captured meanwhile: {format_amount(found.captured_minor, found.currency)}\n")
