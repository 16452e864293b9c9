import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from google.protobuf import json_format

from scoring.base.canonical import parse_json
from scoring.base.errors import invalid
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from sellertrust.v1.answer_service_pb2 import (
    Ingredient,
    ReplayState,
    ReplayTrustScoreResponse,
    SimulateTrustScoreResponse,
    StatementOfReasons,
)
from sellertrust.v1.measure_service_pb2 import EvaluateMeasuresResponse
from sellertrust.v1.trust_score_service_pb2 import AUDIENCE_SELLER, AUDIENCE_STAFF, TrustScore
from service.cli.common import open_client
from service.cli.ledger import read_entries
from service.cli.measures import kind_text, tier_text, value_text
from service.cli.options import Language, Marketplace, Seller
from service.cli.output import Exit, Format, Output, emit, emit_one, wrap_line, write
from service.cli.progress import StepProgress
from service.cli.rows import dict_of
from service.cli.scores import name_tier

ForSeller = Annotated[bool, typer.Option("--for-seller", help="Show only what the seller itself may see.")]


def simulate(
    seller: Seller,
    overturn: Annotated[
        list[str] | None,
        typer.Option("--overturn", metavar="VIOLATION", help="If this appeal succeeds; may be repeated."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", metavar="FILE", exists=True, dir_okay=False, help="If these entries come, in JSON lines."
        ),
    ] = None,
    days: Annotated[int, typer.Option("--days", min=0, max=365, help="So many days from now.")] = 0,
    for_seller: ForSeller = False,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show the score and measures of a seller if something happened.

    Nothing is recorded.
    """
    with open_client(marketplace) as (connection, market):
        response = connection.simulate_trust_score(
            market,
            seller,
            read_entries(file, market) if file is not None else (),
            overturned=overturn or (),
            observe_time=datetime.now(UTC) + timedelta(days=days) if days else None,
            audience=AUDIENCE_SELLER if for_seller else AUDIENCE_STAFF,
        )
    if output is Format.JSON:
        emit_one(dict_of(response), output)
    else:
        _print_simulation(response)


def _print_simulation(simulation: SimulateTrustScoreResponse) -> None:
    write(f"now: {_describe_score(simulation.present)}\nif so: {_describe_score(simulation.simulated)}\n")
    before, after = _describe_measures(simulation.present_measures), _describe_measures(simulation.simulated_measures)
    for sign, lines in (("ends", before - after), ("begins", after - before)):
        for line in sorted(lines):
            write(wrap_line(f"  {sign}: {line}"))


def _describe_score(score: TrustScore) -> str:
    points = f"{score.points} points, " if score.HasField("points") else ""
    return f"{points}tier {name_tier(tier_text(score.tier), score.band)}, badge {score.badge}"


def _describe_measures(response: EvaluateMeasuresResponse) -> set[str]:
    return {
        f"{kind_text(measure.kind)} {value_text(measure.current, response.currency)} ({measure.reference or 'by a person'})"
        for measure in response.measures
        if not measure.waived and not measure.lifted
    }


def path(
    seller: Seller,
    language: Language = "",
    for_seller: ForSeller = False,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show the shortest way of a seller to each better tier. It is a forecast by today's rules."""
    audience = AUDIENCE_SELLER if for_seller else AUDIENCE_STAFF
    with open_client(marketplace) as (connection, market):
        answer = connection.find_tier_path(market, seller, audience=audience, language=language)
    if output is Format.JSON:
        emit_one(dict_of(answer), output)
        return
    write(f"now: tier {tier_text(answer.tier)}; by today's rules:\n")
    for way in answer.paths:
        write(wrap_line(f"  {way.sentence}"))
    if answer.fixed:
        day = answer.fixed_until_day or "not within 540 days"
        write(f"  within 180 days no act of the seller alone improves the tier sooner than a wait: {day}\n")
    if answer.stopped:
        write("  the seller has very many entries; not every way was searched\n")
    for appeal in answer.appeals:
        write(
            wrap_line(
                f"  if the appeal about {appeal.entries[0]} succeeds: {appeal.points:+d}, {tier_text(appeal.tier)}"
            )
        )
    if answer.healing:
        last = answer.healing[-1]
        write(f"  if nothing new happens until {last.day}: {last.points} points, tier {tier_text(last.tier)}\n")


def replay(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="JSON of old answers of the contract.")
    ],
    output: Output = Format.TABLE,
) -> None:
    """Answer again from the JSON of an old answer, and show what has changed.

    FILE holds a TrustScore, a list of them (`score SELLER -o json`), or the response of EvaluateMeasures (`measures SELLER
    -o json`). Ends with 4 if a replay is another answer.
    """
    replays = []
    for old in (answers := _read_answers(file)):
        marketplace, seller = old.seller.split("/")[1::2]
        with open_client(marketplace) as (connection, market):
            replays.append(connection.replay_trust_score(market, seller, old))
    if output is Format.JSON and len(answers) == 1:
        emit_one(dict_of(replays[0]), output)
    elif output is Format.JSON:
        emit([dict_of(answer) for answer in replays], output)
    else:
        _write_replays(replays)
    if any(answer.differing for answer in replays):
        raise typer.Exit(Exit.REFUSED)


def _write_replays(replays: Iterable[ReplayTrustScoreResponse]) -> None:
    for answer in replays:
        state = ReplayState.Name(answer.state).removeprefix("REPLAY_STATE_").lower()
        seller = answer.seller.rpartition("/")[2]
        write(f"{state}: {seller}, {_describe_score(answer.trust_score)}\n")
        for name in answer.differing:
            write(f"  differs: {name}\n")
        for step in answer.steps:
            name = Ingredient.Name(step.ingredient).removeprefix("INGREDIENT_").lower()
            points = f"{step.points} points, " if step.HasField("points") else ""
            write(wrap_line(f"  {name} {step.then[:12]} -> {step.now[:12]}: {points}tier {tier_text(step.tier)}"))


def statements(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", exists=True, file_okay=False, writable=True, help="Where files go.")
    ],
    sellers: Annotated[list[str] | None, typer.Argument(metavar="SELLER...", help="Default: all.")] = None,
    notices: Annotated[bool, typer.Option("--notices", help="Only letters about new rules, while they wait.")] = False,
    language: Language = "en",
    marketplace: Marketplace = None,
) -> None:
    """Write the statements of reasons for measures in force into a folder.

    A letter is a .txt and an .html file. Records for the EU transparency database go into files of at most 100; a record
    that a file of the folder holds already is not written again.
    """
    from service.contract.dsa_records import MAX_BATCH

    batches = [parse_json(file.read_bytes()) for file in folder.glob("records-*.json")]
    written = {record["puid"] for batch in batches for record in batch["statements"]}
    records: list[Mapping[str, Any]] = []
    count = 0
    with open_client(marketplace) as (connection, market), StepProgress() as progress:
        for seller, statement in _list_statements(connection, market, sellers, language, progress):
            if notices and not statement.HasField("notice_end_time"):
                continue
            name = f"{seller}~{statement.measure or 'notice'}.{statement.language}"
            text, html = folder / f"{name}.txt", folder / f"{name}.html"
            if statement.HasField("barred_until_time"):
                text.unlink(missing_ok=True)
                html.unlink(missing_ok=True)
            else:
                text.write_text(statement.text, encoding="utf-8")
                html.write_text(statement.html, encoding="utf-8")
                count += 1
            record = parse_json(statement.record or "{}")
            if record and record["puid"] not in written:
                records.append(record)
    for number, begin in enumerate(range(0, len(records), MAX_BATCH), len(batches) + 1):
        batch = {"statements": records[begin : begin + MAX_BATCH]}
        content = json.dumps(batch, ensure_ascii=False, indent=1) + "\n"
        (folder / f"records-{number:05}.json").write_text(content, encoding="utf-8")
    write(f"{count:,} letters and {len(records):,} new records in {folder}\n")


def _list_statements(
    connection: Client, market: str, sellers: list[str] | None, language: str, progress: StepProgress
) -> Iterator[tuple[str, StatementOfReasons]]:
    names = sellers or [*_list_sellers(connection, market)]
    for number, seller in enumerate(names, 1):
        progress("letters", number, len(names))
        try:
            letters = connection.list_statements_of_reasons(market, seller, language=language)
        except SellertrustCallError as error:
            if sellers or error.code is not grpc.StatusCode.NOT_FOUND:
                raise
            continue  # an entry names it, and nothing identifies it
        yield from ((seller, statement) for statement in letters.statements)


def _list_sellers(connection: Client, market: str) -> Iterable[str]:
    entries = connection.list_entries(market)
    return dict.fromkeys(entry.seller.split("/")[-1] for entry in entries if entry.seller)


def _read_answers(file: Path) -> list[TrustScore | EvaluateMeasuresResponse]:
    try:
        content = parse_json(file.read_bytes())
    except ValueError as error:
        raise invalid("FILE", f"is no answer in the contract's JSON: {error}") from None
    if content == []:
        raise invalid("FILE", "holds no answer; keep the output of `score SELLER -o json`")
    return [_read_answer(values) for values in (content if isinstance(content, list) else [content])]


def _read_answer(values: Any) -> TrustScore | EvaluateMeasuresResponse:
    try:
        values = values.get("trust_score", values)
        kind = EvaluateMeasuresResponse if "terms" in values or "policy_name" in values else TrustScore
        answer = json_format.ParseDict(values, kind(), ignore_unknown_fields=True)
    except (ValueError, AttributeError, json_format.ParseError) as error:
        raise invalid("FILE", f"is no answer in the contract's JSON: {error}") from None
    if len(answer.seller.split("/")) != 4:
        raise invalid("FILE", "names no seller; keep the whole answer, with seller and stamp")
    return answer
