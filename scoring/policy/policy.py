from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from scoring.base.arrays import Ints
from scoring.base.enums import RATED_TIERS, Tier
from scoring.base.frozen import frozen
from scoring.base.parts import Part, stated, whole
from scoring.entries.kinds.common import MAX_VALUE_MINOR
from scoring.policy.caution import CautionTable
from scoring.policy.rules import NO_RULES, RuleBook
from scoring.policy.standing import StandingTable

MAX_TRADE_DAYS = 366
MAX_REFILL_DAYS = 60
UNTRACKED_DAYS = 14
"""Days after the latest promised day on which an order without a confirmed delivery counts as delivered."""


@frozen
class TradeLimits:
    """Limits that the marketplace enforces; a loss certificate rests on them."""

    delivery_promise_days: int = whole(0, MAX_TRADE_DAYS)
    """The latest promised day of arrival after an order's capture."""
    claim_days: int = whole(0, MAX_TRADE_DAYS)
    """Days after an order's capture before which it is not settled."""
    deposit_returned_after_days: int = whole(0, MAX_TRADE_DAYS)
    """Days after a leaving seller's last order before which no deposit is returned."""
    deposit_is_refilled: bool = stated(Part.flag)
    """True if a seller takes no order while its deposit is below its terms' deposit."""
    deposit_refill_days: int = whole(0, MAX_REFILL_DAYS, 0)
    """UTC days for which it still takes orders then."""
    smallest_order_minor: int = whole(1, MAX_VALUE_MINOR, 1)
    """In minor units: the reserve of each order is rounded down."""
    most_loss_minor: int = whole(0, MAX_VALUE_MINOR, 0)
    """The most, in minor units, that one run may cost for `unconditional` to hold."""


def count_untracked_days(trade: TradeLimits | None) -> int:
    """Return how many days after its capture an order counts as delivered without a confirmed delivery."""
    return UNTRACKED_DAYS + (0 if trade is None else trade.delivery_promise_days)


class Band(NamedTuple):
    """A named range of points within a tier, up to the next band or the tier's end."""

    name: str
    least_points: int


@frozen
class Policy:
    name: str
    version: int
    cut_offs: Mapping[Tier, int]
    """Lowest points of each rated tier but the lowest one."""
    bands: tuple[Band, ...]
    """By rising points: none, or one from the lowest points of each tier on and any more, MAX_BANDS in all."""
    thin_file_orders: int
    """Settled orders below which a seller without a confirmed violation is UNRATED."""
    thin_file_days: int
    """Days of tenure, likewise."""
    clear_days: int
    """Number of past day-ends whose points limit the tier."""
    badges: Mapping[Tier | None, str]
    """Badge of each tier; the badge of None is for the state UNKNOWN."""
    digest: str
    """SHA-256 of its canonical JSON, in hex."""
    standing: StandingTable | None = None
    """None: tiers follow points alone."""
    rule_book: RuleBook = NO_RULES
    text: str = ""
    """Its TOML text; empty if it was not read from one."""
    trade: TradeLimits | None = None
    """None: the policy has no loss certificate."""
    caution: CautionTable | None = None
    notice_days: int = 0
    """Days for which tiers, reviews and listings wait that a move to or from this policy makes stricter."""

    def is_thin(self, settled_orders: Any, tenure_days: Any) -> Any:
        """Return whether too little is known to rate a seller without a confirmed violation."""
        return (settled_orders < self.thin_file_orders) | (tenure_days < self.thin_file_days)

    def tier(self, points: int) -> Tier:
        """Return the tier of points by the cut-offs: with 500, 600, 700, `tier(599) is Tier.STANDARD`."""
        return max((t for t, cut_off in self.cut_offs.items() if points >= cut_off), default=RATED_TIERS[0])

    def find_band(self, tier: Tier | None, points: int | None) -> str:
        """Return the name of the tier's band with these points, else of its nearest; empty without a band or points.

        With bronze from 450 and gold from 500 in TRUSTED, which ends at 599, a TRUSTED seller of 700 points is gold.
        """
        if points is None:
            return ""  # an override gives an unrated seller a tier
        of_tier = [band for band in self.bands if self.tier(band.least_points) is tier]
        reached = [band for band in of_tier if band.least_points <= points] or of_tier[:1]
        return reached[-1].name if reached else ""

    def tier_with_standing(self, points: int | None, standing: int) -> Tier:
        """Return the tier of points, lowered to the best tier that a standing allows; UNRATED without points."""
        if points is None:
            return Tier.UNRATED
        return self.tier(points) if self.standing is None else min(self.tier(points), self.standing.best_tier(standing))

    def tier_numbers(self, points: Ints) -> Ints:
        """Return the `Tier` number of each points; below all cut-offs the lowest rated tier's."""
        tiers = np.full(len(points), int(RATED_TIERS[0]), dtype=np.int64)
        for tier, cut_off in sorted(self.cut_offs.items(), key=lambda item: item[1]):
            tiers = np.where(points >= cut_off, int(tier), tiers)
        return tiers

    def tiers_with_standing(self, points: Ints, standing: Ints) -> Ints:
        """Return each seller's tier number, by points and bounded by standing; see `tier_with_standing`."""
        tiers = self.tier_numbers(points)
        return tiers if self.standing is None else self.standing.bound(tiers, standing)
