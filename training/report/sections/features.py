"""Whether the world moved (PSI, CSI), how each feature bends the score, and which reasons are given."""

from typing import Any

from scoring.features.table import FEATURES
from training.report.drawing import Scaled, axis, bar, curve
from training.report.numbers import count, general, listed, number, percent, plural, signed
from training.report.parts import Axis, Block, Cell, Chip, Facts, Multiples, Plot, Table, Text
from training.report.reading import Absent, Reading

Json = Any
SHOWN = 24
ARROWS = {1: "↑ more is better", -1: "↓ more is worse", 0: "↔ free"}


def psi(r: Reading) -> list[Block]:
    """Tabulate the drift of score and features from training to test, largest first.

    Raises Absent, which leaves the part out, if the evaluation lacks the figures.
    """
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
    """Show what is proven: how many trees, in which features the score moves one way only.

    Raises Absent, which leaves the part out, if the certificate states no directions.
    """
    c = r.certificate
    directions = c.get("directions")
    if not directions:
        raise Absent("certificate.json of this model does not hold directions")
    bound = sum(1 for d in directions.values() if d)
    text = (
        f"Proven exactly over {plural(c.get('trees', 0), 'tree')}: in {bound} of {len(directions)} features the score moves"
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


def responses(r: Reading) -> list[Block]:
    """Draw the baseline seller's points as each feature moves alone, strongest first.

    Raises Absent, which leaves the part out, if the evaluation lacks the curves.
    """
    found = r.found("response_curves")
    span = {id(row): max(row["points"]) - min(row["points"]) for row in found}
    moving = sorted((row for row in found if span[id(row)]), key=lambda row: -span[id(row)])
    flat = [str(row["feature"]) for row in found if not span[id(row)]]
    if not moving:
        return [Text("No feature moves the points by itself from where the baseline seller stands.")]
    y = axis([v for row in moving for v in row["points"]], "", about=3)
    wrong = [str(row["feature"]) for row in moving if _against(row)]
    best = moving[0]
    title = f"Strongest alone: {best['feature']}, {count(span[id(best)])} points from end to end"
    if wrong:
        title += f"; against their direction: {listed(wrong)}"
    caption = (
        "Points as one feature goes from its least to its greatest value in training while all others stay at the clean"
        " baseline seller's; all figures share one scale. Look for sudden steps, and for a curve against its arrow."
    )
    blocks: list[Block] = [Multiples(title, caption, [_response(row, y) for row in moving[:SHOWN]])]
    if rest := moving[SHOWN:]:
        fold = f"Show the other {plural(len(rest), 'feature')} that move the points"
        blocks.append(Multiples("", "", [_response(row, y) for row in rest], fold))
    if flat:
        fold = f"Name the {plural(len(flat), 'feature')} that move no points by themselves"
        rows: list[list[Cell]] = [[name] for name in flat]
        blocks.append(Table("", "", ("feature",), rows, fold=fold))
    return blocks


def _response(row: Json, y: Axis) -> Plot:
    xs, points = row["x"], row["points"]
    x = Axis(min(xs), max(xs), "", [(v, general(v)) for v in (min(xs), max(xs))])
    arrow = {1: "↑", -1: "↓", 0: "↔"}[row["direction"]]
    caption = f"{arrow} {signed(points[-1] - points[0], 0)} points"
    return Plot(
        str(row["feature"]),
        caption,
        x,
        y,
        [curve(xs, points, x, y, "response")],
        height=104,
        left=38,
        small=True,
        grid="y",
    )


def _against(row: Json) -> bool:
    steps = [b - a for a, b in zip(row["points"], row["points"][1:], strict=False)]
    return bool(row["direction"]) and any(step * row["direction"] < 0 for step in steps)


def reasons(r: Reading) -> list[Block]:
    """Tabulate how many sellers of the test get each reason code, the most frequent first.

    Raises Absent, which leaves the part out, if the evaluation lacks the figures.
    """
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
