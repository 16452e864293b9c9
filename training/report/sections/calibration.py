"""Section on calibration: reliability, grades, and the cost of the monotone constraints.

Parts raise Absent without their figures.
"""

import itertools
from dataclasses import replace
from typing import Any

from training.report.drawing import Scaled, axis, dot, names, short_percent, whisker
from training.report.numbers import Num, count, general, listed, model_name, number, percent, signed, spoken, stacked
from training.report.parts import Block, Cell, Chip, Key, Line, Mark, Pair, Plot, Plots, Table, Text
from training.report.reading import Absent, Reading
from training.report.sections.decision import misses

Json = Any
PARTS_OF_BRIER = ("reliability", "resolution")


def reliability(r: Reading) -> list[Block]:
    """Draw the observed rate against the predicted one, in ten groups of equal size, with intervals."""
    rows = r.found("reliability")
    values = [row[key] for row in rows for key in ("predicted", "observed", "low", "high")]
    y = axis(values, "observed", short_percent, zero=True)
    x = replace(y, label="predicted")
    marks: list[Mark] = [Line("M0 100L100 0", "rule")]
    outside = 0
    for row in rows:
        says = f"predicted {percent(row['predicted'])}, observed {percent(row['observed'])} of {count(row['rows'])}"
        marks += whisker(row["predicted"], row["low"], row["high"], x, y, "whisker", says)
        marks += dot(row["predicted"], row["observed"], x, y, "m-lightgbm", says=says)
        outside += not row["low"] <= row["predicted"] <= row["high"]
    level = misses(r.found("predicted"), r.found("base_rate"))
    title = f"{level[0].upper()}{level[1:]}; {len(rows) - outside} of {len(rows)} groups agree with what was observed"
    caption = (
        "Reliability: ten groups by predicted probability, each with the 95 % interval of what was observed. On the dashed"
        " line a prediction is true; above it, it was too low."
    )
    keys = [Key("round", "m-lightgbm", "observed, 95 %"), Key("line", "rule", "a true prediction")]
    return [Plots([Plot(title, caption, x, y, marks, keys, 300)])]


def calibration_table(r: Reading) -> list[Block]:
    """Tabulate slope, intercept, predicted and observed rate and Brier score of each model with probabilities.

    The title states whether the 95 % interval of lightgbm's slope contains 1.
    """
    models = {n: m for n, m in r.found("models").items() if m.get("calibration") or m.get("brier")}
    if not models:
        raise Absent("no model of the evaluation gives a probability")
    rows: list[list[Cell]] = []
    slopes = [(m.get("calibration") or {}).get("slope") for m in models.values()]
    scale = Scaled((s[key] for s in slopes if s for key in ("low", "high")), rule=1.0)
    for name, m in models.items():
        c, b = m.get("calibration") or {}, m.get("brier") or {}
        slope = c.get("slope")
        cell: Cell = scale.cell(slope["value"], slope["low"], slope["high"], spoken(slope, 2)) if slope else Num("–")
        row: list[Cell] = [model_name(name), cell, stacked(c.get("intercept"), 2, True)]
        row.append(Pair(percent(c.get("predicted")), f"observed {percent(c.get('observed'))}"))
        rows.append(row + [number(b.get(k), 5) for k in ("value", *PARTS_OF_BRIER)])
    own = (models.get("lightgbm") or {}).get("calibration")
    if not own:
        title = "Calibration of each model"
    elif own["slope"]["low"] <= 1 <= own["slope"]["high"]:
        low, high = number(own["slope"]["low"], 2), number(own["slope"]["high"], 2)
        title = f"Its spread is right: the slope's interval holds 1, {low} to {high}"
    else:
        loud = (
            "too bold: the extremes are overstated"
            if own["slope"]["value"] < 1
            else "too timid: the extremes are understated"
        )
        title = f"Its predictions are {loud} (slope {spoken(own['slope'], 2)})"
    head = ("model", "slope (1 is true)", "intercept (0 is true)", "predicted", "Brier", *PARTS_OF_BRIER)
    uncertainty = next((m["brier"]["uncertainty"] for m in models.values() if m.get("brier")), None)
    caption = (
        "Slope below 1: predictions spread too wide. Intercept above 0: too low on the whole. Brier = reliability (less is"
        f" better) − resolution (more is better) + {number(uncertainty, 5)}, the uncertainty of the data."
    )
    return [Table(title, caption, head, rows)]


def grades(r: Reading) -> list[Block]:
    rows = r.found("grades")
    cells: list[list[Cell]] = []
    off = []
    total = sum(row["rows"] for row in rows) or 1
    for row in rows:
        low = row["p_under_holm"] is not None and row["p_under_holm"] < 0.05
        high = row["p_over_holm"] is not None and row["p_over_holm"] < 0.05
        off += [str(row["tier"])] if low or high else []
        chip = (
            Chip("bad", "predicted too low")
            if low
            else Chip("warn", "predicted too high")
            if high
            else Chip("good", "agrees")
        )
        has_points = row["points_from"] is not None
        points = f"{count(row['points_from'])} to {count(row['points_to'])}" if has_points else "none"
        share = percent(row["rows"] / total)
        cells.append([str(row["tier"]), Num(points), count(row["rows"]), share, count(row["bad"]), percent(row["predicted"]),
                      percent(row["observed"]), general(row["p_under_holm"]), general(row["p_over_holm"]), chip])  # fmt: skip
    scored = [row for row in rows if row["points_from"] is not None]
    best_first = sorted(scored, key=lambda row: -row["points_from"])
    observed = [row["observed"] for row in best_first if row["observed"] is not None and row["rows"]]
    ordered = observed == sorted(observed)
    title = f"Off in {listed(off)}" if off else "Every grade holds what it predicts"
    title += "; better grades are safer throughout" if ordered else "; but a better grade was not always safer"
    head = ("tier", "points", "rows", "share", "bad", "predicted", "observed", "p, too low", "p, too high", "result")
    caption = (
        "Jeffreys test of each grade on both sides, p-values by Holm since several are tested at once. Look for p below 0.05,"
        " and whether the observed share falls from grade to grade."
    )
    return [Table(title, caption, head, cells)]


def bands(r: Reading) -> list[Block]:
    """Tabulate each tier's share of sellers and its rate of bad at the reference exposure.

    The title names neighbours whose intervals overlap.
    """
    rows = r.found("bands")
    known = [row for row in rows if row["rate"] is not None]
    scale = Scaled(row[key] for row in known for key in ("low", "high"))
    pairs = [f"{a['tier']} and {b['tier']}" for a, b in itertools.pairwise(known) if not a["apart"]]
    cells: list[list[Cell]] = []
    for row in rows:
        rate: Cell = Num("–")
        if row["rate"] is not None:
            rate = scale.cell(row["rate"], row["low"], row["high"], percent(row["rate"]))
        chips: dict[bool | None, Cell] = {
            True: Chip("good", "told apart"),
            False: Chip("warn", "not told apart"),
            None: "–",
        }
        points = f"{count(row['points_from'])} to {count(row['points_to'])}"
        cells.append([str(row["tier"]), Num(points), percent(row["share"]), rate, chips[row["apart"]]])
    title = f"Not told apart: {listed(pairs)}" if pairs else "Every tier is told apart from the next one"
    head = ("tier", "points", "share of sellers", "bad at the reference exposure (95 %)", "from the next better tier")
    caption = (
        "The observed rate, as if every seller sold the reference exposure in the window: observed times predicted there"
        " over predicted for its own orders. A raw rate would call a tier bad because it sells more. `sellertrust policy fit`"
        " proposes other cut-offs."
    )
    return [Table(title, caption, head, cells)]


def price(r: Reading) -> list[Block]:
    """Show the cost of the page, over all sellers and by volume: AUC against a model whose trees use any features."""
    found: list[Block] = []
    auc = r.evaluation.get("auc") or {}
    rows = r.found("calibration_by_volume")
    if "unconstrained" in auc:
        price = (r.evaluation.get("difference") or {}).get("lightgbm-unconstrained")
        found.append(
            Text(
                f"Over all test rows the page's AUC is {spoken_difference(price)} against a model of every feature, whose"
                " trees use any of them, monotone as well."
            )
        )
        if price := (r.evaluation.get("equal_volume") or {}).get("difference", {}).get("lightgbm-unconstrained"):
            found.append(Text(f"At equal volume it is {spoken_difference(price)}."))
    plots = [_by_volume(rows)]
    volume = (r.evaluation.get("segments") or {}).get("volume")
    if volume and any(row["auc"] and row.get("auc_unconstrained") is not None for row in volume):
        plots.insert(0, _auc_by_volume(volume))
    elif "unconstrained" not in auc:
        found.append(
            Text(
                "This model's evaluation holds no unconstrained twin, so only its own calibration is drawn.", quiet=True
            )
        )
    return [*found, Plots(plots)]


def spoken_difference(price: Json) -> str:
    if not price or price["low"] is None:
        return "not known to differ"
    return f"{signed(price['value'], 4)} ({signed(price['low'], 4)} to {signed(price['high'], 4)})"


def _auc_by_volume(rows: list[Json]) -> Plot:
    x = names([str(k + 1) for k in range(len(rows))], "parts by volume, few orders to many", len(rows))
    known = [row for row in rows if row["auc"]]
    y = axis([v for row in known for v in (*row["auc"].values(), row["auc_unconstrained"])], "AUC")
    marks: list[Mark] = []
    gaps = {}
    for k, row in enumerate(rows):
        if not (a := row["auc"]):
            continue
        says = f"{row['name']}: {spoken(a)} by the page, {number(row['auc_unconstrained'])} by trees of any features"
        marks += whisker(k + 0.5, a["low"], a["high"], x, y, "whisker", says)
        marks += dot(k + 0.5, a["value"], x, y, "m-lightgbm", says=says)
        marks += dot(k + 0.72, row["auc_unconstrained"], x, y, "m-unconstrained", "diamond", says)
        if row["auc_unconstrained"] is not None and a["value"] is not None:
            gaps[str(row["name"])] = a["value"] - row["auc_unconstrained"]
    most = min(gaps, key=gaps.__getitem__)
    title = (
        f"The page costs most in {most}: {signed(gaps[most])} AUC"
        if gaps[most] < 0
        else "The page costs no decile any AUC"
    )
    caption = (
        "AUC by tenth of volume, by the page (95 %) and by trees of any features. Look for a tenth where the diamond"
        " lies above the interval."
    )
    keys = [Key("round", "m-lightgbm", "the page, 95 %"), Key("diamond", "m-unconstrained", "trees of any features")]
    return Plot(title, caption, x, y, marks, keys, 270, grid="y")


def _by_volume(rows: list[Json]) -> Plot:
    x = names(
        [f"{count(row['orders_from'])}–{count(row['orders_to'])}" for row in rows],
        "settled orders before the observation",
        4,
    )
    twin = [row.get("unconstrained_predicted") for row in rows]
    y = axis(
        [v for row in rows for v in (row["predicted"], row["observed"])] + twin, "share bad", short_percent, zero=True
    )
    marks: list[Mark] = []
    for k, row in enumerate(rows):
        orders = f"{count(row['orders_from'])} to {count(row['orders_to'])} orders"
        says = f"{orders}: predicted {percent(row['predicted'])}, observed {percent(row['observed'])}"
        marks += dot(k + 0.5, row["observed"], x, y, "observed", "square", says)
        marks += dot(k + 0.28, row["predicted"], x, y, "m-lightgbm", says=says)
        marks += dot(k + 0.72, twin[k], x, y, "m-unconstrained", "diamond", says)
    off = [row["predicted"] - row["observed"] for row in rows]
    worst = max(range(len(rows)), key=lambda k: abs(off[k]))
    where = "for the smallest sellers" if worst == 0 else f"in volume tenth {worst + 1} of {len(rows)}"
    title = f"Calibration is farthest off {where}: {signed(off[worst] * 100, 1)} percentage points"
    caption = (
        "Predicted and observed by tenth of volume. Look at the left end: a model that learnt how much sellers sell, and"
        " not how they sell, predicts small ones wrong."
    )
    keys = [Key("square", "observed", "observed"), Key("round", "m-lightgbm", "predicted by the page")]
    keys += [Key("diamond", "m-unconstrained", "predicted otherwise")] if any(v is not None for v in twin) else []
    return Plot(title, caption, x, y, marks, keys, 270, grid="y")
