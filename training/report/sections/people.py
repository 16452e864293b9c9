"""Sellers: segments and months, and changes against the champion."""

from training.report.drawing import ScaledIntervals
from training.report.parts import (
    Blocks,
    Heat,
    Json,
    PartAbsent,
    Reading,
    Row,
    Table,
    Text,
    count,
    listed,
    percent,
    spoken,
)

KINDS = {
    "volume": "Volume",
    "tenure": "Tenure",
    "product_category": "Product category",
    "country": "Country",
    "file": "Thin, medium and thick files",
    "sellers": "Sellers seen and not seen in training",
    "inspected": "Randomly inspected, and all others",
}


def segments(r: Reading) -> Blocks:
    """Tabulate AUC and rates by segment; a sentence replaces a kind with fewer than two segments."""
    text = (
        "The upright mark beside an AUC is the unconstrained twin's, beside a share the prediction. Look for marks"
        " outside their intervals, and for groups with few bad sellers, where an interval says little."
    )
    blocks: Blocks = [Text(text)]
    for kind, name in KINDS.items():
        rows = r.evaluation["segments"][kind]
        if len(rows) > 1:
            blocks.append(_tabulate_segments(name, rows))
        else:
            of = f": all test rows are {rows[0]['name']}" if rows else ""
            blocks.append(Text(f"{name}: the data does not tell sellers apart by it{of}.", quiet=True))
    return blocks


def months(r: Reading) -> Blocks:
    """Tabulate AUC and rates by month; a sentence for one month."""
    rows = [{"name": row["month"], **row} for row in r.evaluation["by_month"]]
    if len(rows) == 1:
        return [Text(f"All test rows were observed in {rows[0]['name']}: one month is no trend.", quiet=True)]
    return [_tabulate_segments("Months", rows)]


def _tabulate_segments(name: str, rows: list[Json]) -> Table:
    scale = ScaledIntervals(
        value for row in rows for value in (*(row["auc"] or {}).values(), row.get("auc_unconstrained"))
    )
    rates = ScaledIntervals(row[key] for row in rows for key in ("low", "high", "predicted"))
    cells: list[Row] = []
    for row in rows:
        auc = scale.draw(row["auc"], spoken, row.get("auc_unconstrained"))
        rate = rates.cell(row["observed"], row["low"], row["high"], percent(row["observed"]), row["predicted"])
        sizes = [count(row["rows"]), count(row["bad"])]
        cells.append([str(row["name"]), *sizes, auc, rate, percent(row["predicted"])])
    off = {
        "high": [str(row["name"]) for row in rows if row["predicted"] > row["high"]],
        "low": [str(row["name"]) for row in rows if row["predicted"] < row["low"]],
    }
    sides = "; ".join(f"{side} in {listed(names, 4)}" for side, names in off.items() if names)
    title = f"{name}: predicted too {sides}" if sides else f"{name}: predictions agree with every group"
    return Table(title, "", ("group", "rows", "bad", "AUC (95 %)", "observed bad (95 %)", "predicted"), cells)


def migration(r: Reading) -> Blocks:
    """Tabulate how many sellers move between the champion's and the candidate's tiers; PartAbsent without a champion."""
    if (moves := r.evaluation["migration"]) is None:
        raise PartAbsent("there was no champion to compare with when this model was trained")
    tiers, matrix = [str(tier) for tier in moves["tiers"]], moves["matrix"]
    rows: list[Row] = []
    for place, (tier, row) in enumerate(zip(tiers, matrix, strict=True)):
        total = sum(row) or 1
        rows.append(
            [
                tier,
                *[
                    Heat(f"{count(number)} · {percent(number / total)}", number / total, column == place)
                    for column, number in enumerate(row)
                ],
            ]
        )
    up = sum(number for place, row in enumerate(matrix) for column, number in enumerate(row) if column > place)
    down = sum(number for place, row in enumerate(matrix) for column, number in enumerate(row) if column < place)
    title = f"{percent(moves['same'])} keep their tier, {percent(moves['within_one'])} move by at most one"
    caption = (
        "Rows: the champion's tier; columns: the candidate's; shares are of the row, outlined cells stay."
        f" {count(up)} sellers rise and {count(down)} fall: look for weight far from the outline."
    )
    blocks: Blocks = [Table(title, caption, ("champion \\ candidate", *tiers), rows)]
    if others := r.evaluation["champion"]["other_label"]:
        text = f"The champion learned another label than is asked here ({', '.join(map(str, others))})"
        blocks.append(Text(f"{text}: its figures show what would change, and no gate goes by them."))
    return blocks
