"""Section on ranking: ROC, KS, lift, and figures by month. Parts raise Absent without their figures."""

from itertools import pairwise
from typing import Any

from training.evaluation.arrays import ERRORS_95
from training.report.drawing import axis, column, curve, dot, level, names, shares, short_percent, whisker
from training.report.numbers import count, model_name, number, percent, signed, spoken
from training.report.parts import Block, Key, Label, Line, Mark, Plot, Plots, Text
from training.report.reading import Absent, Reading

Json = Any
DRAWN = ("raw_count", "points_rule", "logistic", "unconstrained", "champion", "lightgbm")


def style(name: str) -> str:
    """Return the name of the style of a model's curve; each has its own dash."""
    return f"m-{name}" if name in DRAWN else "m-other"


def _curves(found: Json, x: Any, y: Any) -> tuple[list[Mark], list[Key]]:
    order = [name for name in DRAWN if name in found] + [name for name in found if name not in DRAWN]
    order.sort(key=lambda name: name == "lightgbm")
    marks: list[Mark] = [curve(found[n]["x"], found[n]["y"], x, y, style(n)) for n in order]
    return marks, [Key("line", style(name), model_name(name)) for name in reversed(order)]


def roc(r: Reading) -> list[Block]:
    found, auc = r.found("curves.roc"), r.found("auc")
    x, y = shares("good sellers flagged"), shares("bad sellers found")
    marks, keys = _curves(found, x, y)
    title = f"Ranks the bad one of a pair as riskier {percent(auc['lightgbm']['value'])} of the time"
    if "logistic" in auc:
        gap = auc["lightgbm"]["value"] - auc["logistic"]["value"]
        title += f", {signed(gap * 100, 1)} points against logistic regression"
    caption = (
        "ROC: what share of the bad is found at each share of good sellers flagged. Look at the left edge, where decisions"
        " are made; the dashed diagonal is chance."
    )
    return [Plots([Plot(title, caption, x, y, [Line("M0 100L100 0", "rule"), *marks], keys, 300)])]


def ks(r: Reading) -> list[Block]:
    """Draw the shares of good and bad sellers at or below each number of points, and their largest distance."""
    found = r.found("curves.ks")
    x, y = axis(found["x"], "points"), shares("share at or below")
    gaps = [bad - good for good, bad in zip(found["good"], found["bad"], strict=True)]
    best = max(range(len(gaps)), key=gaps.__getitem__)
    at, good, bad = found["x"][best], found["good"][best], found["bad"][best]
    marks: list[Mark] = [curve(found["x"], found[name], x, y, name) for name in ("good", "bad")]
    marks += whisker(at, good, bad, x, y, "rule", f"KS {gaps[best]:.3f} at {at:.0f} points")
    marks.append(Label(x.at(at), 100 - y.at(good), f"KS {number(gaps[best], 2)}", dx=10, dy=22))
    title = f"Good and bad are farthest apart at {count(at)} points: KS {number(gaps[best])}"
    caption = (
        f"At {count(at)} points {percent(bad)} of the bad lie at or below, and {percent(good)} of the good. Look for a wide"
        " and single gap; a late one means that only the worst are told apart."
    )
    return [Plots([Plot(title, caption, x, y, marks, _good_bad("line"), 300)])]


def _good_bad(shape: str) -> list[Key]:
    return [Key(shape, "good", "good sellers"), Key(shape, "bad", "bad sellers")]


def lift(r: Reading) -> list[Block]:
    """Draw the lift of each model by the share of sellers, worst first.

    Models of earlier releases have the share of bad found in its place.
    """
    found = r.found("curves.lift")
    own = found["lightgbm"]
    cumulative = max(own["y"]) <= 1.0 + 1e-9
    x = shares("sellers, worst first")
    y = (
        shares("bad sellers found")
        if cumulative
        else axis([v for c in found.values() for v in c["y"]], "lift", zero=True)
    )
    marks, keys = _curves(found, x, y)
    tenth = _at(own, 0.1)
    share = f"{percent(tenth)} of the bad" if cumulative else f"{number(tenth, 1)} times as many bad as the average"
    chance: Mark = Line("M0 100L100 0", "rule") if cumulative else level(1.0, y)
    caption = (
        "Lift: look up the share of sellers that you can afford to review, and read off what share of the bad is among them;"
        " the dashed line is chance."
        if cumulative
        else "Lift: how many times the average rate of bad is among the worst-scored share; the dashed line is chance."
    )
    return [Plots([Plot(f"The worst-scored tenth holds {share}", caption, x, y, [chance, *marks], keys, 300)])]


def _at(c: Json, where: float) -> float:
    points = list(zip(c["x"], c["y"], strict=True))
    for (x1, y1), (x2, y2) in pairwise(points):
        if x1 <= where <= x2 and x2 > x1:
            return float(y1 + (y2 - y1) * (where - x1) / (x2 - x1))
    return float(points[-1][1])


def distribution(r: Reading) -> list[Block]:
    found = r.found("score_distribution")
    edges, parts = found["edges"], {name: _share(found[name]) for name in ("good", "bad")}
    x = axis(edges, "points")
    y = axis([v for part in parts.values() for v in part], "share of each", short_percent, zero=True)
    marks: list[Mark] = []
    for name in ("good", "bad"):
        for low, high, value, rows in zip(edges, edges[1:], parts[name], found[name], strict=False):
            says = f"{count(low)} to {count(high)} points: {count(rows)} {name} ({percent(value)} of them)"
            marks.append(column(low, high, value, x, y, name, says))
    middle = {name: _median(edges, parts[name]) for name in parts}
    apart = abs(middle["good"] - middle["bad"])
    title = f"Half of the bad lie below {count(middle['bad'])} points, half of the good above {count(middle['good'])}"
    caption = (
        f"Each group is scaled to 100 %. Look at where they overlap: the medians are {count(apart)} points apart, and what"
        " shares its points with the other group cannot be told apart by any cut-off."
    )
    return [Plots([Plot(title, caption, x, y, marks, _good_bad("box"), 280)])]


def _share(rows: list[float]) -> list[float]:
    return [v / (sum(rows) or 1) for v in rows]


def _median(edges: list[float], part: list[float]) -> float:
    total = 0.0
    for low, high, value in zip(edges, edges[1:], part, strict=False):
        if value and total + value >= 0.5:
            return low + (high - low) * (0.5 - total) / value
        total += value
    return edges[-1]


def wilson(bad: float, rows: float) -> tuple[float, float]:
    """Return (low, high), the 95 % Wilson interval of a share; 0 to 1 for no rows.

    Worked: 5 of 100 gives 0.0215 to 0.1118.
    """
    if not rows:
        return 0.0, 1.0
    z2 = ERRORS_95**2
    p, d = bad / rows, 1 + z2 / rows
    half = (z2 * (p * (1 - p) / rows + z2 / (4 * rows * rows))) ** 0.5 / d
    middle = (p + z2 / (2 * rows)) / d
    return max(middle - half, 0.0), min(middle + half, 1.0)


def months(r: Reading) -> list[Block]:
    """Draw AUC, and predicted and observed rate, by month, with intervals; a sentence if there is one month only."""
    rows = r.found("by_month")
    if len(rows) == 1:
        month = rows[0]["month"]
        text = (
            f"All test rows were observed in {month}: one month is no trend. Several test points in the study show one."
        )
        return [Text(text, quiet=True)]
    x = names([row["month"] for row in rows], "", 4)
    return [Plots([_monthly_auc(rows, x), _monthly_rates(rows, x)])]


def _monthly_auc(rows: list[Json], x: Any) -> Plot:
    known = [row for row in rows if row["auc"] and row["auc"]["value"] is not None]
    if not known:
        raise Absent("no month holds both good and bad sellers")
    y = axis([v for row in known for v in row["auc"].values()], "AUC")
    marks: list[Mark] = []
    for k, row in enumerate(rows):
        if a := row["auc"]:
            says = f"{row['month']}: AUC {spoken(a)}, {count(row['rows'])} rows, {count(row['bad'])} bad"
            marks += whisker(k + 0.5, a["low"], a["high"], x, y, "whisker", says)
            marks += dot(k + 0.5, a["value"], x, y, "m-lightgbm", says=says)
    worst = min(known, key=lambda row: row["auc"]["value"])
    best = max(known, key=lambda row: row["auc"]["value"])
    together = max(row["auc"]["low"] for row in known) <= min(row["auc"]["high"] for row in known)
    title = "Ranking held in every month" if together else "Ranking moved between months"
    title += f": AUC {number(worst['auc']['value'])} to {number(best['auc']['value'])}"
    caption = (
        f"AUC of each month with its 95 % interval; the weakest was {worst['month']}. Look for a slide to the right, not for"
        " single low months with wide intervals."
    )
    return Plot(title, caption, x, y, marks, [Key("round", "m-lightgbm", "AUC of the month, 95 %")], 260, grid="y")


def _monthly_rates(rows: list[Json], x: Any) -> Plot:
    intervals = [wilson(row["bad"], row["rows"]) for row in rows]
    values = [v for row in rows for v in (row["predicted"], row["observed"])] + [v for pair in intervals for v in pair]
    y = axis(values, "share bad", short_percent, zero=True)
    marks: list[Mark] = []
    outside = []
    for k, (row, (low, high)) in enumerate(zip(rows, intervals, strict=True)):
        says = f"{row['month']}: predicted {percent(row['predicted'])}, observed {percent(row['observed'])}"
        marks += whisker(k + 0.5, low, high, x, y, "whisker observed", says)
        marks += dot(k + 0.5, row["observed"], x, y, "observed", says=says)
        marks += dot(k + 0.5, row["predicted"], x, y, "m-lightgbm", "diamond", says)
        if row["predicted"] is not None and not low <= row["predicted"] <= high:
            outside.append(row["month"])
    title = (
        f"The level was off in {len(outside)} of {len(rows)} months"
        if outside
        else "The predicted level fits every month"
    )
    caption = (
        "What was predicted beside what was observed, with its 95 % Wilson interval. Look for diamonds that stay on one side:"
        " that is drift of the level, which --recalibrate mends."
    )
    keys = [Key("round", "observed", "observed, 95 %"), Key("diamond", "m-lightgbm", "predicted")]
    return Plot(title, caption, x, y, marks, keys, 260, grid="y")
