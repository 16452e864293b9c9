"""Ranking: all models side by side, and the curves of ROC and precision."""

from training.report.drawing import ScaledIntervals, axis, draw_curve, draw_level, share_axis, short_percent
from training.report.parts import (
    MODELS,
    Axis,
    Blocks,
    Json,
    LegendKey,
    Line,
    Mark,
    PartAbsent,
    Plot,
    Plots,
    Reading,
    Row,
    Table,
    listed,
    percent,
    plural,
    signed,
    spoken,
)

DRAWN = ("raw_count", "points_rule", "logistic", "unconstrained", "champion", "with_context", "lightgbm")
"""Models with a curve, the candidate last: it lies above the others."""


def judged(r: Reading) -> Blocks:
    """Tabulate AUC and the candidate's lead on every model, over the pairs judged; PartAbsent without one."""
    figures = r.evaluation["judged"]
    if figures["auc"]["lightgbm"]["value"] is None:
        raise PartAbsent("no bad and good seller of this test were observed on one day and sold about as much")
    pairs = f"Over {plural(figures['pairs'], 'pair')} of a bad and a good row of one day"
    if not figures["at_equal_volume"]:
        caption = f"{pairs}: the study says that volume is not the question, or an answer to it."
        return [_tabulate_models("Among sellers of one day", "AUC (95 %)", caption, figures)]
    caption = (
        f"{pairs} whose settled orders in the window differ by a fifth at most. Who sells more is bad more often, so over"
        " all pairs a count of incidents is paid for knowing who sells much; here it is not, and volume alone is next to"
        " a coin."
    )
    return [_tabulate_models("Between sellers of like volume", "AUC at equal volume (95 %)", caption, figures)]


def all_pairs(r: Reading) -> Blocks:
    """Tabulate AUC and the candidate's lead on every model, over all pairs."""
    caption = (
        "All on the same out-of-time rows, as served, at the reference exposure. Volume alone, in the window or before it,"
        " says how much of an AUC is no trust at all. An interval that does not touch the dotted zero is a difference beyond"
        " chance."
    )
    return [_tabulate_models("Over all pairs", "AUC (95 %)", caption, r.evaluation)]


def _tabulate_models(where: str, figure: str, caption: str, figures: Json) -> Table:
    auc = {name: figures["auc"][name] for name in MODELS if name in figures["auc"]}
    leads = {name: difference for name in auc if (difference := figures["difference"].get(f"lightgbm-{name}"))}
    scale, lead_scale = ScaledIntervals.of(auc.values()), ScaledIntervals.of(leads.values(), rule=0.0)
    rows: list[Row] = []
    for name, interval in auc.items():
        lead = lead_scale.draw(leads.get(name), lambda difference: spoken(difference, 3, signed))
        rows.append([MODELS[name], scale.draw(interval, spoken), lead])
    known_leads = {name: difference for name, difference in leads.items() if difference["low"] is not None}
    beaten = [MODELS[name] for name, difference in known_leads.items() if difference["low"] > 0]
    better = [MODELS[name] for name, difference in known_leads.items() if difference["high"] < 0]
    title = f"{where} better than {listed(beaten) if beaten else 'no baseline'}"
    title += f", and worse than {listed(better)}, beyond chance" if better else ", beyond chance"
    return Table(title, caption, ("model", figure, "candidate less it (95 %)"), rows)


def curves(r: Reading) -> Blocks:
    """Draw each model's ROC and precision."""
    return [Plots([_draw_roc(r), _draw_precision(r)])]


def _draw_precision(r: Reading) -> Plot:
    precision_by_model, rate = r.evaluation["curves"]["precision"], r.evaluation["base_rate"]
    x, y = share_axis("bad sellers found"), axis([0.0, 1.0], "bad among those flagged", short_percent)
    marks, keys = _draw_models(precision_by_model, x, y)
    title = f"To find half of the bad, {percent(precision_by_model['lightgbm']['y'][49])} of those flagged are bad"
    caption = "Precision by recall: what a reviewer meets on the way down the list; the dashed line is the rate of all."
    return Plot(title, caption, x, y, [draw_level(rate, y), *marks], keys)


def _draw_roc(r: Reading) -> Plot:
    auc = r.evaluation["auc"]
    x, y = share_axis("good sellers flagged"), share_axis("bad sellers found")
    marks, keys = _draw_models(r.evaluation["curves"]["roc"], x, y)
    ahead = auc["lightgbm"]["value"] - auc["logistic"]["value"]
    title = (
        f"Over all pairs ranks the bad one as riskier {percent(auc['lightgbm']['value'])} of the time, an AUC of"
        f" {signed(ahead)} against logistic regression"
    )
    caption = (
        "ROC: what share of the bad is found at each share of good sellers flagged. Look at the left edge, where decisions"
        " are made; the dashed diagonal is chance."
    )
    return Plot(title, caption, x, y, [Line("M0 100L100 0", "rule"), *marks], keys)


def _draw_models(figures: Json, x: Axis, y: Axis) -> tuple[list[Mark], list[LegendKey]]:
    drawn = [name for name in DRAWN if name in figures]
    marks: list[Mark] = [draw_curve(figures[name]["x"], figures[name]["y"], x, y, f"m-{name}") for name in drawn]
    return marks, [LegendKey("line", f"m-{name}", MODELS[name]) for name in reversed(drawn)]
