from typing import Any

from scoring.base.canonical import JsonObject
from training.study.definition import BadRule, Study


def describe_definition(study: Study) -> JsonObject:
    """Return which sellers a study rates and what is bad, as JSON values; rules and periods are in words."""
    window = f"{study.window.days} days" if study.window.days is not None else f"{study.window.months} months"
    eligible = []
    if study.orders_needed > 1:
        eligible.append(f"at least {study.orders_needed:,} settled orders in the window")
    elif study.orders_needed:
        eligible.append("sold something in the window")
    if study.eligible.active_before_months is not None:
        eligible.append(f"active in the {study.eligible.active_before_months} months before")
    if study.eligible.active_in_window:
        eligible.append("active in the window")
    return {
        "bad": [_describe_rule(rule) for rule in study.bad.rules] or ["settled orders that failed"],
        "bad_at_least": study.bad.at_least,
        "bad_asks": _describe_thresholds(study),
        "bad_suspended": study.bad.suspended,
        "weigh_by": study.bad.weigh_by,
        "reference_exposure": study.exposure.reference_orders,
        "window": window,
        "maturity_days": study.window.maturity_days,
        "eligible": eligible or ["every seller that exists"],
    }


LABEL = ("bad", "bad_at_least", "bad_asks", "bad_suspended", "window", "maturity_days")


def other_label(study: Study, theirs: JsonObject) -> list[str]:
    """Return, in words, where `theirs`, of `describe_definition`, defines the label otherwise."""
    definition = describe_definition(study)
    return [
        f"{part.replace('_', ' ')}: {_describe_value(theirs[part])}, here {_describe_value(definition[part])}"
        for part in LABEL
        if part in theirs and theirs[part] != definition[part]
    ]


def _describe_value(value: Any) -> str:
    if isinstance(value, list):
        return "; or ".join(map(str, value)) or "nothing"
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _describe_thresholds(study: Study) -> list[str]:
    thresholds = []
    if study.bad.share is not None:
        thresholds.append(f"at least {study.bad.share:.6g} of the settled orders in the window")
    if study.bad.worst is not None:
        thresholds.append(
            f"among the worst {study.bad.worst:.6g} of the market by count over settled orders in the window"
        )
    if study.bad.amount_minor is not None:
        thresholds.append(f"at least {study.bad.amount_minor:,} minor units of {study.bad.currency} in the window")
    return thresholds


def _describe_rule(rule: BadRule) -> str:
    words = [f"{rule.severity.word} severity or more", f"{rule.harm.word} harm or more"]
    if rule.category is not None:
        words.insert(0, f"{rule.category.word} violations")
    if rule.violation_type is not None:
        words.insert(0, rule.violation_type)
    return ", ".join(words)
