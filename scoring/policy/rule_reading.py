import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

from scoring.base.enums import MeasureKind, Tier
from scoring.base.parts import Part, read_fields
from scoring.entries.kinds.common import MAX_VALUE_MINOR
from scoring.policy.measures import (
    FOR_GOOD,
    MAX_GROUP_DAYS,
    MAX_HOLD_DAYS,
    NOTICE_DAYS,
    PPM,
    RESTRICTIONS,
    UNTIL_PLAN,
    CapStep,
    DeliveryHold,
    Deposit,
    IntakeCap,
    ListingCap,
    Measure,
    PaidAheadLimit,
    Restriction,
    RollingReserve,
    SettlementHold,
    Suspension,
    ValueCap,
    Valued,
    Waiver,
    combine,
)
from scoring.policy.policy import TradeLimits
from scoring.policy.rules import (
    MAX_DAYS,
    Condition,
    Counter,
    FailureRate,
    Ladder,
    ListingGroup,
    MissingDays,
    Quantity,
    Rule,
    RuleBook,
    SettledValue,
)
from scoring.policy.seasons import read_seasons

MAX_RULES = 200
MAX_MEASURES = 20
MAX_STANDING = 1_000_000
MAX_INCIDENTS = 1_000
MAX_GOOD_ORDERS = 1_000_000
MAX_SUSPENSION_DAYS = 366
EXCEPTIONS = ("legal_obligation", "imperative_reason", "repeated_infringement")

_CURRENCY = re.compile("[A-Z]{3}")
RULE_ID = re.compile("[a-z0-9][a-z0-9_-]{0,63}")
RULE_ID_FORM = "1 to 64 of a-z, 0-9, - and _, and begin with a letter or digit"
_NAME = re.compile("[A-Za-z0-9._~:-]{1,128}")
_GROUP_PARTS = ("product_category", "from", "until", "legal_ground")
_TYPE_BY_KIND: Mapping[MeasureKind, type[Valued]] = {
    kind.kind: kind
    for kind in (
        *(Deposit, SettlementHold, DeliveryHold, PaidAheadLimit, RollingReserve),
        *(ValueCap, ListingCap, IntakeCap, Waiver),
    )
}
"""Kinds with values of their own; a suspension has a reader of its own."""


def read_rules(root: Part, trade: TradeLimits | None) -> RuleBook:
    """Read a policy's rules, the currency of their amounts, and the limits of holds.

    Empty if the file states none. Errors are noted in `root` and not raised.
    """
    rules = tuple(_read_rule(part, "standing" in root, trade) for part in root.list_of_parts("rules", MAX_RULES, "id"))
    rules = tuple(complete_rule for rule in rules for complete_rule in _complete_rule(rule, trade))
    ids = [rule.id for rule in rules]
    for repeated_id in sorted({name for name in ids if name and ids.count(name) > 1}):
        root.refuse("rules", f"has two rules with the id {repeated_id}")
    measures = [measure for rule in rules for measure in rule.measures]
    if trade is None and any(isinstance(measure, DeliveryHold) for measure in measures):
        root.refuse("rules", "state a delivery_hold, which needs [trade]: untracked orders count from the promised day")
    share_days = sorted({one.days for one in measures if isinstance(one, Deposit) and one.days})
    if len(share_days) > 1:
        shown = " and ".join(map(str, share_days))
        root.refuse("rules", f"state deposits as shares of {shown} days; state the same days in each")
    newcomer_percent = root.part("links").number("newcomer_from_percent", 50, 100) if "links" in root else 0
    book = RuleBook(
        rules,
        hold_limits=_read_hold_limits(root),
        seasons=read_seasons(root, measures),
        newcomer_link_percent=newcomer_percent,
    )
    has_amounts = (
        any(isinstance(measure, Deposit | ValueCap | PaidAheadLimit) for measure in measures)
        or Quantity.DEPOSIT in book.operands
    )
    if "currency" not in root and not has_amounts:
        return book
    currency_form = "the ISO 4217 code of all amounts: three capital letters, such as EUR"
    return replace(book, currency=root.code("currency", _CURRENCY, currency_form))


def _complete_rule(rule: Rule, trade: TradeLimits | None) -> Iterator[Rule]:
    """Yield a rule with its implied measures, and the rule that awaits its deposit.

    When an account is to be closed, nothing new is listed, and an order is paid out after its claims. A deposit that
    must be placed first stops sales until then.
    """
    if any(isinstance(measure, Suspension) and measure.terminates for measure in rule.measures):
        claim_days = MAX_HOLD_DAYS if trade is None else min(trade.claim_days, MAX_HOLD_DAYS)
        hold_days = [one.days for one in rule.measures if isinstance(one, SettlementHold)]
        hold = [SettlementHold(days)] if (days := max(claim_days, *hold_days, 0)) else []
        kept = [
            one
            for one in rule.measures
            if not isinstance(one, SettlementHold | IntakeCap) or (isinstance(one, IntakeCap) and one.product_category)
        ]
        rule = replace(rule, measures=(*kept, *hold, IntakeCap(0)))
    yield rule
    deposits = [one for one in rule.measures if isinstance(one, Deposit)]
    if trade is None or not trade.deposit_is_refilled or not deposits:
        return
    required, conditions = combine(deposits), rule.conditions
    below = min(required.deposit_minor, rule.condition(Quantity.DEPOSIT).below or required.deposit_minor)
    if required.deposit_ppm or trade.deposit_refill_days:
        missing = Deposit(below, required.deposit_ppm, required.deposit_days)
        awaits_deposit = Condition(MissingDays(missing), trade.deposit_refill_days + 1)
    else:
        awaits_deposit = Condition(Quantity.DEPOSIT, below=below)
        conditions = tuple(condition for condition in conditions if condition.operand is not Quantity.DEPOSIT)
    yield replace(
        rule,
        id=f"{rule.id[:49]}-awaits-deposit",
        measures=(ValueCap(0),),
        conditions=(*conditions, awaits_deposit),
        secures=rule.id,
    )


def _read_hold_limits(root: Part) -> Mapping[str, int]:
    if "hold_limits" not in root:
        return MappingProxyType({})
    part = root.part("hold_limits")
    for name in part.data:
        if not _NAME.fullmatch(str(name)):
            part.refuse(str(name), "must be the id of a marketplace")
    return MappingProxyType({str(name): part.number(str(name), 1, MAX_HOLD_DAYS) for name in part.data})


def _read_rule(part: Part, has_standing: bool, trade: TradeLimits | None) -> Rule:
    if "standing" in part and not has_standing:
        part.refuse("standing", "has no meaning in a policy without a table [standing]")
    parts_and_measures = read_measures(part, MAX_MEASURES)
    group, days = _read_group(part.part("group")) if "group" in part else (None, ())
    rule = Rule(
        id=part.code("id", RULE_ID, RULE_ID_FORM),
        reference=part.text("reference", 1),
        measures=tuple(measure for _, measure in parts_and_measures),
        tiers=part.members("tiers", Tier) if "tiers" in part else frozenset(),
        conditions=(*days, *_read_conditions(part)),
        group=group,
    )
    _refuse_forbidden_measures(part, rule, parts_and_measures)
    concerns_deposit = any(isinstance(one, Deposit) or one == Waiver(MeasureKind.DEPOSIT) for one in rule.measures)
    if trade is not None and trade.deposit_refill_days and concerns_deposit:
        for name in sorted({"failure_rate", "good_orders", "tiers"} & {*part.data}):
            part.refuse(
                name,
                "has no first day from which a deposit is owed: leave it out beside a deposit and its waiver, or set"
                " trade.deposit_refill_days to 0",
            )
    return rule


def _read_conditions(part: Part) -> Iterator[Condition]:
    if "standing" in part:
        band = part.part("standing")
        least = band.number("from", 1, MAX_STANDING)
        below = band.number("below", 1, MAX_STANDING) if "below" in band else None
        if below is not None and below <= least:
            band.refuse("below", f"must be more than from, {least:,}")
        operand = read_fields(Ladder, band) if "categories" in band else Quantity.STANDING
        yield Condition(operand, least, below)
    if "confirmed" in part:
        counted = part.part("confirmed")
        yield Condition(read_fields(Counter, counted), counted.number("incidents", 1, MAX_INCIDENTS, 1))
    if "settled" in part:
        settled = part.part("settled")
        yield Condition(read_fields(SettledValue, settled), below=settled.number("below", 1, MAX_VALUE_MINOR))
    if "failure_rate" in part:
        rate = part.part("failure_rate")
        yield Condition(read_fields(FailureRate, rate), rate.number("from_ppm", 1, PPM))
    if "linked" in part:
        yield Condition(Quantity.LINK, part.part("linked").number("from_percent", 50, 100))
    for name, operand, most in (
        ("tenure", Quantity.TENURE, MAX_DAYS),
        ("deposit", Quantity.DEPOSIT, MAX_VALUE_MINOR),
        ("good_orders", Quantity.GOOD_ORDERS, MAX_GOOD_ORDERS),
    ):
        if name in part:
            yield Condition(operand, below=part.part(name).number("below", 1, most))


def _read_group(group: Part) -> tuple[ListingGroup, tuple[Condition]]:
    for name in sorted(set(group.data) - set(_GROUP_PARTS)):
        group.refuse(name, "makes no group: a group is a product category, never a nationality or a personal attribute")
    first, last = group.span(MAX_GROUP_DAYS)
    listing_group = ListingGroup(group.text("product_category", 1), group.text("legal_ground", 1))
    return listing_group, (Condition(Quantity.DAY, first, last + 1),)


def _refuse_forbidden_measures(part: Part, rule: Rule, parts_and_measures: Sequence[tuple[Part, Measure]]) -> None:
    for measure_part, measure in parts_and_measures:
        if isinstance(measure, Suspension) and rule.condition(Quantity.GOOD_ORDERS).below is not None:
            measure_part.refuse(
                "", "suspends until good orders end it: state good_orders in rules without a suspension"
            )
        if isinstance(measure, Suspension) and not rule.names_confirmed_facts:
            measure_part.refuse(
                "",
                "suspends without confirmed facts: state standing.from of at least 1, or confirmed, in its rule",
            )
        if rule.condition(Quantity.LINK).least and isinstance(measure, Suspension | Waiver):
            measure_part.refuse("", "must not rest on a link: a link suspends nobody, and waives nothing")
        awaits_deposit = rule.condition(Quantity.DEPOSIT).below is not None
        if stops_all_trade(measure_part) and not (rule.names_confirmed_facts or awaits_deposit):
            measure_part.refuse(
                "",
                "lets nobody sell, which suspends under another name: state more than 0, or name confirmed facts by"
                " standing.from or confirmed",
            )
        if rule.group is not None and (
            not isinstance(measure, IntakeCap) or measure.product_category != rule.group.product_category
        ):
            measure_part.refuse(
                "", "must be an intake_cap of the group's product_category: a group rule limits new intake alone"
            )
    if rule.group is not None and (rule.tiers or len(rule.conditions) > 1):
        part.refuse("group", "must be the only condition of its rule")


def stops_all_trade(part: Part) -> bool:
    """Return whether a measure is a cap of 0 on everything, also one that grows: without trade nothing is settled."""
    limit = {"value_cap": "value_minor", "listing_cap": "listings"}.get(str(part.data.get("kind")), "")
    value = part.data.get(limit)
    return type(value) is int and value == 0 and "product_category" not in part


def read_measures(part: Part, most: int) -> list[tuple[Part, Measure]]:
    """Read a rule's measures, each with its part. Note an error for an unknown kind, and skip the measure."""
    parts = part.list_of_parts("measures", most, "kind")
    if part.data.get("measures") in (None, []):
        part.refuse("measures", "must state one measure or more")
    return [(one, measure) for one in parts if (measure := _read_measure(one)) is not None]


def _read_measure(part: Part) -> Measure | None:
    noted = len(part.errors)
    kind = part.member("kind", MeasureKind)
    if len(part.errors) > noted:
        part.skip_others()
        return None
    if kind is MeasureKind.SUSPENSION:
        return _read_suspension(part)
    if kind in RESTRICTIONS:
        return Restriction(kind)
    measure = read_fields(_TYPE_BY_KIND[kind], part)
    if isinstance(measure, Deposit) and len(part.errors) == noted:
        if not (measure.amount_minor or measure.ppm):
            part.refuse("", "must state amount_minor, ppm of the value settled in some days, or both")
        if bool(measure.ppm) != bool(measure.days):
            part.refuse("days", "must be stated beside ppm, and only there: the days whose settled value counts")
    if isinstance(measure, ValueCap) and len(part.errors) == noted:
        steps = pairwise([CapStep(0, measure.value_minor), *measure.grows])
        if not all(a.settled_minor < b.settled_minor and a.value_minor < b.value_minor for a, b in steps):
            part.refuse("grows", "must rise from step to step, in settled_minor and in value_minor")
    return measure


def _read_suspension(part: Part) -> Suspension:
    if part.flag("until_plan"):
        for name in ("days", "terminates", "notice_days", "exception"):
            if name in part:
                part.refuse(name, "has no meaning beside until_plan = true")
        return Suspension(UNTIL_PLAN)
    if not part.flag("terminates"):
        for name in ("notice_days", "exception"):
            if name in part:
                part.refuse(name, "is of a termination alone: state terminates = true, or leave it out")
        return Suspension(part.number("days", 1, MAX_SUSPENSION_DAYS))
    if "days" in part:
        part.refuse("days", "has no meaning beside terminates = true")
    if "exception" in part:
        exception = part.word("exception", EXCEPTIONS)
        return Suspension(FOR_GOOD, part.number("notice_days", 0, MAX_SUSPENSION_DAYS, 0), exception)
    if "notice_days" not in part:
        part.refuse(
            "notice_days", f"must be stated: at least {NOTICE_DAYS}, unless exception names why there is no notice"
        )
    return Suspension(FOR_GOOD, part.number("notice_days", NOTICE_DAYS, MAX_SUSPENSION_DAYS, NOTICE_DAYS))
