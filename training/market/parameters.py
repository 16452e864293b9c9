"""Every parameter of the simulated marketplace, fixed from domain sense before any model was tried.

The numbers come from neither a platform's data nor a model's results. Country, listing, price and volume are
uninformative by construction. Hazards are true violations per 1,000 settled orders, delays whole days, money in minor
units. Months go from January, days of the week from Monday.
"""

from __future__ import annotations

from dataclasses import dataclass

HARMS: tuple[str, ...] = ("low", "medium", "high", "extreme")
LEVELS: tuple[str, ...] = ("basic", "business", "enhanced")


@dataclass(frozen=True)
class DelayDays:
    """A delay in whole days: the floor of a log-normal number of days; 0 is the same UTC day.

    Because of the floor, the probability of knowledge before a day is an exact sum.
    """

    median_days: float
    sigma: float
    """Of the logarithm."""


@dataclass(frozen=True)
class BetaRate:
    """A seller's own probability of one kind of service failure: Beta with this mean and concentration (a + b)."""

    mean: float
    concentration: float


@dataclass(frozen=True)
class ReportSource:
    """A source of reports. Its final acts that name the seller by a verified identifier are confirmed on arrival."""

    name: str
    report: DelayDays
    """From the breach to the report."""
    decision: DelayDays
    """From the report to the decision."""
    notifiers: int
    final_share: float
    verified_share: float


@dataclass(frozen=True)
class MarketViolationType:
    name: str
    harm: tuple[float, float, float, float]
    """The share of each harm, in the order of HARMS, before a class tilts the odds."""
    sources: tuple[tuple[str, float], ...]
    """(source, share)."""


@dataclass(frozen=True)
class SellerClass:
    """A latent class of sellers, hidden from the market.

    The hazard is Gamma: true violations per 1,000 settled orders in a calm month of season 1.
    """

    name: str
    share_veteran: float
    """Prior among sellers who joined before the start."""
    share_newcomer: float
    """Prior among sellers who joined after the start."""
    hazard_shape: float
    hazard_mean: float
    spree_start: float
    """Per month."""
    spree_end: float
    """Per month."""
    spree_multiplier: float
    """Factor of the hazard in a spree."""
    harm_tilt: float
    """Factor of the odds of each step up in harm."""
    types: tuple[float, ...]
    levels: tuple[float, float, float]
    """In the order of LEVELS."""
    cancelled: BetaRate
    not_received: BetaRate
    late: BetaRate
    returned: BetaRate


@dataclass(frozen=True)
class Echo:
    """A second report, by an authority, of the same goods: it shares incident, harm and fate, and is never known
    earlier.

    Its existence does not depend on the class, so the exact posterior leaves echoes out.
    """

    type: str
    source: str
    share: float
    echo_type: str
    echo_source: str
    latest_days: int
    """From the primary's report to the echo's."""


@dataclass(frozen=True)
class BadFaith:
    """Complaints made to hurt a competitor; their rate does not depend on the seller's conduct.

    Per day with exposure a seller draws Poisson(per_thousand_orders x orders / 1000 + per_active_day). Delays are the
    source's, so that only notifier and fate distinguish them. Fates add up to 1.
    """

    per_thousand_orders: float
    per_active_day: float
    types: tuple[tuple[str, float], ...]
    harm: tuple[float, float, float, float]
    sources: tuple[tuple[str, tuple[tuple[str, float], ...]], ...]
    dismissed_share: float
    withdrawn_share: float
    confirmed_share: float
    overturned_share: float
    """Share of the wrongly confirmed; the rest stay confirmed."""
    appeal: DelayDays
    """The overturning comes one day more after the decision."""
    notifier_share: float


# fmt: off
SOURCES: tuple[ReportSource, ...] = (
    ReportSource("customs", DelayDays(12, 0.7), DelayDays(20, 1.0), 12, 0.9, 0.8),
    ReportSource("patent_office", DelayDays(60, 0.8), DelayDays(45, 1.0), 4, 0.7, 0.9),
    ReportSource("quality_regulator", DelayDays(35, 0.8), DelayDays(25, 1.0), 20, 0.8, 0.8),
    ReportSource("market_regulator", DelayDays(45, 0.9), DelayDays(30, 1.0), 10, 0.6, 0.8),
    ReportSource("police", DelayDays(60, 0.9), DelayDays(40, 1.0), 15, 0.4, 0.7),
    ReportSource("court", DelayDays(90, 0.8), DelayDays(20, 1.0), 25, 1.0, 0.7),
    ReportSource("test_buy", DelayDays(14, 0.6), DelayDays(6, 1.0), 5, 0.0, 1.0),
    ReportSource("random_audit", DelayDays(10, 0.7), DelayDays(6, 1.0), 3, 0.0, 1.0),
    ReportSource("brand", DelayDays(18, 1.1), DelayDays(25, 1.3), 400, 0.0, 0.3),
    ReportSource("platform_detection", DelayDays(3, 1.3), DelayDays(4, 1.4), 6, 0.0, 1.0),
    ReportSource("buyer", DelayDays(9, 0.8), DelayDays(5, 1.3), 50_000, 0.0, 0.0),
    ReportSource("partner", DelayDays(7, 0.9), DelayDays(8, 1.2), 40, 0.0, 0.5),
)

TYPES: tuple[MarketViolationType, ...] = (
    MarketViolationType("counterfeit_goods", (0.10, 0.40, 0.42, 0.08),
                  (("brand", 0.50), ("platform_detection", 0.22), ("test_buy", 0.13), ("buyer", 0.10),
                   ("market_regulator", 0.03), ("police", 0.02))),
    MarketViolationType("trademark_infringement", (0.25, 0.50, 0.23, 0.02),
                  (("brand", 0.75), ("platform_detection", 0.20), ("court", 0.05))),
    MarketViolationType("patent_infringement", (0.20, 0.50, 0.28, 0.02),
                  (("patent_office", 0.55), ("brand", 0.35), ("court", 0.10))),
    MarketViolationType("copyright_infringement", (0.40, 0.45, 0.14, 0.01),
                  (("brand", 0.70), ("platform_detection", 0.25), ("court", 0.05))),
    MarketViolationType("customs_seizure", (0.05, 0.35, 0.50, 0.10),
                  (("customs", 1.0),)),
    MarketViolationType("unsafe_product", (0.10, 0.35, 0.40, 0.15),
                  (("quality_regulator", 0.45), ("buyer", 0.25), ("test_buy", 0.15), ("market_regulator", 0.15))),
    MarketViolationType("failed_inspection", (0.30, 0.45, 0.22, 0.03),
                  (("quality_regulator", 0.55), ("random_audit", 0.25), ("test_buy", 0.20))),
    MarketViolationType("not_as_described", (0.65, 0.30, 0.045, 0.005),
                  (("buyer", 0.85), ("platform_detection", 0.10), ("test_buy", 0.05))),
    MarketViolationType("prohibited_item", (0.20, 0.45, 0.28, 0.07),
                  (("platform_detection", 0.65), ("buyer", 0.15), ("market_regulator", 0.15), ("police", 0.05))),
    MarketViolationType("fake_reviews", (0.35, 0.50, 0.14, 0.01),
                  (("platform_detection", 0.80), ("partner", 0.20))),
    MarketViolationType("order_fraud", (0.10, 0.40, 0.40, 0.10),
                  (("platform_detection", 0.60), ("partner", 0.25), ("buyer", 0.10), ("police", 0.05))),
    MarketViolationType("misleading_listing", (0.60, 0.34, 0.055, 0.005),
                  (("buyer", 0.45), ("platform_detection", 0.40), ("market_regulator", 0.15))),
    MarketViolationType("missing_trader_information", (0.80, 0.18, 0.018, 0.002),
                  (("platform_detection", 0.60), ("market_regulator", 0.20), ("random_audit", 0.20))),
)

CLASSES: tuple[SellerClass, ...] = (
    SellerClass("honest", 0.82, 0.74, 0.8, 0.6, 0.02, 0.70, 3.0, 0.6,
                (0.02, 0.07, 0.04, 0.07, 0.01, 0.05, 0.08, 0.34, 0.03, 0.02, 0.01, 0.14, 0.12),
                (0.45, 0.40, 0.15), BetaRate(0.015, 60), BetaRate(0.004, 150), BetaRate(0.03, 40), BetaRate(0.03, 40)),
    SellerClass("careless", 0.15, 0.18, 1.0, 8.0, 0.05, 0.50, 4.0, 1.0,
                (0.04, 0.08, 0.06, 0.06, 0.02, 0.12, 0.15, 0.24, 0.04, 0.01, 0.01, 0.11, 0.06),
                (0.55, 0.37, 0.08), BetaRate(0.03, 40), BetaRate(0.008, 100), BetaRate(0.07, 30), BetaRate(0.05, 40)),
    SellerClass("rogue", 0.03, 0.08, 0.7, 20.0, 0.12, 0.35, 6.0, 1.8,
                (0.28, 0.14, 0.03, 0.04, 0.11, 0.02, 0.01, 0.09, 0.05, 0.10, 0.08, 0.04, 0.01),
                (0.70, 0.27, 0.03), BetaRate(0.035, 40), BetaRate(0.02, 60), BetaRate(0.06, 30), BetaRate(0.08, 40)),
)

BAD_FAITH = BadFaith(
    per_thousand_orders=0.2, per_active_day=0.002,
    types=(("trademark_infringement", 0.30), ("counterfeit_goods", 0.20), ("copyright_infringement", 0.20),
           ("patent_infringement", 0.15), ("not_as_described", 0.15)),
    harm=(0.25, 0.45, 0.27, 0.03),
    sources=(("trademark_infringement", (("brand", 1.0),)), ("copyright_infringement", (("brand", 1.0),)),
             ("patent_infringement", (("brand", 1.0),)), ("not_as_described", (("buyer", 1.0),)),
             ("counterfeit_goods", (("brand", 0.75), ("buyer", 0.25)))),
    dismissed_share=0.62, withdrawn_share=0.20, confirmed_share=0.18,
    overturned_share=0.85, appeal=DelayDays(40, 0.8), notifier_share=0.08,
)
# fmt: on

ECHOES: tuple[Echo, ...] = (
    Echo("customs_seizure", "customs", 0.35, "counterfeit_goods", "brand", 14),
    Echo("unsafe_product", "quality_regulator", 0.30, "unsafe_product", "buyer", 10),
)
TRUE_CONFIRMED_SHARE = 0.96

HAZARD_SEASON = (0.95, 0.85, 0.95, 0.95, 1.0, 1.1, 0.95, 0.95, 1.0, 1.1, 1.5, 1.25)
VOLUME_SEASON = (0.95, 0.70, 0.90, 0.95, 1.0, 1.15, 0.95, 0.95, 1.0, 1.05, 1.5, 1.25)
VOLUME_WEEKDAY = (1.05, 1.0, 1.0, 1.0, 1.0, 0.9, 1.0)
VOLUME_DAYS = (
    (6, 17, 1.4),
    (6, 18, 2.0),
    (11, 10, 1.6),
    (11, 11, 4.0),
    (11, 12, 1.8),
    (12, 11, 1.3),
    (12, 12, 1.8),
)

# Volume: size ~ N(0, 1). Active days come at rate active_median x exp(active_sigma x size) a day; an active day has
# 1 + Poisson(extra) orders, extra = extra_median x exp(extra_sigma x size + extra_spread x N(0, 1)) times the
# volume of the day and a Gamma of mean 1 and shape day_shape. 1 % of the sellers have half of the orders.
ACTIVE_MEDIAN = 0.03
ACTIVE_SIGMA = 1.5
EXTRA_MEDIAN = 2.5
EXTRA_SIGMA = 1.1
EXTRA_SPREAD = 0.8
DAY_SHAPE = 1.5
UNITS_PER_ORDER_EXTRA = 0.35
PRICE_MEDIAN_MINOR = 2_500
PRICE_SIGMA = 1.0
PRICE_DAY_SIGMA = 0.2
CURRENCY = "EUR"

# Veterans joined evenly over veteran_days before the start, the others evenly over the simulated days, up to the
# last week. Lifetimes are exponential and independent of the class.
VETERAN_SHARE = 0.6
VETERAN_DAYS = 1_500
LIFETIME_DAYS = 2_000.0
LISTINGS_PER_SIZE = 12.0
COUNTRIES = (
    ("CN", 0.46),
    ("DE", 0.12),
    ("FR", 0.08),
    ("GB", 0.08),
    ("IT", 0.06),
    ("NL", 0.05),
    ("PL", 0.06),
    ("TR", 0.05),
    ("US", 0.04),
)
