"""Reading the rules of a policy. Each error names the path of the wrong value."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from scoring.base.enums import Category, MeasureKind, Severity, Tier
from scoring.base.parts import Part
from scoring.policy.measures import (
    FOR_GOOD,
    MAX_GROUP_DAYS,
    MAX_HOLD_DAYS,
    NOTICE_DAYS,
    PPM,
    WAIVABLE,
    CapStep,
    Deposit,
    IntakeCap,
    ListingCap,
    ManualReview,
    Measure,
    RollingReserve,
    SettlementHold,
    Suspension,
    ValueCap,
    Waiver,
)
from scoring.policy.policy import TradeLimits
from scoring.policy.rules import Counter, Group, Rule, RuleBook
from scoring.policy.seasons import read_seasons

MAX_RULES = 200
MAX_MEASURES = 20
MAX_STEPS = 20
MAX_VALUE_MINOR = 10**15
MAX_LISTINGS = 1_000_000_000
MAX_DAYS = 3_660
MAX_STANDING = 1_000_000
MAX_INCIDENTS = 1_000
MAX_SUSPENSION_DAYS = 366
EXCEPTIONS = ("legal_obligation", "imperative_reason", "repeated_infringement")

_CURRENCY = re.compile("[A-Z]{3}")
RULE_ID = re.compile("[a-z0-9][a-z0-9_-]{0,63}")
RULE_ID_FORM = "1 to 64 of a-z, 0-9, - and _, and begin with a letter or digit"
_NAME = re.compile("[A-Za-z0-9._~:-]{1,128}")
_GROUP_PARTS = ("product_category", "from", "until", "legal_ground")


def read_rules(root: Part, trade: TradeLimits | None) -> RuleBook:
    """Read a policy's rules, the currency of their amounts, and the limits of holds.

    Empty if the file states none. Errors are noted in `root` and not raised.
    """
    rules = tuple(_read_rule(part, "standing" in root) for part in root.list_of_parts("rules", MAX_RULES, "id"))
    rules = tuple(one for rule in rules for one in _complete_rule(rule, trade))
    ids = [rule.id for rule in rules]
    for twice in sorted({name for name in ids if name and ids.count(name) > 1}):
        root.refuse("rules", f"has two rules with the id {twice}")
    amounts = any(isinstance(measure, Deposit | ValueCap) for rule in rules for measure in rule.measures)
    amounts |= any(rule.deposit_below is not None for rule in rules)
    currency = ""
    if "currency" in root or amounts:
        what = "the ISO 4217 code of all amounts: three capital letters, such as EUR"
        currency = root.code("currency", _CURRENCY, what)
    seasons = read_seasons(root, (measure for rule in rules for measure in rule.measures), MAX_VALUE_MINOR)
    return RuleBook(rules, currency, _read_hold_limits(root), seasons)


def _complete_rule(rule: Rule, trade: TradeLimits | None) -> Iterator[Rule]:
    """Yield a rule with its implied measures, and the rule that awaits its deposit.

    When an account is to be closed, nothing new is listed, and an order is paid out after its claims. A deposit that
    must be placed first stops sales until then.
    """
    if any(isinstance(measure, Suspension) and measure.terminates for measure in rule.measures):
        tail = MAX_HOLD_DAYS if trade is None else min(trade.claim_days, MAX_HOLD_DAYS)
        stated = [one.days for one in rule.measures if isinstance(one, SettlementHold)]
        held = [SettlementHold(days)] if (days := max(tail, *stated, 0)) else []
        others = [one for one in rule.measures if not isinstance(one, SettlementHold) and not _caps_all_intake(one)]
        rule = replace(rule, measures=(*others, *held, IntakeCap(0)))
    yield rule
    asked = max((one.amount_minor for one in rule.measures if isinstance(one, Deposit)), default=0)
    if trade is not None and trade.deposit_is_refilled and asked:
        name, below = f"{rule.id[:49]}-awaits-deposit", min(asked, rule.deposit_below or asked)
        yield replace(rule, id=name, measures=(ValueCap(0),), deposit_below=below, secures=rule.id)


def _caps_all_intake(measure: Measure) -> bool:
    return isinstance(measure, IntakeCap) and not measure.product_category


def _read_hold_limits(root: Part) -> Mapping[str, int]:
    if "hold_limits" not in root:
        return MappingProxyType({})
    part = root.part("hold_limits")
    for name in part.data:
        if not _NAME.fullmatch(str(name)):
            part.refuse(str(name), "must be the id of a marketplace")
    return MappingProxyType({str(name): part.number(str(name), 1, MAX_HOLD_DAYS) for name in part.data})


def _read_rule(part: Part, has_standing: bool) -> Rule:
    name = part.code("id", RULE_ID, RULE_ID_FORM)
    standing_from, standing_below = _read_standing(part, has_standing)
    counter, incidents = _read_counter(part)
    settled_below, settled_category = _read_settled(part)
    measures = part.list_of_parts("measures", MAX_MEASURES, "kind")
    if part.data.get("measures") in (None, []):
        part.refuse("measures", "must state one measure or more")
    read = [(one, measure) for one in measures if (measure := read_measure(one)) is not None]
    rule = Rule(
        id=name,
        reference=part.text("reference", 1),
        measures=tuple(measure for _, measure in read),
        tiers=_read_tiers(part),
        standing_from=standing_from,
        standing_below=standing_below,
        counter=counter,
        incidents=incidents,
        group=_read_group(part),
        settled_below=settled_below,
        settled_category=settled_category,
        tenure_below=part.part("tenure").number("below", 1, MAX_DAYS) if "tenure" in part else None,
        deposit_below=part.part("deposit").number("below", 1, MAX_VALUE_MINOR) if "deposit" in part else None,
    )
    _refuse_what_a_rule_may_not(part, rule, read)
    return rule


def _refuse_what_a_rule_may_not(part: Part, rule: Rule, read: Sequence[tuple[Part, Measure]]) -> None:
    for place, measure in read:
        if isinstance(measure, Suspension) and not rule.names_confirmed_facts:
            place.refuse(
                "",
                "suspends by a model or a tier alone; a suspension needs confirmed facts: state"
                " standing.from of at least 1, or confirmed",
            )
        if stops_all_trade(place) and not (rule.names_confirmed_facts or rule.deposit_below is not None):
            place.refuse(
                "",
                "lets nobody sell, which suspends under another name: state more than 0, or name confirmed facts by"
                " standing.from or confirmed",
            )
        if rule.group is not None and (
            not isinstance(measure, IntakeCap) or measure.product_category != rule.group.product_category
        ):
            place.refuse(
                "", "must be an intake_cap of the group's product_category: a group rule limits new intake alone"
            )
    has_upper_end = any(end is not None for end in (rule.settled_below, rule.tenure_below, rule.deposit_below))
    if rule.group is not None and (rule.tiers or rule.names_confirmed_facts or has_upper_end):
        part.refuse("group", "must be the only condition of its rule")


def _read_tiers(part: Part) -> frozenset[Tier]:
    if "tiers" not in part:
        return frozenset()
    return frozenset(Tier[word.upper()] for word in part.words("tiers", [tier.name.lower() for tier in Tier]))


def _read_standing(part: Part, has_standing: bool) -> tuple[int, int | None]:
    if "standing" not in part:
        return 0, None
    if not has_standing:
        part.refuse("standing", "has no meaning in a policy without a table [standing]")
    band = part.part("standing")
    first = band.number("from", 1, MAX_STANDING)
    below = band.number("below", 1, MAX_STANDING) if "below" in band else None
    if below is not None and below <= first:
        band.refuse("below", f"must be more than from, {first:,}")
    return first, below


def _read_settled(part: Part) -> tuple[int | None, str]:
    if "settled" not in part:
        return None, ""
    settled = part.part("settled")
    return settled.number("below", 1, MAX_VALUE_MINOR), _read_product_category(settled)


def _read_counter(part: Part) -> tuple[Counter | None, int]:
    if "confirmed" not in part:
        return None, 0
    counted = part.part("confirmed")
    counter = Counter(*read_counted(counted), counted.number("days", 1, MAX_DAYS))
    return counter, counted.number("incidents", 1, MAX_INCIDENTS, 1)


def read_counted(part: Part) -> tuple[frozenset[Category], Severity]:
    """Read which violations a part counts: their categories, by default all, and their lowest severity, by default
    minor.
    """
    every = [category.name.lower() for category in Category]
    categories = part.words("categories", every) if "categories" in part else every
    severity = part.word("severity", [severity.name.lower() for severity in Severity], "minor")
    return frozenset(Category[word.upper()] for word in categories), Severity[severity.upper()]


def _read_group(part: Part) -> Group | None:
    if "group" not in part:
        return None
    group = part.part("group")
    for name in sorted(set(group.data) - set(_GROUP_PARTS)):
        group.refuse(name, "makes no group: a group is a product category, never a nationality or a personal attribute")
    noted = len(group.errors)
    days = [group.day(name) for name in ("from", "until")]
    if len(group.errors) > noted:  # one fault is one error
        days = [0, 0]
    elif days[1] < days[0]:
        group.refuse("until", "lies before from")
    elif days[1] - days[0] >= MAX_GROUP_DAYS:
        group.refuse("until", f"must be within {MAX_GROUP_DAYS} days, from and until included")
    return Group(group.text("product_category", 1), days[0], days[1], group.text("legal_ground", 1))


def stops_all_trade(part: Part) -> bool:
    """Return whether a measure is a cap of 0 on everything, also one that grows: without trade nothing is settled."""
    limit = {"value_cap": "value_minor", "listing_cap": "listings"}.get(str(part.data.get("kind")), "")
    value = part.data.get(limit)
    return type(value) is int and value == 0 and "product_category" not in part


def read_measure(part: Part) -> Measure | None:
    """Read one measure; if its kind is unknown, note an error in the part and return None."""
    kind = part.word("kind", [kind.name.lower() for kind in MeasureKind])
    if kind != part.data.get("kind"):
        part.skip_others()
        return None
    return _READERS[MeasureKind[kind.upper()]](part)


def _read_deposit(part: Part) -> Measure:
    return Deposit(part.number("amount_minor", 1, MAX_VALUE_MINOR))


def _read_hold(part: Part) -> Measure:
    return SettlementHold(part.number("days", 1, MAX_HOLD_DAYS))


def _read_reserve(part: Part) -> Measure:
    return RollingReserve(part.number("ppm", 1, PPM), part.number("days", 1, MAX_HOLD_DAYS))


def _read_value_cap(part: Part) -> Measure:
    noted = len(part.errors)
    value = part.number("value_minor", 0, MAX_VALUE_MINOR)
    steps = [
        CapStep(step.number("settled_minor", 1, MAX_VALUE_MINOR), step.number("value_minor", 1, MAX_VALUE_MINOR))
        for step in part.list_of_parts("grows", MAX_STEPS)
    ]
    for before, step in zip([CapStep(0, value), *steps], steps, strict=False):
        falls = step.settled_minor <= before.settled_minor or step.value_minor <= before.value_minor
        if falls and len(part.errors) == noted:
            part.refuse("grows", "must rise from step to step, in settled_minor and in value_minor")
            break
    return ValueCap(value, _read_product_category(part), tuple(steps))


def _read_listing_cap(part: Part) -> Measure:
    return ListingCap(part.number("listings", 0, MAX_LISTINGS), _read_product_category(part))


def _read_intake_cap(part: Part) -> Measure:
    return IntakeCap(part.number("new_listings", 0, MAX_LISTINGS), _read_product_category(part))


def _read_product_category(part: Part) -> str:
    return part.text("product_category", 1) if "product_category" in part else ""


def _read_waiver(part: Part) -> Measure:
    return Waiver(MeasureKind[part.word("waives", [kind.name.lower() for kind in WAIVABLE]).upper()])


def _read_suspension(part: Part) -> Measure:
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


_READERS: Mapping[MeasureKind, Callable[[Part], Measure]] = {
    MeasureKind.DEPOSIT: _read_deposit,
    MeasureKind.SETTLEMENT_HOLD: _read_hold,
    MeasureKind.ROLLING_RESERVE: _read_reserve,
    MeasureKind.VALUE_CAP: _read_value_cap,
    MeasureKind.LISTING_CAP: _read_listing_cap,
    MeasureKind.INTAKE_CAP: _read_intake_cap,
    MeasureKind.MANUAL_REVIEW: lambda _: ManualReview(),
    MeasureKind.WAIVER: _read_waiver,
    MeasureKind.SUSPENSION: _read_suspension,
}
