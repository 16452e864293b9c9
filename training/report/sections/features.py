"""Section on features: drift (PSI, CSI), the page that makes the points, and reasons given.

Parts raise Absent without their figures.
"""

from itertools import pairwise
from typing import Any

from scoring.features.table import FEATURES
from training.report.drawing import Scaled, axis, bar, curve
from training.report.numbers import count, general, listed, number, percent, plural, signed
from training.report.parts import Axis, Block, Cell, Chip, Facts, Multiples, Plot, Table, Text
from training.report.reading import Absent, Reading

Json = Any
ARROWS = {1: "↑ more is better", -1: "↓ more is worse", 0: "↔ free"}


def psi(r: Reading) -> list[Block]:
    """Tabulate the drift of score and features, largest first."""
    found = r.found("psi")
    score, features = found["score"], found["features"]
    moved = [row for row in features if _over(row)]
    features = sorted(features, key=lambda row: -(row["value"] or 0))
    scale = Scaled([0.0, *(v for row in [score, *features] for v in (row["value"], row["critical"]))])
    title = "Scores moved" if _over(score) else "Scores did not move"
    title += f": PSI {number(score['value'])}, critical {number(score['critical'])}"
    title += f"; {plural(len(moved), 'feature')} of {len(features)} moved"
    caption = (
        "Training against test. The upright mark is the critical value, which chance alone passes in 5 % of cases: look"
        " for bars that reach beyond it. Drift is when retraining is needed most, so this is no verdict on the model."
    )

    def row(name: str, value: Json) -> list[Cell]:
        chip = Chip("warn", "moved") if _over(value) else Chip("good", "steady")
        drawn = scale.cell(value["value"], 0.0, value["value"], number(value["value"]), value["critical"])
        return [name, drawn, number(value["critical"]), chip]

    head = ("score or feature", "PSI", "critical", "result")
    first = [row("score", score), *[row(str(f["feature"]), f) for f in features[:12]]]
    rest = [row(str(f["feature"]), f) for f in features[12:]]
    blocks: list[Block] = [Table(title, caption, head, first)]
    if rest:
        blocks.append(Table("", "", head, rest, fold=f"Show the other {plural(len(rest), 'feature')}, all steadier"))
    return blocks


def _over(row: Json) -> bool:
    return row["value"] is not None and row["critical"] is not None and row["value"] > row["critical"]


def certificate(r: Reading) -> list[Block]:
    c = r.certificate
    directions = c.get("directions")
    if not directions:
        raise Absent("certificate.json of this model does not hold directions")
    bound = sum(1 for d in directions.values() if d)
    text = (
        f"Proven exactly over {plural(c.get('trees', 0), 'table')}: in {bound} of {len(directions)} features the score moves"
        " one way only. A model for which this cannot be proven is not served. The proof covers the text of this SHA-256."
    )
    rows = [
        ("algorithm", str(c.get("algorithm", "not stated"))),
        ("model text, SHA-256", str(c.get("model_sha256", "not stated"))),
    ]
    return [Text(text), Facts(rows, code=True), _directions(directions)]


def _directions(directions: dict[str, int]) -> Table:
    rows: list[list[Cell]] = []
    for key, direction in directions.items():
        known = FEATURES.get(key)
        rows.append(
            [
                key,
                ARROWS[direction],
                known.unit if known else "attribute",
                known.definition if known else "an attribute",
            ]
        )
    head = ("feature", "direction", "unit", "definition")
    return Table(
        "", "", head, rows, fold=f"Show all {plural(len(rows), 'feature')} with their directions and definitions"
    )


def page(r: Reading) -> list[Block]:
    """Draw the page: base points, a picture and the rows of each table, the most costly table first."""
    found = r.found("page")
    tables = sorted(found["tables"], key=lambda table: min(table["points"]))
    y = axis([0, *(points for table in tables for points in table["points"])], "", about=3)
    title = f"Base {count(found['base'])} points; {plural(len(tables), 'table')} take up to {listed_losses(tables)}"
    caption = (
        "A seller's points are the base plus one row of each table, at least 0 and at most 1,000. All figures share one"
        " scale. Look for a single step that decides alone."
    )
    drawn = [_curve(table, y) for table in tables if len(table["features"]) == 1]
    return [Multiples(title, caption, drawn), _definitions(tables), *(_rows(table) for table in tables)]


def listed_losses(tables: list[Json]) -> str:
    """Return, in words, the most points that the three most costly tables take."""
    return listed([f"{-min(table['points'])} ({table['features'][0]})" for table in tables[:3]])


def _definitions(tables: list[Json]) -> Table:
    rows: list[list[Cell]] = [
        [key, unit or "attribute", text]
        for table in tables
        for key, unit, text in zip(table["features"], table["units"], table["definitions"], strict=True)
    ]
    return Table("", "", ("feature", "unit", "how facts become it"), rows, fold="Show how facts become features")


def _rows(table: Json) -> Table:
    names, most = " and ".join(table["features"]), -min(table["points"])
    rows: list[list[Cell]] = [
        [row, bar(-points, most, str(points))] for row, points in zip(table["rows"], table["points"], strict=True)
    ]
    return Table("", "", (names, "points"), rows, fold=f"{names}: {plural(len(rows), 'row')}")


def _curve(table: Json, y: Axis) -> Plot:
    edges, points = table["edges"][0], table["points"]
    beyond = (edges[-1] - edges[0]) or abs(edges[0]) or 1.0
    ends = [min(edges[0], 0.0) if edges[0] else -beyond / 4, *edges, edges[-1] + beyond / 4]
    xs = [value for low, high in pairwise(ends) for value in (low, high)]
    x = Axis(min(xs), max(xs), "", [(edge, general(edge)) for edge in sorted({edges[0], edges[-1]})])
    drawn = curve(xs, [value for value in points for _ in (0, 1)], x, y, "response")
    caption = f"{signed(min(points), 0)} points at most"
    return Plot(str(table["features"][0]), caption, x, y, [drawn], height=104, left=38, small=True, grid="y")


def reasons(r: Reading) -> list[Block]:
    rows = sorted(r.found("reasons"), key=lambda row: -row["rows"])
    most = max(row["share"] for row in rows)
    first = rows[0]
    title = f"Given most often: {first['reason_code']}, to {percent(first['share'])} of sellers"
    caption = (
        "How many sellers of the test get each reason. Look for one that nearly everybody gets: it explains nothing."
    )
    cells: list[list[Cell]] = [
        [str(row["reason_code"]), bar(row["share"], most, percent(row["share"])), count(row["rows"])] for row in rows
    ]
    return [Table(title, caption, ("reason", "share of sellers", "sellers"), cells)]
