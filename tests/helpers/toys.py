import tomllib
from collections.abc import Callable
from functools import cache
from typing import Any

from scoring.base.canonical import JsonObject
from scoring.loss_certificate.assumptions import Assumptions, parse_assumptions
from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy
from tests.helpers.policies import GRADED, TIERS, data, rule, standing

World = tuple[JsonObject, JsonObject]

STATED: JsonObject = {
    "currency": "EUR",
    "stop": {"days": 2, "source": "cases of a year"},
    "confirm": {"days": 0, "source": "cases of a year"},
    "wash": {"ppm": 50_000, "source": "fees"},
    "identity": {"minor": 100, "source": "admission"},
    "aged_account": {"minor": 500, "ppm": 60_000, "source": "offers seen"},
    "runners": {"count": 3, "source": "the worst day so far"},
    "overturned": {"ppm": 10_000, "source": "cases of a year"},
}


def stated(**parts: Any) -> JsonObject:
    return {
        name: value | parts.get(name, {}) if isinstance(value, dict) else parts.get(name, value)
        for name, value in STATED.items()
    } | {name: value for name, value in parts.items() if name not in STATED}


def assumed(**parts: Any) -> Assumptions:
    return parse_assumptions(stated(**parts))


def toy(*rules: JsonObject, **trade: Any) -> JsonObject:
    limits = {
        "delivery_promise_days": 3,
        "claim_days": 30,
        "deposit_returned_after_days": 90,
        "deposit_is_refilled": True,
    }
    return data(standing=standing(), currency="EUR", rules=list(rules), trade=limits | trade)


def cap(first: int, *steps: tuple[int, int]) -> JsonObject:
    grows = [{"settled_minor": settled, "value_minor": value} for settled, value in steps]
    return rule("limit", {"kind": "value_cap", "value_minor": first} | ({"grows": grows} if grows else {}))


def hold(days: int, below: int, deposit: int = 0) -> JsonObject:
    measures: list[JsonObject] = [{"kind": "settlement_hold", "days": days}]
    measures += [{"kind": "deposit", "amount_minor": deposit}] if deposit else []
    return rule(f"below-{below}", *measures, settled={"below": below})


TOY = toy(cap(1_000, (100_000, 1_500), (400_000, 4_000)), hold(5, 100_000, deposit=200))
"""A run of five days pays nothing below 100,000 settled, then five days at 1,500, at last at 4,000.

To fake 100,000 costs 5,000 and brings 7,500: it pays. With the hold up to 400,000 it costs 20,000 and brings 20,000.
"""


def make_world(number: Callable[[int, int], int]) -> World:
    def one_of(*values: int) -> int:
        return values[number(0, len(values) - 1)]

    steps, settled, value = [], 0, number(1, 200)
    first = value
    for _ in range(number(0, 3)):
        settled += number(1, 3_000)
        value += number(1, 400)
        steps.append((settled, value))
    rules = [cap(first, *steps)]
    if number(0, 1):
        rules.append(hold(number(1, 9), number(1, 6_000), number(0, 300)))
    if number(0, 1):
        reserve = {"kind": "rolling_reserve", "ppm": number(1, 1_000_000), "days": number(1, 12)}
        rules.append(rule("reserve", reserve, settled={"below": number(1, 6_000)}))
    if number(0, 1):
        delivery = {"kind": "delivery_hold", "days": number(1, 9)}
        rules.append(rule("delivery", delivery, settled={"below": number(1, 6_000)}))
    if number(0, 1):
        share, most = one_of(0, 20_000, 60_000, 500_000), number(1, 800)
        ahead = {"days": number(1, 12), "value_minor": number(0, 300), "ppm": share, "at_most_minor": most}
        narrow = {"settled": {"below": number(1, 6_000)}} if number(0, 1) else {}
        rules.append(rule("ahead", {"kind": "paid_ahead_limit"} | ahead, **narrow))
    if number(0, 1):
        young = {"kind": "settlement_hold", "days": number(1, 9)}
        rules.append(rule("young", young, tenure={"below": number(1, 90)}))
    if number(0, 1):
        both = {"kind": "settlement_hold", "days": number(1, 9)}, {"kind": "value_cap", "value_minor": number(0, 200)}
        ladder = {"categories": ["counterfeit"]} if number(0, 1) else {}
        rules.append(rule("facts", *both, standing={"from": number(1, 30)} | ladder))
    if number(0, 1):
        rules.append(rule("earning", {"kind": "settlement_hold", "days": number(1, 9)}, good_orders={"below": 9}))
    if number(0, 1):
        counted = {"categories": ["counterfeit"], "severity": "major", "incidents": number(1, 2), "days": 365}
        rules.append(rule("counted", {"kind": "deposit", "amount_minor": number(1, 300)}, confirmed=counted))
    if number(0, 1):
        held = {"kind": "settlement_hold", "days": number(1, 9)}
        rate = {"from_ppm": number(1, 9), "days": 30, "orders": 1, "of": ["claims", "late"]}
        rules.append(rule("failing", held, failure_rate=rate))
    deposit_rules, refill = _draw_deposit(number)
    rules += deposit_rules
    start, end = (("2026-11-01", "2026-11-12"), ("1969-12-30", "1970-01-02"))[number(0, 1)]
    season = {"name": "sales", "from": start, "until": end, "times_ppm": number(1, 30) * 100_000}
    data = ({"seasons": [season]} if number(0, 1) else {}) | toy(
        *rules,
        delivery_promise_days=number(0, 3),
        claim_days=number(0, 6),
        deposit_returned_after_days=number(0, 12),
        smallest_order_minor=one_of(1, 7, 10**6),
        **refill,
    )
    return data, stated(
        stop={"days": number(1, 4)},
        confirm={"days": number(0, 3)},
        wash={"ppm": one_of(0, 30_000, 60_000, 400_000)},
        identity={"minor": number(0, 300)},
        aged_account={"minor": number(0, 2_000), "ppm": one_of(0, 60_000)},
    )


def _draw_deposit(number: Callable[[int, int], int]) -> tuple[list[JsonObject], JsonObject]:
    rules = []
    if number(0, 1):
        asked = {"kind": "deposit", "ppm": number(1, 900_000), "days": number(1, 9)}
        rules.append(rule("share", asked | ({"amount_minor": number(1, 300)} if number(0, 1) else {})))
    is_refilled = bool(number(0, 1))
    days = {"deposit_refill_days": number(1, 4)} if is_refilled and number(0, 1) else {}
    return rules, {"deposit_is_refilled": is_refilled} | days


@cache
def shipped_data(name: str) -> JsonObject:
    path = GRADED if name == "graded" else TIERS.with_name(f"{name}.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def policy_of(data: JsonObject) -> Policy:
    return parse_policy(data)


FAKED, REAL = "against_faked_history", "unconditional"


LITTLE = toy(cap(6_000))
"""In a run of five days each pays out 30,000: the first policy on its first day, the other on all five."""
