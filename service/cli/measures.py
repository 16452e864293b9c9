from collections.abc import Callable
from typing import Annotated, Any, get_args

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from scoring.base.enums import rank_gravity
from scoring.base.money import format_amount
from scoring.policy.measures import Valued, find_binding
from sellertrust.v1.entry_pb2 import MEASURE_KIND_PAID_AHEAD_LIMIT, MEASURE_KIND_WAIVER, MeasureKind, Tier
from sellertrust.v1.measure_service_pb2 import EvaluateMeasuresResponse, Measure, MeasureValue
from sellertrust.v1.trust_score_service_pb2 import ScoreState
from service.cli.common import open_client
from service.cli.options import KnownTime, Limit, Marketplace, ObserveTime, Seller
from service.cli.output import Format, Output, emit_one, format_count, wrap_line, write
from service.cli.rows import dict_of
from service.cli.scores import describe_reason

MAX_ENTRIES = 5
MAX_TERMS = 6

NOTES = (
    "binding: among measures of one kind, the measure whose value is in force",
    "id: with it the measure is lifted or contested",
    "since: by what is known now; by tier it can lie before the decision or the override that caused it. To see what was"
    " in force at a time: --observe-time and --known-time of then",
    "undated: for over 180 days, or by a rule that asks about no decision, such as one for all sellers",
)
"""Shown under the measures, so that a start is not read as a record of the past."""


def measures(
    seller: Seller,
    observe_time: ObserveTime = None,
    known_time: KnownTime = None,
    policy: Annotated[
        str, typer.Option("--policy", metavar="DIGEST", help="By this policy of the history; default: the served one.")
    ] = "",
    limit: Limit = 20,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show the measures in force for a seller by the policy, and their terms.

    Each has its rule, times and entries.
    """
    with open_client(marketplace) as (connection, market):
        evaluated = connection.evaluate_measures(
            market, seller, observe_time=observe_time, known_time=known_time, policy=policy
        )
    if output is Format.JSON:
        emit_one(dict_of(evaluated), output)
    else:
        _print_measures(evaluated, limit)


def _print_measures(response: EvaluateMeasuresResponse, limit: int) -> None:
    write(_describe_seller(response))
    for part in response.standing_parts[:limit]:
        until = f"{format_count(part.points, 'point')} until {_format_time(part.until_time)}"
        write(wrap_line(f"  {until}: {_format_entries(part.entries, 0)}"))
    if (omitted := response.standing_parts_omitted + len(response.standing_parts[limit:])) > 0:
        write(f"  and {omitted:,} more incidents\n")
    if response.deposit_placed_minor:
        write(f"  deposit placed: {format_amount(response.deposit_placed_minor, response.currency)}\n")
    for caution in response.cautions:
        decide_by = _format_time(caution.decide_by_time)
        write(wrap_line(f"  caution {caution.case}: {describe_reason(caution)}; to be decided by {decide_by}"))
    if not response.measures:
        write("  no measure is in force\n")
        return
    binding = _find_binding_measures(response)
    for number, measure in enumerate(response.measures[:limit]):
        write("\n")
        row = _make_row(measure, response.currency, is_binding=number in binding)
        emit_one({name: text for name, text in row.items() if text}, Format.TABLE)
    if response.terms.HasField("ahead_limit_minor"):
        limit_text = format_amount(response.terms.ahead_limit_minor, response.currency)
        write(f"\npaid out on young orders together: at most {limit_text}\n")
    write("\n")
    if omitted := len(response.measures[limit:]):
        write(f"and {omitted:,} more measures: --limit\n")
    for line in NOTES:
        write(wrap_line(line))


def describe_terms(response: EvaluateMeasuresResponse) -> list[str]:
    """Return a heading, then at most MAX_TERMS measures, in lines of at most 77 characters."""
    seller, rows = response.seller.rsplit("/", 1)[-1], list_terms(response)
    if not rows:
        return [f"terms of {seller}: none"]
    some = f", {MAX_TERMS} of {len(rows)}" if len(rows) > MAX_TERMS else ""
    first_rows = rows[:MAX_TERMS]
    width = max(len(row["measure"]) for row in first_rows)
    ends = [f" until {row['until'][:10]}" if row["until"] else "" for row in first_rows]
    lines = [f"  {row['measure']:<{width}}  {row['value']}{end}" for row, end in zip(first_rows, ends, strict=True)]
    return [f"terms of {seller}{some}:", *(line.rstrip() for line in lines)]


def list_terms(response: EvaluateMeasuresResponse) -> list[dict[str, str]]:
    """Return rows of measures with an effect: the gravest kind first, of one kind the binding measure."""
    binding = _find_binding_measures(response)
    ranked_rows = []
    for number, measure in enumerate(response.measures):
        is_placed = measure.current.HasField("deposit") and not measure.current.deposit.amount_minor
        if measure.waived or measure.lifted or measure.kind == MEASURE_KIND_WAIVER or is_placed:
            continue
        value = value_text(measure.current, response.currency)
        if measure.kind == MEASURE_KIND_PAID_AHEAD_LIMIT and response.terms.HasField("ahead_limit_minor"):
            limit_text = format_amount(response.terms.ahead_limit_minor, response.currency)
            value = f"at most {limit_text} on orders under {format_count(response.terms.ahead_days, 'day')} old"
        row = _make_row(measure, response.currency, is_binding=number in binding)
        row["value"] = value + "".join(f" ({note})" for note in _list_notes(measure))
        ranked_rows.append((rank_gravity(measure.kind), number not in binding, row))
    return [row for *_, row in sorted(ranked_rows, key=lambda ranked: ranked[:2])]


def tier_text(tier: "Tier.ValueType") -> str:
    """Return a tier as policies name it, such as `probation`."""
    return Tier.Name(tier).removeprefix("TIER_").lower()


def _describe_seller(response: EvaluateMeasuresResponse) -> str:
    head = [
        f"{response.seller.rsplit('/', 1)[-1]}: {ScoreState.Name(response.state).removeprefix('SCORE_STATE_').lower()}"
    ]
    if response.tier:
        head.append(f"tier {tier_text(response.tier)}")
    if response.HasField("notice"):
        head.append(f"from {_format_time(response.notice.end_time)} on tier {tier_text(response.notice.tier)} (notice)")
    if response.HasField("standing"):
        head.append(f"standing {response.standing}")
    return f"{', '.join(head)}, by the policy {response.policy_name} version {response.policy_version}\n"


def _find_binding_measures(response: EvaluateMeasuresResponse) -> set[int]:
    values = {
        index: _read_value(measure.kind, getattr(measure.current, value_name))
        for index, measure in enumerate(response.measures)
        if _has_begun(measure, response)
        and measure.kind != MeasureKind.MEASURE_KIND_SUSPENSION  # each keeps the shop shut
        and (value_name := measure.current.WhichOneof("value"))
    }
    return find_binding(values)


def _has_begun(measure: Measure, response: EvaluateMeasuresResponse) -> bool:
    is_due = measure.start_time.ToNanoseconds() <= response.stamp.observe_time.ToNanoseconds()
    return is_due and not measure.waived and not measure.lifted


def _read_value(kind: "MeasureKind.ValueType", message: Any) -> Valued:
    fields = {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}
    value_type = next(valued for valued in get_args(Valued) if valued.kind == kind)
    value: Valued = value_type(**fields)
    return value


def _make_row(measure: Measure, currency: str, *, is_binding: bool) -> dict[str, str]:
    value = value_text(measure.current, currency)
    if measure.original != measure.current:
        value += f" (stated: {value_text(measure.original, currency)})"
    return {
        "measure": kind_text(measure.kind) + (" (binding)" if is_binding else ""),
        "value": (value + "".join(f" ({note})" for note in _list_notes(measure))).strip(),
        "rule": f"{measure.rule}: {measure.reference}" if measure.rule else "imposed by a person",
        "since": _format_time(measure.start_time) if measure.HasField("start_time") else "undated",
        "until": _format_time(measure.end_time) if measure.HasField("end_time") else "",
        "entries": _format_entries(measure.entries, measure.entries_omitted),
        "id": measure.measure,
    }


def _list_notes(measure: Measure) -> list[str]:
    notes = ["waived"] if measure.waived else []
    notes += ["caution"] if measure.caution else []
    notes += [f"notice until {_format_time(measure.notice_end_time)}"] if measure.HasField("notice_end_time") else []
    return [*notes, f"lifted by {measure.lifted}"] if measure.lifted else notes


def _format_time(time: Timestamp) -> str:
    return time.ToJsonString()[:16] + "Z"


def kind_text(kind: "MeasureKind.ValueType") -> str:
    """Return a kind of measure as policies name it, such as `settlement_hold`."""
    return MeasureKind.Name(kind).removeprefix("MEASURE_KIND_").lower()


def value_text(value: MeasureValue, currency: str) -> str:
    """Return a measure's value with its unit; "" without one."""
    value_name = value.WhichOneof("value")
    return "" if value_name is None else _VALUE_WRITERS[value_name](getattr(value, value_name), currency)


def _describe_suspension(value: Any, _: str) -> str:
    if value.until_plan:
        return "until a plan of action is accepted"
    if not value.terminates:
        return format_count(value.days, "day")
    return f"for good, {value.exception or f'{value.notice_days} days of notice'}"


def _describe_deposit(value: Any, currency: str) -> str:
    parts = [format_amount(value.amount_minor, currency)] if value.amount_minor or not value.ppm else []
    parts += [f"{value.ppm / 10_000:g} % of sales in {format_count(value.days, 'day')}"] if value.ppm else []
    return " or ".join(parts)


def _describe_paid_ahead(value: Any, currency: str) -> str:
    least, most = format_amount(value.value_minor, currency), format_amount(value.at_most_minor, currency)
    share = f" and {value.ppm / 10_000:g} % of the settled value" if value.ppm else ""
    return f"{least}{share}, at most {most}, on orders younger than {format_count(value.days, 'day')}"


def _describe_category(product_category: str) -> str:
    return f" of {product_category}" if product_category else ""


def _format_entries(entries: Any, omitted: int) -> str:
    more = len(entries) - MAX_ENTRIES + omitted
    return " ".join(entries[:MAX_ENTRIES]) + (f" and {more:,} more" if more > 0 else "")


_VALUE_WRITERS: dict[str, Callable[[Any, str], str]] = {
    "deposit": _describe_deposit,
    "settlement_hold": lambda stated, _: format_count(stated.days, "day"),
    "delivery_hold": lambda stated, _: f"{format_count(stated.days, 'day')} after the delivery",
    "paid_ahead_limit": _describe_paid_ahead,
    "rolling_reserve": lambda stated, _: f"{stated.ppm / 10_000:g} % for {format_count(stated.days, 'day')}",
    "value_cap": lambda stated, currency: (
        f"{format_amount(stated.value_minor, currency)} a day{_describe_category(stated.product_category)}"
    ),
    "listing_cap": lambda stated, _: f"{stated.listings:,}{_describe_category(stated.product_category)}",
    "intake_cap": lambda stated, _: f"{stated.new_listings:,} a day{_describe_category(stated.product_category)}",
    "waiver": lambda stated, _: kind_text(stated.waives),
    "suspension": _describe_suspension,
}
