"""The definitions of a study in words: for the lineage of a model, and its report."""

from typing import Any

from training.study.definition import BadRule, Study


def definition(study: Study) -> dict[str, Any]:
    """Return the definitions of a study as JSON values: bad, reference exposure, window, maturity, who is eligible."""
    window = f"{study.window_days} days" if study.window_days is not None else f"{study.window_months} months"
    eligible = []
    if study.orders_needed > 1:
        eligible.append(f"at least {study.orders_needed:,} settled orders in the window")
    elif study.orders_needed:
        eligible.append("sold something in the window")
    if study.active_before_months is not None:
        eligible.append(f"active in the {study.active_before_months} months before")
    if study.active_in_window:
        eligible.append("active in the window")
    return {
        "bad": [_rule(rule) for rule in study.bad] or ["settled orders that failed"],
        "bad_at_least": study.bad_at_least,
        "bad_asks": _asks(study),
        "weigh_by": study.weigh_by,
        "reference_exposure": study.reference_exposure,
        "window": window,
        "maturity_days": study.maturity_days,
        "eligible": eligible or ["every seller that exists"],
    }


def _asks(study: Study) -> list[str]:
    """Return what the bad definition demands beside the number of the count, in words."""
    asks = []
    if study.bad_share is not None:
        asks.append(f"at least {study.bad_share:.6g} of the settled orders in the window")
    if study.bad_worst is not None:
        asks.append(f"among the worst {study.bad_worst:.6g} of the market by count over settled orders in the window")
    if study.bad_amount_minor is not None:
        asks.append(f"at least {study.bad_amount_minor:,} minor units of {study.bad_currency} in the window")
    return asks


def _rule(rule: BadRule) -> str:
    """Return a rule of the bad definition in words."""
    words = [f"{rule.severity.name.lower()} severity or more", f"{rule.harm.name.lower()} harm or more"]
    if rule.category is not None:
        words.insert(0, f"{rule.category.name.lower()} violations")
    if rule.violation_type is not None:
        words.insert(0, rule.violation_type)
    return ", ".join(words)
