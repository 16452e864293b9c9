"""Section on sellers: segments, changes against the champion, and the worst misses.

Parts raise Absent without their figures.
"""

from collections import Counter
from typing import Any

from training.report.drawing import Scaled, bar
from training.report.numbers import Num, count, listed, number, percent, plural, spoken
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
    found = r.found("segments")
    order = [kind for kind in KINDS if kind in found] + [kind for kind in found if kind not in KINDS]
    text = (
        "The upright mark beside an AUC is that of the unconstrained twin, beside a share what was predicted. Look for marks"
        " outside their intervals, and for groups with few bad sellers, where an interval says little."
    )
    blocks: list[Block] = [Text(text)]
    for kind in order:
        name, rows = KINDS.get(kind, kind.replace("_", " ")), found[kind]
        if len(rows) > 1:
            blocks.append(_segment(name, rows))
        else:
            of = f": all test rows are {rows[0]['name']}" if rows else ""
            blocks.append(Text(f"{name}: the data does not tell sellers apart by it{of}.", quiet=True))
    return blocks


def _segment(name: str, rows: list[Json]) -> Table:
    aucs = Scaled(
        v for row in rows if row["auc"] for v in (row["auc"]["low"], row["auc"]["high"], row["auc_unconstrained"])
    )
    rates = Scaled(row[key] for row in rows for key in ("low", "high", "predicted"))
    cells: list[list[Cell]] = []
    off = []
    for row in rows:
        a = row["auc"]
        low, high = row["low"], row["high"]
        if None not in (low, high, row["predicted"]) and not low <= row["predicted"] <= high:
            off.append(f"{row['name']} ({'high' if row['predicted'] > high else 'low'})")
        shown: Cell = Num("–")
        if a:
            shown = aucs.cell(a["value"], a["low"], a["high"], spoken(a), row["auc_unconstrained"])
        rate = rates.cell(row["observed"], low, high, percent(row["observed"]), row["predicted"])
        cells.append([str(row["name"]), count(row["rows"]), count(row["bad"]), shown, number(row["auc_unconstrained"]), rate,
                      percent(row["predicted"]), percent(row["predicted_unconstrained"])])  # fmt: skip
    title = (
        f"{name}: predicted too {'; '.join(_grouped(off))}" if off else f"{name}: predictions agree with every group"
    )
    head = ("group", "rows", "bad", "AUC (95 %)", "AUC of the twin", "observed bad (95 %)", "predicted", "by the twin")
    return Table(title, "", head, cells)


def _grouped(off: list[str]) -> list[str]:
    parts = []
    for side in ("high", "low"):
        names = [name.removesuffix(f" ({side})") for name in off if name.endswith(f"({side})")]
        parts += [f"{side} in {listed(names, 4)}"] if names else []
    return parts


def _champion(r: Reading, key: str) -> Json:
    if key in r.evaluation and r.evaluation[key] is None:
        raise Absent("there was no champion to compare with when this model was trained")
    return r.found(key)


def migration(r: Reading) -> list[Block]:
    """Tabulate how many sellers move between the champion's and the candidate's tiers."""
    found = _champion(r, "migration")
    tiers, matrix = [str(t) for t in found["tiers"]], found["matrix"]
    rows: list[list[Cell]] = []
    for k, (tier, row) in enumerate(zip(tiers, matrix, strict=True)):
        total = sum(row) or 1
        rows.append([tier, *[Heat(f"{count(v)} · {percent(v / total)}", v / total, j == k) for j, v in enumerate(row)]])
    up = sum(v for k, row in enumerate(matrix) for j, v in enumerate(row) if j > k)
    down = sum(v for k, row in enumerate(matrix) for j, v in enumerate(row) if j < k)
    title = f"{percent(found['same'])} keep their tier, {percent(found['within_one'])} move by at most one"
    if "probation" in tiers and tiers.index("probation") > 0:
        up, down = down, up
    caption = (
        "Rows: the champion's tier; columns: the candidate's; shares are of the row, outlined cells stay."
        f" {count(up)} sellers rise and {count(down)} fall: look for weight far from the outline."
    )
    return [Table(title, caption, ("champion \\ candidate", *tiers), rows)]


def swap(r: Reading) -> list[Block]:
    """Tabulate the sellers that candidate and champion judge differently at an equal share rejected."""
    found = _champion(r, "swap")
    groups = (
        ("in", "let in: rejected by the champion only"),
        ("out", "kept out: rejected by the candidate only"),
        ("kept", "judged alike by both"),
    )
    most = max([found[key]["bad_rate"] or 0 for key, _ in groups if found.get(key)] or [0])
    rows: list[list[Cell]] = []
    for key, name in groups:
        if part := found.get(key):
            rate = part["bad_rate"]
            drawn: Cell = Num("–") if rate is None else bar(rate, most, percent(rate))
            rows.append([name, count(part["rows"]), count(part["bad"]), drawn])
    came, went = found["in"]["bad_rate"], found["out"]["bad_rate"]
    if came is None or went is None:
        title = "Nobody is swapped"
    else:
        title = f"Those kept out are bad {percent(went)} of the time, those let in {percent(came)}"
        title += ": the swap pays" if went > came else ": the swap does not pay"
    caption = (
        f"Both models reject the worst {percent(found['rejected_share'])}. Look at the first two rows: a better model lets in"
        " safer sellers than it newly keeps out."
    )
    return [Table(title, caption, ("group", "sellers", "bad", "bad among them"), rows)]


def paired(r: Reading) -> list[Block]:
    """Tabulate the candidate's figures less the champion's, with paired intervals: AUC, log-loss, recall of loss."""
    if not r.has_champion:
        raise Absent("there was no champion to compare with when this model was trained")
    rows: list[list[Cell]] = []
    both = r.found("paired.lightgbm-champion")
    difference = (r.evaluation.get("difference") or {}).get("lightgbm-champion")
    if difference:
        rows.append(["AUC", spoken(difference, sign=True), "more is better", _compared(difference, 1)])
    rows.append(["log-loss", spoken(both["log_loss"], 4, True), "less is better", _compared(both["log_loss"], -1)])
    rows.append(
        [
            "recall of loss",
            spoken(both["recall_of_loss"], 3, True),
            "more is better",
            _compared(both["recall_of_loss"], 1),
        ]
    )
    better = [str(row[0]) for row in rows if isinstance(row[3], Chip) and row[3].kind == "good"]
    worse = [str(row[0]) for row in rows if isinstance(row[3], Chip) and row[3].kind == "bad"]
    title = f"Better than the champion in {listed(better)}" if better else "No better than the champion beyond chance"
    title += f", worse in {listed(worse)}" if worse else ""
    caption = "Candidate less champion on the same rows and draws (95 %). An interval that holds 0 may be chance."
    found: list[Block] = [Table(title, caption, ("figure", "candidate less champion", "", "result"), rows)]
    if others := (r.evaluation.get("champion") or {}).get("other_label"):
        text = f"The champion learned another label than is asked here ({', '.join(map(str, others))})"
        found.insert(0, Text(f"{text}: its figures show what would change, and no gate goes by them."))
    return found


def _compared(interval: Json, sense: int) -> Chip:
    if interval is None or interval["low"] is None:
        return Chip("plain", "not known")
    if interval["low"] <= 0 <= interval["high"]:
        return Chip("plain", "not told apart")
    return Chip("good", "better") if (interval["low"] > 0) == (sense > 0) else Chip("bad", "worse")


def worst(r: Reading) -> list[Block]:
    """Show a card for each of the worst misses, with the knowledge then and the events after."""
    rows = r.found("misses")
    cards = []
    for row in rows:
        # Models of earlier releases mix prior knowledge with later events.
        known = [entry for entry in row["entries"] if entry["day"] < row["observe"]]
        after = row.get("after", [])
        shown = [(str(e["entry_id"]), f"{e['kind']}, {e['day']}: {e['what']}") for e in known[:MAX_ENTRIES]]
        shown += [(str(e["entry_id"]), f"came after: {e['kind']}, {e['day']}: {e['what']}") for e in after[:MAX_AFTER]]
        chip = Chip("bad", "turned out bad") if row["bad"] else Chip("plain", "stayed good")
        left = len(known) + len(after) - len(shown)
        more = "" if known else "No entry but orders was known when it was observed. "
        more += f"And {plural(left, 'more entry', 'more entries')} of this seller." if left else ""
        tier = f" ({row['tier']})" if "tier" in row else ""
        text = f"{count(row['points'])} points{tier}, p_bad {percent(row['p_bad'])}, observed {row['observe']}"
        cards.append(Card(str(row["seller"]), text, chip, shown, more.strip()))
    bad = sum(bool(row["bad"]) for row in rows)
    outcomes = [f"{plural(bad, 'seller')} turned out bad{_tiers(rows, bad=True)}"] if bad else []
    outcomes += [f"{plural(len(rows) - bad, 'seller')} stayed good{_tiers(rows, bad=False)}"] if bad < len(rows) else []
    title = " and ".join(outcomes)
    caption = (
        "The predictions that were farthest from what happened. Read what was known when each was observed, and what came"
        " after: is there a fact that the features do not see, a wrong label, or plain bad luck?"
    )
    return [Cards(title, caption, cards)]


def _tiers(rows: list[Json], *, bad: bool) -> str:
    tiers = Counter(str(row["tier"]) for row in rows if bool(row["bad"]) == bad and "tier" in row)
    ordered = sorted(tiers.items(), key=lambda item: (-item[1], item[0]))
    return f" ({', '.join(f'{number} {tier}' for tier, number in ordered)})" if tiers else ""
