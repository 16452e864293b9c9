"""Test cases of a policy: sellers on a fixed day, with the required answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from scoring.base.enums import Category, Severity, Tier
from scoring.base.errors import PolicyRefused
from scoring.base.frozen import frozen
from scoring.base.parts import Part, read_fields
from scoring.entries.kinds.common import MAX_VALUE_MINOR
from scoring.entries.violation_types import TYPE_NUMBERS, category_of_type
from scoring.model.scale import MAX_POINTS
from scoring.policy.measures import PPM, RESTRICTIONS, Deposit, show_aspect
from scoring.policy.policy import Policy
from scoring.policy.rules import FailureRate, MissingDays
from scoring.policy.sample import Breach, SampleSeller

MAX_CASES = 10_000
MAX_BREACHES = 1_000
MAX_RATES = 20
MAX_TENURE_DAYS = 100_000
_NUMBERS_OF_TERMS = (
    *("deposit_ppm", "deposit_days", "hold_days", "reserve_ppm", "reserve_days", "delivery_hold_days"),
    *("ahead_days", "ahead_minor", "ahead_ppm", "ahead_at_most_minor", "suspension_days", "closes_in_days"),
)
_FLAGS = tuple(kind.word for kind in RESTRICTIONS)
_CAPS = ("value_cap", "listing_cap", "intake_cap")
EXPECTED_NUMBERS = ("standing", "deposit_minor", *_NUMBERS_OF_TERMS, *_CAPS)


@frozen
class PolicyCase:
    name: str
    seller: SampleSeller
    expected: Mapping[str, Any]


@frozen
class CaseResult:
    name: str
    faults: tuple[str, ...]
    """Such as `hold_days is 7, expected 14`."""


def parse_cases(data: Mapping[str, Any]) -> tuple[PolicyCase, ...]:
    """Parse a TOML file's data. Raise PolicyRefused, which names every wrong part, also if it holds no case."""
    root = Part(data, whole="a case")
    today = root.day("now")
    parts = root.list_of_parts("cases", MAX_CASES, "name")
    if not parts:
        root.refuse("cases", "must state one case or more")
    cases = tuple(_read_case(part, today) for part in parts)
    root.refuse_what_is_left()
    if root.errors:
        raise PolicyRefused("the cases are unsound", root.errors)
    return cases


def run_cases(policy: Policy, cases: Sequence[PolicyCase]) -> list[CaseResult]:
    """Return each case's outcome, in order; `faults` is empty if the policy answers as expected."""
    return [CaseResult(case.name, tuple(_find_faults(policy, case))) for case in cases]


def _find_faults(policy: Policy, case: PolicyCase) -> list[str]:
    seller = case.seller.situation(policy)
    rule_book = policy.rule_book
    terms = rule_book.terms(seller)
    actual: dict[str, Any] = {name: getattr(terms, name) for name in (*_NUMBERS_OF_TERMS, *_FLAGS)}
    actual |= {name: dict(getattr(terms, f"{name}s")).get("") for name in _CAPS}
    actual |= {
        "tier": seller.tier.word if seller.tier else "none",
        "band": policy.find_band(seller.tier, case.seller.tier_points(policy)) or "none",
        "standing": seller.standing,
        "rules": sorted({applied.rule.id for applied in rule_book.apply(seller)}),
        "deposit_minor": max(terms.find_deposit(case.seller.recent_minor) - seller.deposit_minor, 0),
    }
    rule_ids = {rule.id for rule in rule_book.rules}
    unknown = [name for name in case.expected.get("rules", ()) if name not in rule_ids]
    unread_quantities = [quantity for quantity in case.seller.measured if quantity not in rule_book.operands]
    part_names = {FailureRate: "failure_rates", MissingDays: "missing_deposits"}
    return [
        *(f"rules expected has {name}, and the policy has no such rule" for name in unknown),
        *(
            f"{part_names[type(quantity)]} has {quantity.describe(rule_book.currency)}, for which no rule asks"
            for quantity in unread_quantities
        ),
    ] + [
        f"{name} is {_show_answer(name, actual[name], rule_book.currency)},"
        f" expected {_show_answer(name, value, rule_book.currency)}"
        for name, value in case.expected.items()
        if actual[name] != value
    ]


def _show_answer(name: str, value: object, currency: str) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    if value is None:
        return "none"
    if name in {"tier", "band"}:
        return str(value)
    text = show_aspect(name, value, currency)
    return f"{value:,} ({text})" if name == "suspension_days" and not text[0].isdigit() else text


def _read_case(part: Part, today: int) -> PolicyCase:
    breaches = tuple(
        _read_breach(one, today, number) for number, one in enumerate(part.list_of_parts("violations", MAX_BREACHES))
    )
    points = part.number("points", 0, MAX_POINTS) if "points" in part else None
    if points is None and breaches:
        part.refuse("points", "must be stated: a confirmed violation makes a seller rated")
    settled = part.number("settled_minor", 0, MAX_VALUE_MINOR, 0)
    seller = SampleSeller(
        points=points,
        breaches=breaches,
        settled_minor={"": settled} | _read_settled_by_category(part),
        day=today,
        marketplace=part.text("marketplace", 1) if "marketplace" in part else "",
        tier=part.member("tier_set", Tier) if "tier_set" in part else None,
        tenure_days=part.number("tenure_days", 0, MAX_TENURE_DAYS, 0),
        deposit_minor=part.number("deposit_placed_minor", 0, MAX_VALUE_MINOR, 0),
        good_orders=part.number("good_orders", 0, MAX_VALUE_MINOR, 0),
        orders=part.number("settled_orders", 0, MAX_VALUE_MINOR) if "settled_orders" in part else None,
        measured={
            read_fields(FailureRate, one): one.number("ppm", 0, PPM)
            for one in part.list_of_parts("failure_rates", MAX_RATES)
        }
        | {
            MissingDays(read_fields(Deposit, one)): one.number("missing_days", 1, MAX_TENURE_DAYS)
            for one in part.list_of_parts("missing_deposits", MAX_RATES)
        },
        recent_minor=part.number("recent_minor", 0, MAX_VALUE_MINOR, 0),
    )
    expected = part.part("expect")
    return PolicyCase(part.text("name", 1), seller, _read_expected(expected))


def _read_settled_by_category(part: Part) -> dict[str, int]:
    if "settled_by_category" not in part:
        return {}
    by_category = part.part("settled_by_category")
    return {str(name): by_category.number(str(name), 0, MAX_VALUE_MINOR) for name in by_category.data}


def _read_breach(part: Part, today: int, place: int) -> Breach:
    """Read one violation: without `incident` an incident of its own; its type must belong to its category."""
    type_number = 0
    if "violation_type" in part:
        type_number = TYPE_NUMBERS[part.word("violation_type", [*TYPE_NUMBERS])]
        if "category" in part:
            part.refuse("category", "is that of its violation_type: leave one of them out")
        category = category_of_type(type_number)
    else:
        category = part.member("category", Category)
    severity = part.member("severity", Severity)
    day = part.day("day")
    if day > today:
        part.refuse("day", "lies after now")
    incident = part.number("incident", 1, MAX_BREACHES) if "incident" in part else -1 - place
    return Breach(category, severity, max(today - day, 0), incident, type_number)


def _read_expected(part: Part) -> dict[str, Any]:
    expected: dict[str, Any] = {
        name: part.number(name, 0, MAX_VALUE_MINOR) for name in EXPECTED_NUMBERS if name in part
    }
    if "tier" in part:
        expected["tier"] = part.member("tier", Tier).word
    if "band" in part:
        expected["band"] = part.text("band", 1)
    expected |= {name: part.flag(name) for name in _FLAGS if name in part}
    if "rules" in part:
        expected["rules"] = sorted(part.texts("rules"))
    if not expected:
        part.refuse("", "must state what is expected")
    return expected
