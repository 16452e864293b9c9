"""What a study defines, in words: for the lineage of a model, and its report."""

from typing import Any

from training.study.definition import BadRule, Study


def definition(study: Study) -> dict[str, Any]:
    """The definitions of a study as JSON values: bad, reference exposure, window, maturity, who is eligible."""
    window = f"{study.window_days} days" if study.window_days is not None else f"{study.window_months} months"
    eligible = []
    if study.reference_exposure is not None:
        eligible.append("sold something in the window")
    if study.active_before_months is not None:
        eligible.append(f"active in the {study.active_before_months} months before")
    if study.active_in_window:
        eligible.append("active in the window")
    return {
        "bad": [_rule(rule) for rule in study.bad],
        "bad_at_least": study.bad_at_least,
        "reference_exposure": study.reference_exposure,
        "window": window,
        "maturity_days": study.maturity_days,
        "eligible": eligible or ["every seller that exists"],
    }


def _rule(rule: BadRule) -> str:
    words = [f"{rule.severity.name.lower()} severity or more", f"{rule.harm.name.lower()} harm or more"]
    if rule.category is not None:
        words.insert(0, f"{rule.category.name.lower()} violations")
    if rule.violation_type is not None:
        words.insert(0, rule.violation_type)
    return ", ".join(words)
