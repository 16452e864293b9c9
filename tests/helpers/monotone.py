"""Random accepted policies and random sellers: a further or worse violation must never ease a term."""

import random
from collections.abc import Iterator

from scoring.base.canonical import JsonObject
from scoring.base.enums import Category, Severity, Status
from scoring.base.errors import PolicyRefused
from scoring.base.time import DAY, format_day
from scoring.features.columns import FactRow
from scoring.measures.in_force import InForce, MeasureInputs, evaluate_measures
from scoring.policy.measures import Terms
from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy
from tests.helpers.answers import answer, with_values
from tests.helpers.policies import data, standing
from tests.helpers.worlds import TODAY, artifact, exposure, identity, numbered, status, violation

TIERS = ("unrated", "probation", "standard", "trusted", "exemplary")
MARKETPLACES = ("acme", "other")
LATER = (0, 1, 5, 7, 8, 13, 14, 15, 21, 28, 29, 30, 31, 45, 59, 60, 61, 90, 180, 364, 365, 400)
"""Days after a violation's confirmation on which terms are compared."""
RESETS = tuple(format_day(TODAY + days)[5:] for days in (-3, 0, 4, 20, 40, 200))


def draw_policies(chance: random.Random) -> Iterator[Policy]:
    while True:
        try:
            yield parse_policy(_draw_data(chance))
        except PolicyRefused:
            continue


def find_laxer_day(policy: Policy, chance: random.Random, pairs: int = 2) -> str | None:
    """Compare random sellers with and without a violation confirmed TODAY, or with a worse one; return the first laxer
    aspect.
    """
    histories, beside = [], {}
    for number in range(pairs):
        rows, further = _draw_seller(chance), _draw_violation(chance, "further", 0)
        lesser = [_lessen(row) for row in further] if chance.random() < 0.3 else []
        values = {row.entry_id: chance.choice([0, 10, 50, 1_000]) for row in rows if row.settled_orders}
        placed = chance.choice([0, 0, 100, 300])
        for name, history in ((f"{number}-without", [*rows, *lesser]), (f"{number}-with", [*rows, *further])):
            histories += [_give(row, name) for row in history]
            beside[name] = {_give_id(entry, name): value for entry, value in values.items()}, placed
    place, hour = chance.choice(MARKETPLACES), chance.randrange(1, DAY)
    for later in (*LATER, chance.randrange(400)):
        moment = (TODAY + later) * DAY + hour
        known = [row for row in numbered(histories) if row.report_time < moment]
        sellers, currency = [*beside], policy.rule_book.currency
        values = {entry: value for of_seller, _ in beside.values() for entry, value in of_seller.items()}
        given = answer(
            with_values(known, sellers, values, currency), sellers, moment, artifact(), policy, looks_back=True
        )
        placed_by = {name: MeasureInputs((), (placed,) * 15) for name, (_, placed) in beside.items()}
        found = evaluate_measures(given, place, placed_by)
        for without, with_it in zip(found[::2], found[1::2], strict=True):
            if without is None or with_it is None:
                continue
            for one, other in zip(_list_terms(without), _list_terms(with_it), strict=True):
                less, more = _compared(one), _compared(other)
                laxer = [aspect for aspect in less if more[aspect] < less[aspect]]
                if laxer:
                    return f"{laxer[0]}: {more[laxer[0]]} < {less[laxer[0]]}, {later} days later"
    return None


def _give_id(name: str, seller: str) -> str:
    return f"{name}-{seller}"


def _give(row: FactRow, seller: str) -> FactRow:
    violation = row.violation and _give_id(row.violation, seller)
    return row._replace(seller=seller, entry_id=_give_id(row.entry_id, seller), violation=violation)


def _list_terms(found: InForce) -> list[Terms]:
    return [found.terms, found.terms_at_capture, found.find_terms_for_earlier()]


def _compared(terms: Terms) -> dict[str, int]:
    found = terms.strictness({"toys"})
    return found | {"suspension_days": int(terms.suspension_days > 0)}


def _draw_data(chance: random.Random) -> JsonObject:
    rules = [_draw_rule(chance, number) for number in range(chance.randint(2, 7))]
    trade = {
        "delivery_promise_days": 3,
        "claim_days": chance.choice([0, 10, 30]),
        "deposit_returned_after_days": 90,
        "deposit_is_refilled": chance.random() < 0.5,
    }
    if trade["deposit_is_refilled"]:
        trade["deposit_refill_days"] = chance.choice([0, 0, 3, 14])
    parts: JsonObject = {"trade": trade} if chance.random() < 0.7 else {}
    if chance.random() < 0.3:
        parts["hold_limits"] = {"acme": chance.choice([5, 20, 90])}
    thin = {"settled_orders": chance.choice([0, 10, 200]), "tenure_days": chance.choice([0, 30, 300])}
    expiry: JsonObject = {"expiry_days": chance.choice([60, 365])}
    if chance.random() < 0.3:
        expiry["reset"] = chance.choice(RESETS)
    return data(standing=standing() | expiry, thin_file=thin, currency="EUR", rules=rules, clear_days=2, **parts)


def _draw_rule(chance: random.Random, number: int) -> JsonObject:
    rule: JsonObject = {"id": f"r{number}", "reference": "terms"}
    kind = chance.choice(["tiers", "tiers", "all", "below", "facts", "facts", "facts"])
    if kind == "tiers":
        rule["tiers"] = list(TIERS[: chance.randint(1, 4)])
        if chance.random() < 0.1:
            rule["tiers"] = [chance.choice(TIERS)]
    elif kind == "below":
        asked = chance.choice(["settled", "tenure", "deposit", "good_orders"])
        rule[asked] = {"below": chance.choice([40, 200, 400])}
    elif kind == "facts":
        if chance.random() < 0.7:
            first = chance.choice([1, 4, 12, 24, 36])
            rule["standing"] = {"from": first}
            if chance.random() < 0.4:
                rule["standing"]["below"] = first + chance.choice([3, 12, 24])
            if chance.random() < 0.3:
                rule["standing"]["categories"] = chance.choice([["counterfeit"], ["counterfeit", "service"]])
        if chance.random() < 0.4 or "standing" not in rule:
            rule["confirmed"] = {
                "categories": chance.choice([["counterfeit"], ["counterfeit", "service"]]),
                "severity": chance.choice(["minor", "major"]),
                "incidents": chance.randint(1, 3),
                "days": chance.choice([30, 365]),
            }
        if chance.random() < 0.15:
            rule["tiers"] = list(TIERS[1 : chance.randint(2, 5)])
    rule["measures"] = [_draw_measure(chance, kind == "facts") for _ in range(chance.randint(1, 2))]
    if len({one["kind"] for one in rule["measures"]}) < len(rule["measures"]):
        del rule["measures"][1:]
    return rule


def _draw_measure(chance: random.Random, is_on_facts: bool) -> JsonObject:
    if is_on_facts and chance.random() < 0.6:
        return chance.choice(
            [
                {"kind": "suspension", "days": chance.choice([7, 14, 30, 60])},
                {"kind": "suspension", "days": chance.choice([7, 14, 30, 60])},
                {"kind": "suspension", "terminates": True, "notice_days": chance.choice([30, 60])},
                {"kind": "suspension", "terminates": True, "exception": "legal_obligation"},
            ]
        )
    first = chance.choice([10, 100, 500])
    return chance.choice(
        [
            {"kind": "settlement_hold", "days": chance.choice([3, 14, 40])},
            {"kind": "rolling_reserve", "ppm": chance.choice([50_000, 400_000]), "days": chance.choice([10, 90])},
            {"kind": "deposit", "amount_minor": chance.choice([50, 200])},
            {"kind": "deposit", "ppm": chance.choice([50_000, 300_000]), "days": 60},
            {"kind": "value_cap", "value_minor": first},
            {"kind": "value_cap", "value_minor": first, "grows": [{"settled_minor": 100, "value_minor": first + 50}]},
            {"kind": "listing_cap", "listings": chance.choice([5, 100])},
            {"kind": "intake_cap", "new_listings": chance.choice([0, 10])},
            {"kind": chance.choice(["manual_review", "search_demotion", "campaign_exclusion"])},
            {"kind": "waiver", "waives": chance.choice(["settlement_hold", "deposit", "value_cap"])},
        ]
    )


def _draw_seller(chance: random.Random) -> list[FactRow]:
    rows = [identity("i", TODAY - chance.choice([5, 20, 100, 600]))]
    days = chance.sample(range(1, 90), chance.choice([0, 1, 3]))
    rows += [exposure(f"x{day}", TODAY - day, chance.choice([1, 50, 300])) for day in days]
    rows += [row for number in range(chance.choice([0, 0, 1, 4])) for row in _draw_violation(chance, f"v{number}")]
    return rows


def _draw_violation(chance: random.Random, name: str, ago: int | None = None) -> list[FactRow]:
    happened = TODAY - chance.choice([0, 1, 10, 40, 200]) + (chance.choice([0, 0, 6, 20, 60]) if ago is None else 0)
    category = chance.choice([Category.COUNTERFEIT, Category.COUNTERFEIT, Category.SERVICE, Category.IP])
    incident = chance.choice([name, name, "shared"])
    alleged = violation(name, happened, int(category), int(chance.choice(list(Severity))), Status.ALLEGED, incident)
    decided = happened + chance.choice([0, 1, 5, 15]) if ago is None else TODAY - ago
    return [alleged, status(f"c-{name}", name, Status.CONFIRMED, decided)]


def _lessen(row: FactRow) -> FactRow:
    return row._replace(severity=int(Severity.MINOR)) if row.category is not None else row
