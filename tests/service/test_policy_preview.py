from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from scoring.base.enums import Action, DepositChange, Source
from scoring.base.errors import InvalidInput
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.settlement import DepositChanged, FlowStated
from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy
from service.ledger.store import Ledger
from service.policy import preview as previewing
from service.policy.preview import PastViolation, Preview, Question, keep_stopping_rules, preview
from tests.helpers.builders import MARKET, TODAY, Clock, ago, confirmed, exposure, identity, status, violation
from tests.helpers.limits import Limit
from tests.helpers.policies import data, policy_of, rule, standing
from tests.helpers.worlds import artifact

SINCE = TODAY - 30
OLD, FAR = ago(200), ago(300)


def hold(days: int) -> dict[str, Any]:
    return {"kind": "settlement_hold", "days": days}


def grown(seller: str, orders: int, **fields: Any) -> list[Any]:
    return [
        identity(f"i-{seller}", seller, occur_time=FAR, report_time=FAR),
        exposure(TODAY - 100, seller, settled_orders=orders, report_time=OLD + 110 * DAY, **fields),
    ]


@pytest.fixture
def ledger(url: str, clock: Clock) -> Iterator[Ledger]:
    toys = {"product_category": "toys"}
    with Ledger.open(url, create=True, clock=clock) as found:
        entries = [
            *grown("old-1", 5_000, **toys),
            *grown("old-2", 400, product_category="food"),
            *grown("guilty", 5_000, value_minor=900, currency="EUR"),
            identity("i-new", "new", occur_time=ago(5), report_time=ago(5)),
        ]
        source = confirmed().fact.source
        for name, days in (("v-1", 60), ("v-2", 10)):
            known = {"final": True, "identifier_verified": True, "source": source, "incident": name}
            entries.append(violation(name, "guilty", occur_time=ago(days), report_time=ago(days - 1), **known))
        found.append(MARKET, entries, imported=True)
        found.append("other", grown("elsewhere", 5_000), imported=True)
        yield found


def looked(ledger: Ledger, before: Policy, after: Policy, *, model: bool = True, **fields: Any) -> Preview:
    places, most = fields.pop("places", ledger.sellers.list_marketplaces()), fields.pop("most", None)
    stated = {"since_day": SINCE, "max_violations": 100} | fields
    asked = Question(before, after, artifact() if model else None, ledger.cut(), **stated)
    return preview(ledger, places, asked, lambda *_: None, most)


def segment(found: Preview, kind: str, name: str) -> dict[str, int]:
    """Return the counts above 0, without the money."""
    counts = found.segments[kind, name].items()
    return {what: count for what, count in counts if count and not what.endswith(("_before", "_after"))}


NEWCOMERS = policy_of(rule("new", hold(7), tiers=["unrated"]))


def test_sellers_are_counted_by_band(ledger: Ledger) -> None:
    cut_offs = data()["cut_offs"]
    starts = {"clay": 0, "tin": cut_offs["standard"], "gold": cut_offs["trusted"], "ruby": cut_offs["exemplary"]}
    bands = [{"name": name, "from": least} for name, least in starts.items()]
    found = looked(ledger, policy_of(), policy_of(cut_offs=cut_offs | {"bands": bands}))
    names = dict(zip(["probation", "standard", "trusted", "exemplary"], starts, strict=True))
    expected = Counter()
    for (_, tier), count in found.tiers.items():
        expected["none", names.get(tier, "none")] += count
    assert found.bands == expected
    assert found.bands["none", "none"] == 1, "an unrated seller has no band"
    assert not looked(ledger, policy_of(), policy_of()).bands


def test_the_sellers_whom_a_policy_moves_are_counted_by_segment(ledger: Ledger) -> None:
    found = looked(ledger, NEWCOMERS, policy_of(rule("new", hold(20), tiers=["unrated"])))
    assert found.sellers == 5
    assert segment(found, "all", "all") == {"sellers": 5, "stricter": 1}
    assert segment(found, "marketplace", MARKET) == {"sellers": 4, "stricter": 1}
    assert segment(found, "marketplace", "other") == {"sellers": 1}
    assert segment(found, "settled_orders", "none") == {"sellers": 1, "stricter": 1}
    assert segment(found, "settled_orders", "1,000 to 9,999") == {"sellers": 3}
    assert segment(found, "product_category", "toys") == {"sellers": 1}
    assert segment(found, "tier", "unrated") == {"sellers": 1, "stricter": 1}
    assert dict(found.aspects) == {"hold_days 7 -> 20": 1}
    [one] = found.examples
    assert (one.marketplace, one.seller, one.tiers) == (MARKET, "new", ("unrated", "unrated"))
    assert one.aspects == ("hold_days 7 -> 20",)
    back = looked(ledger, policy_of(rule("new", hold(20), tiers=["unrated"])), NEWCOMERS, places=[MARKET])
    assert segment(back, "all", "all") == {"sellers": 4, "laxer": 1}


def test_a_change_of_the_table_of_standing_moves_tiers(ledger: Ledger) -> None:
    easy = {"standard": 1, "trusted": 2, "exemplary": 3}
    strict, lenient = (
        parse_policy(data(standing=standing() | {"at_most": at_most}, cut_offs=easy))
        for at_most in ({"trusted": 1, "standard": 2, "probation": 3}, {"trusted": 900})
    )
    found = looked(ledger, lenient, strict)
    assert segment(found, "all", "all") == {"sellers": 5, "tier_down": 1, "noticed": 1}
    assert [one.seller for one in found.examples] == ["guilty"]
    assert found.examples[0].tiers[1] == "probation"


def test_money_that_waits_is_stated_by_segment(ledger: Ledger) -> None:
    ahead = {"kind": "paid_ahead_limit", "days": 20, "value_minor": 6, "ppm": 10_000, "at_most_minor": 10**6}
    old = policy_of(rule("all", hold(7)), rule("owes", {"kind": "deposit", "amount_minor": 50}))
    new = policy_of(rule("all", hold(10), ahead))
    found = looked(ledger, old, new, model=False, places=[MARKET]).segments["all", "all"]
    assert (found["held_before"], found["held_after"]) == (7 * 3, 10 * 3 + 10 * 3 - (6 + 9))
    assert (found["deposits_before"], found["deposits_after"]) == (4 * 50, 0)


@pytest.mark.parametrize("amount", [50, 5])
def test_policies_in_two_currencies_are_refused(ledger: Ledger, amount: int) -> None:
    euros = policy_of(rule("owes", {"kind": "deposit", "amount_minor": 50}))
    dollars = policy_of(rule("owes", {"kind": "deposit", "amount_minor": amount}), currency="USD")
    with pytest.raises(InvalidInput, match="currency: is USD, and EUR in the policy before it"):
        looked(ledger, euros, dollars)


def test_the_sums_are_in_the_one_stated_currency(ledger: Ledger) -> None:
    ledger.append(MARKET, grown("abroad", 5_000, value_minor=9_000, currency="USD"), imported=True)
    euros, without = policy_of(rule("all", hold(7))), parse_policy(data(rules=[rule("all", hold(7))]))
    for before, after in ((without, euros), (euros, without), (euros, euros)):
        found = looked(ledger, before, after, model=False, places=[MARKET])
        both = found.segments["all", "all"]
        assert (both["held_before"], both["held_after"]) == (7 * 3, 7 * 3)
        assert found.partly_valued == 3, "two sellers whose orders have no value, and one paid in dollars"
    assert looked(ledger, without, without, model=False, places=[MARKET]).partly_valued == 0


def test_a_sample_looks_at_some_sellers_evenly(ledger: Ledger) -> None:
    found = looked(ledger, NEWCOMERS, NEWCOMERS, places=[MARKET], most=2)
    assert (found.recorded, found.sellers) == (4, 2)
    assert looked(ledger, NEWCOMERS, NEWCOMERS, places=[MARKET]).sellers == 4


def test_a_placed_deposit_is_previewed(ledger: Ledger) -> None:
    secured = DepositChanged(change=DepositChange.PLACED, amount_minor=500, currency="EUR", actor="a-1")
    entry = Entry("d-1", "old-1", secured, occur_time=ago(9), report_time=ago(9))
    ledger.append(MARKET, [entry], imported=True)
    after = policy_of(rule("new", hold(7), tiers=["unrated"]), rule("unsecured", hold(9), deposit={"below": 500}))
    found = looked(ledger, NEWCOMERS, after)
    assert found.rules["unsecured"] == 4
    assert segment(found, "all", "all") == {"sellers": 5, "stricter": 4}
    assert (found.good, found.hurt) == (3, 3)


WEIGHTS = {source.name.lower(): {"weight": 1, "at_most": 1} for source in Source} | {
    "brand": {"weight": 20, "at_most": 40}, "customs": {"weight": 100, "at_most": 100},
}  # fmt: skip


def cautious(**trigger: Any) -> Policy:
    stop = {"id": "r", "reference": "terms 10", "days": 3, "measures": [{"kind": "intake_cap", "new_listings": 0}]}
    caution = {"decide_days": 1, "sources": WEIGHTS, "rules": [stop | trigger]}
    return policy_of(rule("new", hold(7), tiers=["unrated"]), caution=caution)


def test_cautions_are_previewed_by_reports_and_flow(ledger: Ledger) -> None:
    reported = violation("r-1", "old-1", occur_time=ago(1), report_time=ago(1), source=Source.CUSTOMS)
    flow = FlowStated(TODAY - 1, delivered_orders=90, disputed_orders=30)
    ledger.append(MARKET, [reported, Entry("f-1", "old-2", flow, report_time=ago(0) - 1)], imported=True)
    by_reports = looked(ledger, NEWCOMERS, cautious(reports={"weight": 100, "days": 14}))
    disputed = {"of": "disputed", "share_ppm": 150_000, "orders": 20, "days": 7}
    by_flow = looked(ledger, NEWCOMERS, cautious(burst=disputed))
    for found, seller in ((by_reports, "old-1"), (by_flow, "old-2")):
        assert segment(found, "all", "all") == {"sellers": 5, "stricter": 1}
        assert [(one.seller, one.aspects) for one in found.examples] == [(seller, ("intake_caps none -> all: 0",))]
        assert found.rules["caution~r"] == 1
        assert (found.good, found.hurt) == (looked(ledger, NEWCOMERS, NEWCOMERS).good, 0)


def test_a_violation_that_a_caution_would_have_stopped_is_named(ledger: Ledger) -> None:
    for name, days in (("r-1", 12), ("r-2", 64)):
        known: dict[str, Any] = {"occur_time": ago(days), "report_time": ago(days), "incident": name}
        known["source"] = Source.CUSTOMS
        ledger.append(MARKET, [violation(name, "guilty", **known)], imported=True)
    after = cautious(reports={"weight": 100, "days": 14})
    found = looked(ledger, NEWCOMERS, after, since_day=TODAY - 90)
    assert [v.violation for v in found.list_stopped_only(by_new=True)] == ["v-2"]
    disputed = {"of": "disputed", "share_ppm": 150_000, "orders": 20, "days": 7}
    by_flow = cautious(burst=disputed)
    assert looked(ledger, NEWCOMERS, by_flow, since_day=TODAY - 90).list_stopped_only(by_new=True) == []
    flow = FlowStated(TODAY - 12, delivered_orders=90, disputed_orders=30)
    ledger.append(MARKET, [Entry("f-1", "guilty", flow, report_time=ago(11))], imported=True)
    found = looked(ledger, NEWCOMERS, by_flow, since_day=TODAY - 90)
    assert [v.violation for v in found.list_stopped_only(by_new=True)] == ["v-2"]


def test_only_stopping_rules_decide_whether_one_stops(ledger: Ledger) -> None:
    waived = policy_of(
        rule("out", {"kind": "suspension", "days": 7}, standing={"from": 3}),
        rule("none", {"kind": "intake_cap", "new_listings": 0}, confirmed={"days": 90}),
        rule("few", {"kind": "intake_cap", "new_listings": 5}, standing={"from": 1}),
        rule("held", hold(9)),
    )
    assert [one.id for one in keep_stopping_rules(waived).rule_book.rules] == ["out", "none"]
    assert [one.id for one in keep_stopping_rules(NEWCOMERS).rule_book.rules] == []


def test_a_rule_that_concerns_nobody_or_everybody_is_shown(ledger: Ledger) -> None:
    def group(name: str, category: str) -> dict[str, Any]:
        asked = {"product_category": category, "from": "2026-02-20", "until": "2026-03-10", "legal_ground": "order 7"}
        cap = {"kind": "intake_cap", "new_listings": 0, "product_category": category}
        return rule(name, cap, group=asked)

    after = policy_of(
        *(group("toys", "toys"), group("lamps", "lamps"), rule("all", hold(3))),
        rule("new", hold(9), tiers=["unrated"]),
    )
    found = looked(ledger, NEWCOMERS, after)
    assert found.rule_rows() == [
        ("toys", 1, ""),
        ("lamps", 0, "nobody sells lamps"),
        ("all", 5, "everybody"),
        ("new", 1, ""),
    ]


def test_violations_are_named_by_what_was_known_then(ledger: Ledger) -> None:
    before = policy_of(rule("x", hold(3)))
    after = policy_of(rule("x", hold(3)), rule("out", {"kind": "suspension", "days": 90}, standing={"from": 1}))
    found = looked(ledger, before, after, since_day=TODAY - 90)
    assert [(v.violation, v.stopped_before, v.stopped_after) for v in found.violations] == [
        ("v-2", False, True),
        ("v-1", False, False),
    ]
    assert found.list_stopped_only(by_new=True) == [PastViolation(MARKET, "guilty", "v-2", ago(10), False, True)]
    assert found.list_stopped_only(by_new=False) == []
    swapped = looked(ledger, after, before, since_day=TODAY - 90)
    assert [v.violation for v in swapped.list_stopped_only(by_new=False)] == ["v-2"]
    served = policy_of(rule("x", hold(3)), rule("out", {"kind": "suspension", "days": 7}, standing={"from": 1}))
    assert looked(ledger, before, served, since_day=TODAY - 90).list_stopped_only(by_new=True) == []
    few = looked(ledger, before, after, since_day=TODAY - 90, max_violations=1)
    assert ([v.violation for v in few.violations], few.violations_omitted) == (["v-2"], 1)


def test_hurt_good_sellers_are_counted_as_of_then(ledger: Ledger) -> None:
    after = policy_of(rule("all", hold(3)), rule("new", hold(7), tiers=["unrated"]))
    found = looked(ledger, NEWCOMERS, after)
    assert (found.good, found.hurt) == (3, 3)
    assert {one.seller for one in found.hurt_examples} == {"old-1", "old-2", "elsewhere"}
    ledger.append(MARKET, [status("v-2", Action.APPEAL), status("v-2", Action.OVERTURN)])
    found = looked(ledger, NEWCOMERS, after)
    assert (found.good, found.hurt) == (4, 4)


def test_a_decision_that_was_made_since_is_not_known_then(ledger: Ledger) -> None:
    alleged = violation("w-1", "old-1", occur_time=ago(50), report_time=ago(49))
    later = violation("w-2", "old-1", occur_time=ago(3), report_time=ago(2), incident="later")
    decided = [status(name, occur_time=ago(1), report_time=ago(1)) for name in ("w-1", "w-2")]
    ledger.append(MARKET, [alleged, later, *decided], imported=True)
    before = policy_of(rule("x", hold(3)))
    after = policy_of(rule("x", hold(3)), rule("out", {"kind": "suspension", "days": 90}, standing={"from": 1}))
    found = looked(ledger, before, after)
    assert [v.violation for v in found.list_stopped_only(by_new=True)] == ["v-2"]
    assert found.violations[0] == PastViolation(MARKET, "old-1", "w-2", ago(3), False, False)
    ledger.append(MARKET, [status("w-2", Action.APPEAL), status("w-2", Action.OVERTURN)])
    found = looked(ledger, before, after)
    assert (found.good, found.hurt) == (3, 0)


def test_sellers_are_counted_alike_however_they_are_parted(ledger: Ledger, limit: Limit) -> None:
    after = policy_of(rule("all", hold(3)), rule("new", hold(9), tiers=["unrated"]))
    whole = looked(ledger, NEWCOMERS, after)
    limit(previewing, MAX_SELLERS=2)
    limit("service.ledger.queries.facts", MAX_BATCH_ROWS=1)
    assert looked(ledger, NEWCOMERS, after) == whole


def test_without_a_model_only_confirmed_facts_move_anybody(ledger: Ledger) -> None:
    after = policy_of(
        rule("new", hold(30), tiers=["unrated"]), rule("out", {"kind": "manual_review"}, standing={"from": 1})
    )
    found = looked(ledger, NEWCOMERS, after, model=False)
    assert dict(found.aspects) == {"manual_review false -> true": 1}
    assert [one.tiers for one in found.examples] == [("none", "none")]
