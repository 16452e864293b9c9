from textwrap import wrap
from typing import Annotated, Any, NamedTuple

import grpc
import typer

from scoring.base.enums import Audience
from sellertrust.client import Client, seller_name
from sellertrust.errors import SellertrustCallError
from sellertrust.v1.entry_pb2 import IdentityLevel
from sellertrust.v1.trust_score_service_pb2 import (
    CAUTION_SIGNAL_CONTROL,
    CAUTION_SIGNAL_DISPUTED,
    CAUTION_SIGNAL_REPORTS,
    CAUTION_SIGNAL_UNDELIVERED,
    CAUTION_SIGNAL_VALUE_JUMP,
    BatchGetTrustScoresResponse,
    Caution,
    CautionSignal,
    ExplainTrustScoreResponse,
    TrustScore,
)
from service.cli.common import find_entries, open_client, parse_option
from service.cli.connecting import describe_empty_marketplace
from service.cli.options import KnownTime, Language, Marketplace, ObserveTime, require_id
from service.cli.output import NEXT_OF, Column, Exit, Format, Output, emit, say, wrap_line, write
from service.cli.rows import dict_of, row_of, row_of_all_fields

NO_MODEL = "NO_MODEL"
NO_MODEL_SERVED = (
    "The server has no model, so there are no points. Train one: sellertrust train STUDY. To try it first: sellertrust serve"
    " --starter. If one was refused, see: sellertrust model list"
)
MAX_SHOWN = 5

_LEVELS = {value: name.removeprefix("IDENTITY_LEVEL_").lower() for name, value in IdentityLevel.items() if value}
_INDENT = 33


def name_tier(tier: str, band: str) -> str:
    """Return text such as `trusted (gold)`; without a band the tier alone."""
    return f"{tier} ({band})" if band else tier


COLUMNS = (
    *(Column("seller"), Column("tier", ("tier", "band"), name_tier), Column("badge")),
    Column("points", ("points", "points_low", "points_high"), "{} ({}-{})".format),
    Column("incidents", ("incidents", "open"), "{}, {} open".format),
    Column("reasons"),
)


def score(
    sellers: Annotated[list[str], typer.Argument(metavar="SELLER...", callback=require_id, help="Ids of sellers.")],
    explain: Annotated[bool, typer.Option("--explain", help="Show the facts behind every point.")] = False,
    audience: Annotated[
        str, typer.Option("--for", metavar="AUDIENCE", help="Explain it to: seller, staff, regulator or checkout.")
    ] = "",
    language: Language = "",
    observe_time: ObserveTime = None,
    known_time: KnownTime = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show the trust scores and terms of sellers. Ends with 3 if one has none."""
    times: dict[str, Any] = {"observe_time": observe_time, "known_time": known_time}
    reader = parse_option("--for", Audience, audience) if audience else 0
    with open_client(marketplace) as (connection, market):
        if explain or reader:
            missing = _show_explanations(
                connection, market, sellers, output, audience=reader, language=language, **times
            )
        else:
            missing = _show_scores(connection, market, sellers, output, times)
        remedy = describe_empty_marketplace(connection, missing[0].name) if missing else ""
    for seller in missing:
        say(f"error: {seller.problem}")
    if missing:
        say(f"next:  {remedy or NEXT_OF['SELLER_NOT_FOUND']}")
        raise typer.Exit(Exit.NOT_FOUND)


class MissingSeller(NamedTuple):
    name: str
    problem: str


def _show_scores(
    connection: Client, marketplace: str, sellers: list[str], output: Format, times: dict[str, Any]
) -> list[MissingSeller]:
    results = [result.message for result in connection.batch_get_trust_scores(marketplace, sellers, **times)]
    scored = [result for result in results if not result.HasField("error")]
    terms = []
    for seller in (result.seller.rsplit("/", 1)[-1] for result in scored):
        try:
            terms.append(connection.evaluate_measures(marketplace, seller, **times))
        except SellertrustCallError as error:  # the scores are shown all the same
            say(f"terms of {seller} are not shown: {error.message}")
    from service.cli.measures import describe_terms, list_terms  # numpy, which an error needs not wait for

    if output is Format.JSON:
        terms_of = {measures.seller: {"terms": list_terms(measures)} for measures in terms}
        emit(
            [
                _make_result_row(result) | _list_json_parts(result.trust_score) | terms_of.get(result.seller, {})
                for result in results
            ],
            output,
        )
    elif scored:
        emit([_make_result_row(result) for result in scored], output, COLUMNS)
        for result in scored:
            _print_cautions(result.trust_score)
        for measures in terms:
            write("\n".join([*describe_terms(measures), ""]))
    if any(NO_MODEL in result.trust_score.reason_codes for result in scored):
        say(NO_MODEL_SERVED)
    return [MissingSeller(result.seller, result.error.message) for result in results if result.HasField("error")]


def _show_explanations(
    connection: Client, marketplace: str, sellers: list[str], output: Format, **options: Any
) -> list[MissingSeller]:
    explanations: list[tuple[ExplainTrustScoreResponse, dict[str, Any]]] = []
    missing: list[MissingSeller] = []
    for seller in sellers:
        try:
            explanation = connection.explain_trust_score(marketplace, seller, **options)
            is_told = explanation.HasField("audience_answer")
            override = {} if is_told else _read_override(connection, marketplace, seller, explanation.trust_score)
            explanations.append((explanation, override))
        except SellertrustCallError as error:
            if error.code is not grpc.StatusCode.NOT_FOUND:
                raise
            missing.append(MissingSeller(seller_name(marketplace, seller), error.message))
    if output is Format.JSON:
        emit([_make_explanation_row(explanation) | override for explanation, override in explanations], output)
    else:
        for explanation, override in explanations:
            if explanation.HasField("audience_answer"):
                write("".join(wrap_line(sentence) for sentence in explanation.audience_answer.sentences))
                continue
            _print_explanation(explanation, override.get("override"))
    return missing


def _read_override(connection: Client, marketplace: str, seller: str, score: TrustScore) -> dict[str, Any]:
    if not score.override:
        return {}
    entry = find_entries(connection, marketplace, seller, [score.override])[score.override]
    fields = "entry=entry_id tier=override.tier until=override.until actor=override.actor reason=override.reason"
    return {"override": row_of(entry, fields)}


FIELDS = (
    "seller state points points_low points_high tier band standing badge p_bad incidents=counted_incidents"
    " open=open_allegations reasons=reason_codes model=stamp.model_digest observe_time=stamp.observe_time"
    " freshness=freshness.state"
)


def _make_result_row(result: BatchGetTrustScoresResponse.Result) -> dict[str, Any]:
    row = _make_score_row(result.trust_score)
    if result.HasField("error"):
        return dict.fromkeys(row) | {"seller": result.seller.rsplit("/", 1)[-1], "state": result.error.reason.lower()}
    return row


def _make_score_row(score: TrustScore) -> dict[str, Any]:
    row = row_of(score, FIELDS)
    if row["standing"] is None:
        del row["standing"]
    age = f", {score.freshness.age.seconds} s old" if row["freshness"] == "stale" else ""
    return row | {
        "p_bad": row["p_bad"] and round(row["p_bad"], 6),
        "reasons": " ".join(score.reason_codes),
        "model": score.stamp.model_digest[:12],
        "freshness": f"{row['freshness']}{age}",
    }


def _list_json_parts(score: TrustScore) -> dict[str, Any]:
    cautions = {"cautions": [row_of_all_fields(caution) for caution in score.cautions]} if score.cautions else {}
    return cautions | ({"trust_score": dict_of(score)} if score.seller else {})


def _print_cautions(score: TrustScore) -> None:
    for caution in score.cautions:
        seller, until = score.seller.rsplit("/", 1)[-1], caution.end_time.ToJsonString()[:16]
        text = (
            f"  caution {caution.rule} ({caution.reference}) until {until}Z for {seller}, case {caution.case}:"
            f" {describe_reason(caution)}; sellertrust measures shows what it asks for"
        )
        write(wrap_line(text))


def describe_reason(caution: Caution) -> str:
    """Return why a caution began, in words, such as `7 of 9 orders are not delivered`."""
    texts = {
        CAUTION_SIGNAL_REPORTS: f"reports that weigh {caution.counted:,} together",
        CAUTION_SIGNAL_CONTROL: "the account came into other hands",
        CAUTION_SIGNAL_UNDELIVERED: f"{caution.counted:,} of {caution.compared:,} orders are not delivered",
        CAUTION_SIGNAL_DISPUTED: f"{caution.counted:,} orders are disputed, of {caution.compared:,} delivered",
        CAUTION_SIGNAL_VALUE_JUMP: f"{caution.counted:,} minor units were captured, {caution.compared:,} on average before",
    }
    return texts.get(caution.signal, CautionSignal.Name(caution.signal))


def _make_explanation_row(explanation: ExplainTrustScoreResponse) -> dict[str, Any]:
    row = _make_score_row(explanation.trust_score) | _list_json_parts(explanation.trust_score)
    if explanation.HasField("thin_file"):
        row["thin_file"] = row_of_all_fields(explanation.thin_file)
    if explanation.HasField("audience_answer"):
        row["audience_answer"] = row_of_all_fields(explanation.audience_answer)
    if explanation.HasField("baseline_points"):
        row["baseline_points"] = explanation.baseline_points
        row["explanation"] = [row_of_all_fields(reason) for reason in explanation.reasons]
    return row


def _print_explanation(explanation: ExplainTrustScoreResponse, override: dict[str, Any] | None = None) -> None:
    row = _make_explanation_row(explanation)
    head = [f"{row['seller']}: {row['state']}"]
    if row["points"] is not None:
        head.append(f"{row['points']} points (90 %: {row['points_low']} to {row['points_high']})")
        head.append(f"tier {name_tier(row['tier'], row['band'])}, badge {row['badge']}")
    write(", ".join(head) + "\n")
    explained = {reason["reason_code"] for reason in row.get("explanation", ())}
    if unexplained := [code for code in row["reasons"].split() if code not in explained]:
        write(f"  {' '.join(unexplained)}\n")
    if NO_MODEL in row["reasons"].split():
        write(f"  {NO_MODEL_SERVED}\n")
    _print_cautions(explanation.trust_score)
    if override:
        write(
            f"  tier {override['tier']} was set by {override['actor']} until {override['until']}: {override['reason']}"
            f" (entry {override['entry']})\n"
        )
    if "thin_file" in row:
        thin = row["thin_file"]
        write(
            f"  settled orders {thin['settled_orders']} of {thin['settled_orders_needed']} needed,"
            f" {thin['tenure_days']} of {thin['tenure_days_needed']} days\n"
        )
    if "explanation" not in row:
        return
    _print_line("base", str(row["baseline_points"]), "the best row of every table")
    for reason in row["explanation"]:
        for number, text in enumerate(_list_facts(reason)):
            name, points = (reason["reason_code"], f"{reason['points']:+d}") if number == 0 else ("", "")
            _print_line(name, points, text)
    _print_line("points", str(row["points"]), "")


def _print_line(name: str, points: str, text: str) -> None:
    lines = wrap(text, 80 - _INDENT) or [""]
    first = f"  {name:<23} {points:>5}  {lines[0]}".rstrip()
    write("\n".join([first, *(" " * _INDENT + line for line in lines[1:])]) + "\n")


def _list_facts(reason: dict[str, Any]) -> list[str]:
    counted, compared = reason["counted"], reason["compared"]
    entries = f"; entries {' '.join(reason['entries'][:MAX_SHOWN])}" if reason["entries"] else ""
    since = f", since {reason['days'][0]['day']}" if reason["days"] else ""
    words = {
        "SERVICE_FAILURES": f"{counted:,} failed of {compared:,} orders, as the marketplace stated them; no confirmed"
        " violation",
        "INSPECTIONS_FAILED": f"{counted:,} failed of {compared:,} inspections",
        "DISPUTES_LOST": f"{counted:,} decided for the buyer, in {compared:,} orders",
        "FEW_ORDERS": f"{counted:,} settled orders{since}; more orders give more points",
        "SHORT_TENURE": f"{counted:,} days on record{since}; more days give more points",
        "IDENTITY_LEVEL": f"level {_LEVELS.get(counted, 'not stated')}",
        "LIMIT": f"points end here; the sum is {counted:,}",
    }
    summary = words.get(reason["reason_code"], f"incidents: {counted:,}" if reason["incidents"] else "")
    parts = [
        f"{incident['incident']}, {incident['severity']}, {incident['occur_time'][:10]}:"
        f" {incident['points_if_overturned']:+d} if overturned; entries {' '.join(incident['entries'])}"
        for incident in reason["incidents"]
    ]
    if reason["reason_code"] == "SERVICE_FAILURES":
        parts += [f"{day['day']}: {day['service_failures']:,} of {day['settled_orders']:,}" for day in reason["days"]]
    omitted = sum(reason[f"{kind}_omitted"] for kind in ("incidents", "entries", "days"))
    more = len(parts) - MAX_SHOWN + omitted
    omission = [f"and {more:,} more, with -o json" + (f" all but {omitted:,}" if omitted else "")] if more > 0 else []
    return [summary + entries, *parts[:MAX_SHOWN], *omission]
