"""Calibration: reliability, the figures of each model, and the grades."""

from dataclasses import replace
from itertools import pairwise

from training.report.drawing import ScaledIntervals, axis, draw_dot, draw_whisker, short_percent
from training.report.parts import (
    MODELS,
    Blocks,
    Cell,
    Chip,
    Json,
    LegendKey,
    Line,
    Mark,
    Num,
    Pair,
    Plot,
    Plots,
    Reading,
    Row,
    Table,
    count,
    listed,
    number,
    percent,
    signed,
    spoken,
    stacked,
)
from training.report.sections.decision import describe_level


def reliability(r: Reading) -> Blocks:
    """Draw the observed rate against the predicted one, in up to ten groups, with intervals."""
    rows = r.evaluation["reliability"]
    values = [row[key] for row in rows for key in ("predicted", "observed", "low", "high")]
    y = axis(values, "observed", short_percent, zero=True)
    x = replace(y, label="predicted")
    marks: list[Mark] = [Line("M0 100L100 0", "rule")]
    for row in rows:
        says = f"predicted {percent(row['predicted'])}, observed {percent(row['observed'])} of {count(row['rows'])}"
        marks.append(draw_whisker(row["predicted"], row["low"], row["high"], x, y, says))
        marks.append(draw_dot(row["predicted"], row["observed"], x, y, says))
    agree = sum(row["low"] <= row["predicted"] <= row["high"] for row in rows)
    overall = describe_level(r.evaluation["predicted"], r.evaluation["base_rate"])
    title = f"{overall[0].upper()}{overall[1:]}; {agree} of {len(rows)} groups agree with what was observed"
    caption = (
        "Reliability: groups by predicted probability, each with the 95 % interval of what was observed. On the dashed"
        " line a prediction is true; above it, it was too low."
    )
    keys = [LegendKey("round", "m-lightgbm", "observed, 95 %"), LegendKey("line", "rule", "a true prediction")]
    return [Plots([Plot(title, caption, x, y, marks, keys)])]


def models(r: Reading) -> Blocks:
    """Tabulate slope, intercept, predicted and observed rate, log-loss and Brier score of each model with
    probabilities.
    """
    figures_by_model = {
        name: figures for name in MODELS if (figures := r.evaluation["models"].get(name)) and figures["calibration"]
    }
    scale = ScaledIntervals.of((figures["calibration"]["slope"] for figures in figures_by_model.values()), rule=1.0)
    rows: list[Row] = []
    for name, figures in figures_by_model.items():
        calibration = figures["calibration"]
        level = Pair(percent(calibration["predicted"]), f"observed {percent(calibration['observed'])}")
        slope = scale.draw(calibration["slope"], lambda interval: spoken(interval, 2))
        losses = [stacked(figures["log_loss"]), number(figures["brier"], 4)]
        rows.append([MODELS[name], slope, stacked(calibration["intercept"], signed), level, *losses])
    head = ("model", "slope (1 is true)", "intercept (0 is true)", "predicted", "log-loss", "Brier")
    caption = (
        "Over each row's own orders in the window. Slope below 1: predictions spread too wide. Intercept above 0: too low on"
        " the whole. Less log-loss and a lower Brier score are better."
    )
    return [Table(_describe_slope(figures_by_model["lightgbm"]["calibration"]["slope"]), caption, head, rows)]


def _describe_slope(slope: Json) -> str:
    if slope["value"] is None:
        return "The slope of its predictions cannot be told"
    if slope["low"] <= 1 <= slope["high"]:
        return f"Its spread is right: the slope's interval holds 1, {number(slope['low'], 2)} to {number(slope['high'], 2)}"
    fault = "bold: the extremes are overstated" if slope["value"] < 1 else "timid: the extremes are understated"
    return f"Its predictions are too {fault} (slope {spoken(slope, 2)})"


def grades(r: Reading) -> Blocks:
    """Tabulate each tier: predicted and observed rate, and the rate at the reference exposure."""
    rows = r.evaluation["grades"]
    rated = [row for row in rows if row["points_from"] is not None]
    is_apart_from_next = {
        worse["tier"]: worse["at_reference"]["low"] > better["at_reference"]["high"]
        for worse, better in pairwise(rated)
    }
    scale = ScaledIntervals.of(row["at_reference"] for row in rated)
    total = sum(row["rows"] for row in rows)
    cells: list[Row] = []
    for row in rows:
        is_rated = row["points_from"] is not None
        points = f"{count(row['points_from'])} to {count(row['points_to'])}" if is_rated else "none"
        sizes: Row = [Pair(count(row["rows"]), percent(row["rows"] / total)), count(row["bad"])]
        served: Row = ["–", "–"]
        if is_rated:
            served = [
                scale.draw(row["at_reference"], lambda rate: percent(rate["value"])),
                APART[is_apart_from_next.get(row["tier"])],
            ]
        rates: Row = [percent(row["predicted"]), percent(row["observed"]), _judge_grade(row)]
        cells.append([str(row["tier"]), Num(points), *sizes, *rates, *served])
    off = [str(row["tier"]) for row in rows if _judge_grade(row) != AGREES]
    observed = [row["observed"] for row in rated]
    title = f"Off in {listed(off)}" if off else "Every grade holds what it predicts"
    ordered = observed == sorted(observed, reverse=True)
    title += "; better grades are safer throughout" if ordered else "; but a better grade was not always safer"
    head = ("tier", "points", "rows", "bad", "predicted", "observed", "result")
    served_head = ("at the reference exposure (95 %)", "from the next better tier")
    caption = (
        "Result: Jeffreys test of each grade on both sides at 5 %, after Holm. At the reference exposure: the observed rate,"
        " as if every seller sold the reference exposure in the window. A raw rate would call a tier bad because it sells"
        " more."
    )
    return [Table(title, caption, (*head, *served_head), cells)]


AGREES = Chip("good", "agrees")
APART: dict[bool | None, Cell] = {True: Chip("good", "apart"), False: Chip("warn", "not apart"), None: "–"}


def _judge_grade(row: Json) -> Chip:
    if row["p_under_holm"] < 0.05:
        return Chip("bad", "too low")
    return Chip("warn", "too high") if row["p_over_holm"] < 0.05 else AGREES
