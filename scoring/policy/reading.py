import re
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from scoring.base.canonical import canonical_json
from scoring.base.enums import RATED_TIERS, Category, Severity, Tier
from scoring.base.errors import PolicyRefused
from scoring.base.parts import Part, read_fields
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.model.scale import MAX_POINTS
from scoring.policy.caution_reading import read_caution
from scoring.policy.checking import find_contradictions
from scoring.policy.policy import Band, Policy, TradeLimits
from scoring.policy.rule_reading import MAX_STANDING, read_rules
from scoring.policy.standing import StandingTable

MAX_CLEAR_DAYS = MAX_POLICY_NOTICE_DAYS = 60
MAX_STANDING_POINTS = 1_000
MAX_EXPIRY_DAYS = 3_660

MAX_BANDS = 9
"""Most bands of all tiers together."""
MAX_THIN = MAX_VERSION = 1_000_000_000
_MONTH_AND_DAY = re.compile("(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31")
LIMITED_TIERS = (Tier.TRUSTED, Tier.STANDARD, Tier.PROBATION)


def parse_policy(data: Mapping[str, Any], *, was_committed: bool = False) -> Policy:
    """Parse the data of a TOML file into a policy.

    Raise PolicyRefused, which names every part that is missing, wrong or unknown, and every contradiction. A policy
    that `was_committed` is not searched for contradictions.
    """
    root = Part(data)
    cut_offs, thin_file = root.part("cut_offs"), root.part("thin_file")
    badges = root.part("badges")
    trade = read_fields(TradeLimits, root.part("trade")) if "trade" in root else None
    if trade is not None and trade.deposit_refill_days and not trade.deposit_is_refilled:
        root.part("trade").refuse(
            "deposit_refill_days", "needs deposit_is_refilled = true: else no sale awaits a deposit"
        )
    rule_book = read_rules(root, trade)
    badge_texts: dict[Tier | None, str] = {tier: badges.text(tier.word) for tier in Tier}
    badge_texts[None] = badges.text("unknown")
    policy = Policy(
        name=root.text("name"),
        version=root.number("version", -MAX_VERSION, MAX_VERSION),
        cut_offs=MappingProxyType({t: cut_offs.number(t.word, 1, MAX_POINTS) for t in RATED_TIERS[1:]}),
        bands=_read_bands(cut_offs),
        thin_file_orders=thin_file.number("settled_orders", 0, MAX_THIN),
        thin_file_days=thin_file.number("tenure_days", 0, MAX_THIN),
        clear_days=root.number("clear_days", 0, MAX_CLEAR_DAYS),
        badges=MappingProxyType(badge_texts),
        standing=_read_standing(root),
        trade=trade,
        rule_book=rule_book,
        caution=read_caution(root, rule_book),
        notice_days=root.number("notice_days", 0, MAX_POLICY_NOTICE_DAYS, 0),
        digest="",
    )
    _refuse_unearned_badges(badges, badge_texts)
    cut_offs.require_rising([t.word for t in RATED_TIERS[1:]], "from tier to tier")
    root.refuse_what_is_left()
    if not (root.errors or was_committed):
        root.errors += find_contradictions(policy)
    if root.errors:
        raise PolicyRefused("the policy is unsound", root.errors)
    return replace(policy, digest=sha256(canonical_json(data)).hexdigest())


def _read_bands(cut_offs: Part) -> tuple[Band, ...]:
    parts = cut_offs.list_of_parts("bands", MAX_BANDS, "name")
    bands = tuple(Band(part.text("name", 1), part.number("from", 0, MAX_POINTS)) for part in parts)
    names, starts = [band.name.lower() for band in bands], [band.least_points for band in bands]
    reserved = {"none", *(tier.word for tier in Tier)}
    for part, band, name in zip(parts, bands, names, strict=True):
        if name in reserved or names.count(name) > 1:
            part.refuse("name", f'"{band.name}" is taken by a tier, another band or no band; state a name of its own')
    if starts != sorted(set(starts)):
        cut_offs.refuse("bands", "must rise from band to band")
    tiers = [0, *(cut_offs.data.get(tier.word) for tier in RATED_TIERS[1:])]  # unchecked: any value of TOML
    if bands and any(cut_off not in starts for cut_off in tiers):
        cut_offs.refuse("bands", "must have a band from 0 and one from each cut-off")
    return bands


def _refuse_unearned_badges(part: Part, badges: Mapping[Tier | None, str]) -> None:
    earned = {badges[tier] for tier in RATED_TIERS[1:]} - {badges[RATED_TIERS[0]], "none", ""}
    for tier, name in ((Tier.UNRATED, "unrated"), (None, "unknown")):
        if (badge := badges[tier]) in earned:
            part.refuse(
                name,
                f'must not be "{badge}", which buyers take for earned: only tiers above the lowest show it',
            )


def _read_standing(root: Part) -> StandingTable | None:
    if "standing" not in root:
        return None
    part = root.part("standing")
    by_category, at_most = part.part("points"), part.part("at_most")
    points = {category: _read_points(by_category.part(category.word)) for category in Category}
    types = _read_points_by_type(part)
    cap = part.number("incident_cap", 1, MAX_STANDING)
    largest = max(max(row.values()) for row in (*points.values(), *types.values()))
    if part.data.get("incident_cap") == cap and cap < largest:
        part.refuse("incident_cap", f"is less than the {largest} that one violation alone gives")
    limits = {t: at_most.number(t.word, 1, MAX_STANDING) for t in LIMITED_TIERS if t.word in at_most}
    at_most.require_rising([tier.word for tier in limits], "as the tiers fall")
    return StandingTable(
        points=MappingProxyType(points),
        expiry_days=part.number("expiry_days", 1, MAX_EXPIRY_DAYS),
        incident_cap=cap,
        at_most=MappingProxyType(limits),
        types=MappingProxyType(types),
        reset=(part.code("reset", _MONTH_AND_DAY, 'a day of each year, such as "01-01"') or None)
        if "reset" in part
        else None,
    )


def _read_points(row: Part) -> Mapping[Severity, int]:
    points = {severity: row.number(severity.word, 0, MAX_STANDING_POINTS) for severity in Severity}
    row.require_rising([severity.word for severity in Severity], "with the severity", strictly=False)
    return MappingProxyType(points)


def _read_points_by_type(part: Part) -> dict[int, Mapping[Severity, int]]:
    if "types" not in part:
        return {}
    by_type, points_by_type = part.part("types"), {}
    for name in by_type.data:
        if str(name) in TYPE_NUMBERS:
            points_by_type[TYPE_NUMBERS[str(name)]] = _read_points(by_type.part(str(name)))
        else:
            by_type.refuse(str(name), "is no violation type; see docs/reference/violation-types.md")
    return points_by_type
