"""Features: drift (PSI, CSI), and the page that makes the points."""

import math
from itertools import pairwise

from scoring.features.table import FEATURES
from training.report.drawing import ScaledIntervals, axis, draw_bar, draw_curve
from training.report.parts import (
    Axis,
    Blocks,
    Chip,
    Json,
    Plot,
    Plots,
    Reading,
    Row,
    Table,
    count,
    listed,
    number,
    percent,
    plural,
    signed,
    significant,
)

ARROWS = {1: "↑ more is better", -1: "↓ more is worse", 0: "↔ free"}
OPEN_ROWS = 12


def psi(r: Reading) -> Blocks:
    """Tabulate the drift of score and features, largest first."""
    score = {"feature": "score", **r.evaluation["psi"]["score"]}
    features = sorted(r.evaluation["psi"]["features"], key=lambda row: -row["value"])
    scale = ScaledIntervals([0.0, *(row[key] for row in (score, *features) for key in ("value", "critical"))])

    def cells(row: Json) -> Row:
        chip = Chip("warn", "moved") if row["value"] > row["critical"] else Chip("good", "steady")
        drawn = scale.cell(row["value"], 0.0, row["value"], number(row["value"]), row["critical"])
        return [str(row["feature"]), drawn, number(row["critical"]), chip]

    moved = sum(row["value"] > row["critical"] for row in features)
    title = "Scores moved" if score["value"] > score["critical"] else "Scores did not move"
    title += f": PSI {number(score['value'])}, critical {number(score['critical'])}"
    title += f"; {plural(moved, 'feature')} of {len(features)} moved"
    caption = (
        "Training against test. The upright mark is the critical value, which chance alone passes in 5 % of cases: look"
        " for bars that reach beyond it. Drift is when retraining is needed most, so this is no verdict on the model."
    )
    head = ("score or feature", "PSI", "critical", "result")
    open_features, folded_features = [score, *features[:OPEN_ROWS]], features[OPEN_ROWS:]
    blocks: Blocks = [Table(title, caption, head, [cells(row) for row in open_features])]
    if folded_features:
        fold = f"Show the other {plural(len(folded_features), 'feature')}, each with a smaller PSI"
        blocks.append(Table("", "", head, [cells(row) for row in folded_features], fold))
    return blocks


def list_directions(r: Reading) -> Blocks:
    """Tabulate the direction in which each feature provably moves the score."""
    directions = r.certificate["directions"]
    rows: list[Row] = []
    for key, direction in directions.items():
        known = FEATURES.get(key)
        meaning = (known.unit, known.definition) if known else ("attribute", "an attribute")
        rows.append([key, ARROWS[direction], *meaning])
    fold = f"Show all {plural(len(rows), 'feature')} with their directions, and how facts become them"
    return [Table("", "", ("feature", "direction", "unit", "definition"), rows, fold)]


def page(r: Reading) -> Blocks:
    """Draw the model's page of points: the base, then a picture and the rows of each table, the most costly first."""
    points_page = r.evaluation["page"]
    tables = sorted(points_page["tables"], key=lambda table: min(table["points"]))
    y = axis([0, *(points for table in tables for points in table["points"])], "", about=3)
    most = listed([f"{-min(table['points'])} ({table['features'][0]})" for table in tables[:3]])
    title = f"Base {count(points_page['base'])} points; {plural(len(tables), 'table')} take up to {most}"
    caption = (
        "A seller's points are the base plus one row of each table, at least 0 and at most 1,000. All figures share one"
        " scale of points; the other axis is logarithmic. Look for a single step that decides alone."
    )
    drawn = [_draw_table(table, y) for table in tables if len(table["features"]) == 1]
    return [Plots(drawn, title, caption), *(_tabulate_rows(table) for table in tables)]


def importance(r: Reading) -> Blocks:
    """Tabulate each feature's share of the spread of points."""
    rows = r.evaluation["importance"]
    most = rows[0]["share"]
    cells: list[Row] = [[str(row["feature"]), draw_bar(row["share"], most, percent(row["share"]))] for row in rows]
    title = f"Most is decided by {listed([str(row['feature']) for row in rows], 3)}"
    caption = "Each feature's part of the spread of points over the test rows. It says nothing of causes."
    return [Table(title, caption, ("feature", "share of the spread"), cells)]


def _tabulate_rows(table: Json) -> Table:
    names, most = " and ".join(table["features"]), -min(table["points"])
    rows: list[Row] = [
        [row, draw_bar(-points, most, str(points))] for row, points in zip(table["rows"], table["points"], strict=True)
    ]
    return Table("", "", (names, "points"), rows, fold=f"{names}: {plural(len(rows), 'row')}")


def _draw_table(table: Json, y: Axis) -> Plot:
    edges, points = table["edges"][0], table["points"]
    width = (edges[-1] - edges[0]) or abs(edges[0]) or 1.0
    ends = [min(edges[0], 0.0) if edges[0] else -width / 4, *edges, edges[-1] + width / 4]
    unit = min((abs(edge) for edge in edges if edge), default=1.0)

    def to_log_scale(value: float) -> float:
        return math.copysign(math.log1p(abs(value) / unit), value)

    xs = [to_log_scale(value) for low, high in pairwise(ends) for value in (low, high)]
    x = Axis(min(xs), max(xs), "", [(to_log_scale(edge), significant(edge)) for edge in sorted({edges[0], edges[-1]})])
    drawn = draw_curve(xs, [value for value in points for _ in (0, 1)], x, y, "response")
    caption = f"{signed(min(points), 0)} points at most"
    return Plot(str(table["features"][0]), caption, x, y, [drawn], small=True)
