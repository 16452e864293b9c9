from typing import Any

from scoring.base.enums import Category, Harm, Severity
from scoring.entries.violation_types import TABLES
from training.study.definition import COUNTS, WEIGHTS, BadRule, BadTable
from training.study.reader import Reader, word


def read_bad(r: Reader, *, has_exposure: bool, at_events: bool) -> BadTable:
    """Read the table `[bad]` of a study; add its errors to the reader's problems.

    `has_exposure`: the study has a reference exposure; `at_events`: it observes sellers at events.
    """
    counted = r.word("bad.count", COUNTS)
    rules = r.attempt("bad.any must list tables of severity, harm, violation_type and category", lambda: _rules(r))
    if counted == "service_failures":
        r.check(not rules, "bad.any says which violations count, and bad.count that orders do: leave out one of both")
    else:
        r.check(bool(rules), "bad.any must name at least one kind of violation")
    share, worst = (r.number(f"bad.{name}", None, above=0, most=1) for name in ("share", "worst"))
    amount, currency = r.positive("bad.amount_minor", None), r.take("bad.currency", str, "")
    r.check(bool(amount) == bool(currency), "bad.amount_minor and bad.currency go together: state both or neither")
    r.check(
        amount is None or counted != "service_failures",
        "bad.amount_minor is of violations, and service failures have no amount: leave out one of both",
    )
    for name, value in (("share", share), ("worst", worst)):
        r.check(
            value is None or not has_exposure,
            f"bad.{name} is a matter of the count over the orders, which exposure.reference_orders would account for a"
            f" second time: leave out [exposure], or state bad.at_least in place of bad.{name}",
        )
    r.check(
        worst is None or not at_events,
        "bad.worst compares the sellers of one day, and observation.at has each on a day of its own: state bad.share",
    )
    return BadTable(
        rules=rules,
        at_least=r.positive("bad.at_least", 1),
        suspended=r.take("bad.suspended", bool, True),
        count=counted,
        share=share,
        amount_minor=amount,
        currency=currency,
        worst=worst,
        least_orders=r.number("bad.least_orders", 0, least=0, whole=True),
        weigh_by=r.word("bad.weigh_by", WEIGHTS),
    )


def _rules(r: Reader) -> tuple[BadRule, ...]:
    """Read `bad.any`. Raise ValueError that names an unknown part, word or violation type."""
    rules = []
    for rule in r.take("bad.any", list, []):
        values: dict[str, Any] = dict(rule)
        for name, words in (("severity", Severity), ("harm", Harm), ("category", Category)):
            if name in values:
                values[name] = word(words, values[name])
        if unknown := sorted(set(values) - set(BadRule.__dataclass_fields__)):
            raise ValueError(f"{', '.join(unknown)} is none of them")
        if "violation_type" in values and values["violation_type"] not in _KNOWN_TYPES:
            raise ValueError(
                f"{values['violation_type']!r} is no violation type; see docs/reference/violation-types.md"
            )
        rules.append(BadRule(**values))
    return tuple(rules)


_KNOWN_TYPES = frozenset(key for _, table in TABLES for key in table)
