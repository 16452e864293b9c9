"""Sellers: segments and months, changes against the champion, and the worst misses."""

from collections import Counter
from typing import Any

from training.report.drawing import Scaled, bar
from training.report.numbers import count, listed, percent, plural, spoken
from training.report.parts import Block, Card, Cards, Cell, Chip, Heat, Table, Text
from training.report.reading import Absent, Reading

Json = Any
KINDS = {
    "volume": "Volume",
    "tenure": "Tenure",
    "product_category": "Product category",
    "country": "Country",
    "file": "Thin, medium and thick files",
    "sellers": "Sellers seen and not seen in training",
    "inspected": "Randomly inspected, and all others",
}
MAX_ENTRIES = 6
MAX_AFTER = 3


def segments(r: Reading) -> list[Block]:
    """Tabulate AUC and rates by segment; a sentence replaces a kind with fewer than two segments."""
    text = (
        "The upright mark beside an AUC is the unconstrained twin's, beside a share the prediction. Look for marks"
        " outside their intervals, and for groups with few bad sellers, where an interval says little."
    )
    blocks: list[Block] = [Text(text)]
    for kind, name in KINDS.items():
        rows = r.evaluation["segments"][kind]
        if len(rows) > 1:
            blocks.append(_segment(name, rows))
        else:
            of = f": all test rows are {rows[0]['name']}" if rows else ""
            blocks.append(Text(f"{name}: the data does not tell sellers apart by it{of}.", quiet=True))
    return blocks


def months(r: Reading) -> list[Block]:
    rows = [{"name": row["month"], **row} for row in r.evaluation["by_month"]]
    if len(rows) == 1:
        return [Text(f"All test rows were observed in {rows[0]['name']}: one month is no trend.", quiet=True)]
    return [_segment("Months", rows)]


def _segment(name: str, rows: list[Json]) -> Table:
    scale = Scaled(v for row in rows for v in (*(row["auc"] or {}).values(), row.get("auc_unconstrained")))
    rates = Scaled(row[key] for row in rows for key in ("low", "high", "predicted"))
    cells: list[list[Cell]] = []
    for row in rows:
        auc = scale.draw(row["auc"], spoken, row.get("auc_unconstrained"))
        rate = rates.cell(row["observed"], row["low"], row["high"], percent(row["observed"]), row["predicted"])
        sizes = [count(row["rows"]), count(row["bad"])]
        cells.append([str(row["name"]), *sizes, auc, rate, percent(row["predicted"])])
    off = {
        "high": [str(row["name"]) for row in rows if row["predicted"] > row["high"]],
        "low": [str(row["name"]) for row in rows if row["predicted"] < row["low"]],
    }
    stated = "; ".join(f"{side} in {listed(names, 4)}" for side, names in off.items() if names)
    title = f"{name}: predicted too {stated}" if stated else f"{name}: predictions agree with every group"
    return Table(title, "", ("group", "rows", "bad", "AUC (95 %)", "observed bad (95 %)", "predicted"), cells)


def migration(r: Reading) -> list[Block]:
    """Tabulate how many sellers move between the champion's and the candidate's tiers."""
    found = _of_champion(r, "migration")
    tiers, matrix = [str(tier) for tier in found["tiers"]], found["matrix"]
    rows: list[list[Cell]] = []
    for k, (tier, row) in enumerate(zip(tiers, matrix, strict=True)):
        total = sum(row) or 1
        rows.append([tier, *[Heat(f"{count(v)} · {percent(v / total)}", v / total, j == k) for j, v in enumerate(row)]])
    up = sum(v for k, row in enumerate(matrix) for j, v in enumerate(row) if j > k)
    down = sum(v for k, row in enumerate(matrix) for j, v in enumerate(row) if j < k)
    title = f"{percent(found['same'])} keep their tier, {percent(found['within_one'])} move by at most one"
    caption = (
        "Rows: the champion's tier; columns: the candidate's; shares are of the row, outlined cells stay."
        f" {count(up)} sellers rise and {count(down)} fall: look for weight far from the outline."
    )
    blocks: list[Block] = [Table(title, caption, ("champion \\ candidate", *tiers), rows)]
    if others := r.evaluation["champion"]["other_label"]:
        text = f"The champion learned another label than is asked here ({', '.join(map(str, others))})"
        blocks.append(Text(f"{text}: its figures show what would change, and no gate goes by them."))
    return blocks


def swap(r: Reading) -> list[Block]:
    """Tabulate the sellers that candidate and champion judge differently at an equal share rejected."""
    found = _of_champion(r, "swap")
    groups = {
        "in": "let in: rejected by the champion only",
        "out": "kept out: rejected by the candidate only",
        "kept": "judged alike by both",
    }
    rates = {key: found[key]["bad_rate"] for key in groups}
    most = max(rate or 0 for rate in rates.values())
    rows: list[list[Cell]] = [
        [name, count(found[key]["rows"]), count(found[key]["bad"]), bar(rates[key] or 0, most, percent(rates[key]))]
        for key, name in groups.items()
    ]
    title = "Nobody is swapped"
    if None not in (rates["in"], rates["out"]):
        title = f"Those kept out are bad {percent(rates['out'])} of the time, those let in {percent(rates['in'])}: the swap "
        title += "pays" if rates["out"] > rates["in"] else "does not pay"
    caption = (
        f"Both models reject the worst {percent(found['rejected_share'])}. Look at the first two rows: a better model lets in"
        " safer sellers than it newly keeps out."
    )
    return [Table(title, caption, ("group", "sellers", "bad", "bad among them"), rows)]


def _of_champion(r: Reading, key: str) -> Json:
    if r.evaluation[key] is None:
        raise Absent("there was no champion to compare with when this model was trained")
    return r.evaluation[key]


def worst(r: Reading) -> list[Block]:
    """Show a card for each of the worst misses, with the knowledge then and the events after."""
    rows = r.evaluation["misses"]
    parts = [
        f"{plural(len(mine), 'seller')} {outcome} ({_tiers(mine)})"
        for is_bad, outcome in ((1, "turned out bad"), (0, "stayed good"))
        if (mine := [row for row in rows if row["bad"] == is_bad])
    ]
    caption = (
        "The predictions that were farthest from the outcome. Read the facts known at the observation, and the facts"
        " after it. Did the features miss a fact, is a label wrong, or was it bad luck?"
    )
    return [Cards(" and ".join(parts), caption, [_card(row) for row in rows])]


def _tiers(rows: list[Json]) -> str:
    return ", ".join(f"{amount} {tier}" for tier, amount in Counter(str(row["tier"]) for row in rows).most_common())


def _card(row: Json) -> Card:
    known, after = row["entries"], row["after"]
    shown = [(str(e["entry_id"]), f"{e['kind']}, {e['day']}: {e['what']}") for e in known[:MAX_ENTRIES]]
    shown += [(str(e["entry_id"]), f"came after: {e['kind']}, {e['day']}: {e['what']}") for e in after[:MAX_AFTER]]
    chip = Chip("bad", "turned out bad") if row["bad"] else Chip("plain", "stayed good")
    text = f"{count(row['points'])} points ({row['tier']}), p_bad {percent(row['p_bad'])}, observed {row['observe']}"
    more = [] if known else ["No entry but orders was known when it was observed."]
    if left := len(known) + len(after) - len(shown):
        more.append(f"And {plural(left, 'more entry', 'more entries')} of this seller.")
    return Card(str(row["seller"]), text, chip, shown, " ".join(more))
