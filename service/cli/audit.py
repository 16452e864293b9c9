import csv
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from scoring.base.canonical import canonical_json, parse_json
from scoring.base.errors import FieldViolation, InvalidInput, SellertrustError, invalid
from scoring.entries.field_types import is_id
from scoring.model.scale import BASE_ODDS, BASE_POINTS, PDO
from scoring.sampling.independent import check_sample
from scoring.sampling.sample import (
    PPM,
    ErrorsOfTest,
    Frame,
    Plan,
    Unit,
    describe_estimate,
    describe_plan,
    draw_plan,
    estimate_shares,
    make_frame,
    name_plan,
    read_plan,
)
from sellertrust.client import Client
from sellertrust.v1.entry_pb2 import CORRECTION_KIND_VOID, INSPECTION_RESULT_FAILED, Entry
from service.cli.common import open_client
from service.cli.options import Marketplace
from service.cli.output import Column, Format, Output, emit, format_count, say
from service.cli.progress import StepProgress
from service.cli.tables import read_table
from service.files import write_whole
from service.ledger.seals.checkpoints import load_or_make_key
from service.settings import load

NEEDED = ("listing", "seller")
AMOUNTS = ("units", "value_minor")
COLUMNS = (*NEEDED, "category", *AMOUNTS, "expected")
PLAN_ATTRIBUTE = "audit_plan"

SCORED_AT_ONCE = 1_000
EXPECTED_WITHOUT_SCORES = 0.05
"""Expected probability of a fake if no seller of the frame has points."""

FrameFile = Annotated[
    Path,
    typer.Argument(
        metavar="FRAME", exists=True, dir_okay=False, help="The listings as CSV, with a first line of columns."
    ),
]


def plan_command(
    file: FrameFile,
    budget: Annotated[int, typer.Option("--budget", min=1, help="How many listings are bought.")],
    seed: Annotated[
        str | None, typer.Option("--seed", help="A text that nobody could know before the frame's digest was public.")
    ] = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Draw the listings of a random sample of test buys.

    FRAME has the columns listing and seller, and may have category, units and value_minor (sold, whole numbers) and
    expected (the probability of a fake, 0 to 1). Without `expected`, the sellers' scores state it, and a complete frame
    is written beside FRAME.

    Without --seed the command shows the frame's digest, to publish before the draw. FRAME.plan.json then holds the plan,
    signed with checkpoint-key.pem of the data folder.
    """
    rows = _read_rows(file)
    if "expected" not in next(iter(rows.values())):
        if seed is not None:
            raise invalid(
                "FRAME", "lacks the column expected; run the command without --seed first, then use the file it writes"
            )
        _add_expected([*rows.values()], marketplace)
        file = _write_frame(file, [*rows.values()])
    frame = _make_frame(rows)
    if seed is None:
        say(f"{format_count(len(frame.units), 'listing')}; the digest of the frame is {frame.digest}")
        say(f"next:  publish it, then: sellertrust audit plan {file} --budget {budget} --seed TEXT")
        return
    plan = draw_plan(frame, seed, budget)
    described = describe_plan(plan)
    _write_signed(_name_file_beside(file, "plan"), described)
    emit(
        [
            {
                "listing": draw.unit.listing,
                "seller": draw.unit.seller,
                "category": draw.unit.category,
                "selection_probability_ppm": _convert_to_ppm(draw.probability_ppb),
                PLAN_ATTRIBUTE: name_plan(described),
            }
            for draw in plan.drawn
        ],
        output,
    )
    say(f"next:  buy them, append an inspection for each, then: sellertrust audit estimate {file}")


def estimate_command(
    file: FrameFile,
    sensitivity: Annotated[float, typer.Option("--sensitivity", help="Share of the fakes that the test finds.")] = 1.0,
    specificity: Annotated[float, typer.Option("--specificity", help="Share of the genuine that pass the test.")] = 1.0,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Estimate the share of fakes, with a 95 % interval, from the inspections of a plan.

    It reads FRAME.plan.json, and the inspections on record whose attribute audit_plan names the plan: a failed
    inspection is a fake. FRAME.estimate.json then holds plan, results and shares, signed.
    """
    frame = _make_frame(_read_rows(file))
    described = _read_signed(_name_file_beside(file, "plan"), None)
    plan = read_plan(described, frame)
    is_fake = _find_results(plan, name_plan(described), marketplace)
    errors = ErrorsOfTest(sensitivity, specificity)
    shares = estimate_shares(plan, is_fake, errors)
    _write_signed(_name_file_beside(file, "estimate"), describe_estimate(described, is_fake, errors, shares))
    emit([asdict(share) for share in shares], output, SHARE_COLUMNS)
    if missing := len(plan.drawn) - len(is_fake):
        say(f"{format_count(missing, 'drawn listing')} without a result count as missing by chance")


def find_faults_of_estimate(file: Path, public_key: str) -> list[str]:
    """Check a signed estimate against the frame beside it. Return each fault in words, [] if all is proven.

    Raises SellertrustError for a file that `public_key` (hex) did not sign, InvalidInput without a valid frame.
    """
    stem = file.name.removesuffix(".estimate.json")
    frame = next((path for path in (file.with_name(f"{stem}.csv"), file.with_name(stem)) if path.is_file()), None)
    if frame is None or stem == file.name:
        raise invalid("WHAT", f"{file} must lie beside its frame: as NAME.estimate.json beside NAME.csv")
    document = _read_signed(file, public_key)
    units = _make_frame(_read_rows(frame)).units
    return check_sample(
        document,
        [(unit.listing, unit.seller, unit.category, unit.units, unit.value_minor, unit.expected_ppm) for unit in units],
    )


SHARE_COLUMNS = (
    *(Column("category"), Column("by")),
    Column("fakes", ("value", "low", "high"), "{:.2%} ({:.2%} to {:.2%})".format),
    Column("tested", ("fakes", "tested"), "{} of {} failed".format),
)


def _convert_to_ppm(probability_ppb: int) -> int:
    return max(probability_ppb // 1_000, 1)


def _name_file_beside(file: Path, suffix: str) -> Path:
    return file.with_name(f"{file.name.removesuffix('.csv')}.{suffix}.json")


def _read_rows(file: Path) -> dict[int, dict[str, str]]:
    rows = read_table(file, COLUMNS, NEEDED)
    if not rows:
        raise invalid("FRAME", "holds no listing")
    return rows


def _make_frame(rows: dict[int, dict[str, str]]) -> Frame:
    return make_frame([_read_unit(line, row) for line, row in rows.items()])


def _read_unit(line: int, row: dict[str, str]) -> Unit:
    for name in (*NEEDED, *(["category"] if row.get("category") else [])):
        if not is_id(row[name]):
            raise invalid(
                f"line {line}, {name}", f"{row[name]!r} is no id: 1 to 128 letters, digits or any of . _ ~ : -"
            )
    units, value = (_read_number(line, name, row.get(name) or "0", 10**15, int) for name in AMOUNTS)
    expected = _read_number(line, "expected", row.get("expected", ""), 1, float)
    return Unit(row["listing"], row["seller"], row.get("category", ""), int(units), int(value), round(expected * PPM))


def _read_number(line: int, name: str, text: str, limit: float, form: type[int] | type[float]) -> float:
    try:
        value = form(text)
    except ValueError:
        value = -1
    if not 0 <= value <= limit:
        whole = "whole " if form is int else ""
        raise invalid(f"line {line}, {name}", f"must be a {whole}number from 0 to {limit:g}, and is {text!r}")
    return value


def _add_expected(rows: list[dict[str, str]], marketplace: str | None) -> None:
    """Write each seller's probability of bad, from its points, to its listings; sellers without points get the mean."""
    expected: dict[str, float] = {}
    sellers = sorted({row["seller"] for row in rows})
    with open_client(marketplace) as (connection, market), StepProgress() as progress:
        for start in range(0, len(sellers), SCORED_AT_ONCE):
            group = sellers[start : start + SCORED_AT_ONCE]
            for seller, result in zip(group, connection.batch_get_trust_scores(market, group), strict=True):
                score = result.trust_score
                if score is not None and score.points is not None:
                    expected[seller] = 1 / (1 + BASE_ODDS * 2 ** ((score.points - BASE_POINTS) / PDO))
            progress("scores", start + len(group), len(sellers))
    mean = sum(expected.values()) / len(expected) if expected else EXPECTED_WITHOUT_SCORES
    for row in rows:
        row["expected"] = f"{expected.get(row['seller'], mean):.6f}"


def _write_frame(file: Path, rows: list[dict[str, str]]) -> Path:
    beside = file.with_name(f"{file.name.removesuffix('.csv')}.frame.csv")
    with beside.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, [name for name in COLUMNS if name in rows[0]])
        writer.writeheader()
        writer.writerows(rows)
    return beside


def _find_results(plan: Plan, plan_id: str, marketplace: str | None) -> dict[str, bool]:
    """Return whether the inspection of each listing failed, after checking it against the plan."""
    draws = {draw.unit.listing: draw for draw in plan.drawn}
    sellers = sorted({draw.unit.seller for draw in plan.drawn})
    failed_by_listing: dict[str, bool] = {}
    wrong: list[str] = []
    with open_client(marketplace) as (connection, market), StepProgress() as progress:
        for number, seller in enumerate(sellers, 1):
            for entry in _list_inspections(connection, market, seller, plan_id):
                listing, fails = entry.inspection.listing, entry.inspection.result == INSPECTION_RESULT_FAILED
                draw = draws.get(listing)
                fault = ""
                if draw is None or draw.unit.seller != seller:
                    fault = f"is about listing {listing!r} of {seller}, which the plan did not draw"
                elif entry.inspection.selection_probability_ppm != _convert_to_ppm(draw.probability_ppb):
                    fault = f"must state selection_probability_ppm {_convert_to_ppm(draw.probability_ppb)}, as the plan does"
                elif failed_by_listing.setdefault(listing, fails) != fails:
                    fault = f"contradicts another of listing {listing!r}; void the wrong one"
                if fault:
                    wrong.append(f"{entry.entry_id}: {fault}")
            progress("results", number, len(sellers))
    if wrong:
        raise InvalidInput([FieldViolation(("inspection",), text) for text in wrong])
    return failed_by_listing


def _list_inspections(connection: Client, marketplace: str, seller: str, plan_id: str) -> Iterator[Entry]:
    from sellertrust.errors import SellertrustCallError

    try:
        entries = [*connection.list_entries(marketplace, seller)]
    except SellertrustCallError as error:
        if error.code.name != "NOT_FOUND":
            raise
        return
    corrections = [entry.correction for entry in entries]
    void = {correction.entry for correction in corrections if correction.correction == CORRECTION_KIND_VOID}
    for entry in entries:
        if entry.inspection.attributes.get(PLAN_ATTRIBUTE) == plan_id and entry.entry_id not in void:
            yield entry


def _write_signed(path: Path, document: dict[str, Any]) -> None:
    key = load_or_make_key(load().data_dir / "checkpoint-key.pem")
    signed = {
        "document": document,
        "public_key": key.public_key().public_bytes_raw().hex(),
        "signature": key.sign(_make_signed_bytes(document)).hex(),
    }
    write_whole(path, (json.dumps(signed, ensure_ascii=False, indent=1) + "\n").encode())
    say(f"{path} written, signed by {signed['public_key']}")


def _read_signed(path: Path, public_key: str | None) -> Any:
    try:
        signed = parse_json(path.read_bytes())
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key or signed["public_key"]))
        key.verify(bytes.fromhex(signed["signature"]), _make_signed_bytes(signed["document"]))
    except FileNotFoundError:
        raise invalid("FRAME", f"there is no {path} beside it") from None
    except (OSError, ValueError, KeyError, TypeError, InvalidSignature):
        raise SellertrustError(f"{path} is damaged, or was not signed by this key") from None
    return signed["document"]


def _make_signed_bytes(document: Any) -> bytes:
    return b"sellertrust-sample 1\n" + canonical_json(document)
