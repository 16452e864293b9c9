"""A checked study: data, observation points, window, bad definition, model and gates."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from scoring.enums import Category, Harm, Severity
from scoring.errors import ConfigurationWrong
from scoring.features.fold import Constants
from scoring.features.table import AnyFeature
from scoring.time import format_day, parse_day
from training.gates.table import Gates
from training.study.context import ContextSource, EventPoints


@dataclass(frozen=True, slots=True)
class BadRule:
    """Violations that make a seller bad: all that is stated must hold."""

    severity: Severity = Severity.MINOR
    """The least severity."""
    harm: Harm = Harm.LOW
    """The least harm."""
    violation_type: str | None = None
    """The violation type; None: any."""
    category: Category | None = None
    """The category; None: any."""


COUNTS = ("incidents", "service_failures")
"""What may make a seller bad by its number: incidents that a rule names, or settled orders that failed."""

WEIGHTS = ("sellers", "orders")
"""What rows may weigh by: each seller the same, or each settled order in the window the same."""

LEFT = ("keep", "exclude", "weight")
"""What may become of sellers that leave.

Either they stay as what was seen of them, or they are left out, or they are left out and those that stayed stand for
them (inverse probability of staying).
"""


@dataclass(frozen=True, slots=True)
class Observation:
    """One observation point. Days since 1970-01-01."""

    day: int
    """The UTC day at whose beginning sellers are observed; with `last_day` the first day of a span."""
    window_end: int
    """The day after the window; of a span, after the last window."""
    last_day: int | None = None
    """The last day of a span of points, each event in it one; None: sellers are observed on `day` alone."""


@dataclass(frozen=True, slots=True)
class Study:
    """A checked study. Days since 1970-01-01. A field that is None asks nothing, unless stated otherwise.

    A seller is bad by its count if all of `bad_at_least`, `bad_share`, `bad_worst` and `bad_amount_minor` hold.
    """

    name: str
    """The study's name, as models state it."""
    marketplace: str
    """The marketplace whose sellers it is about."""
    train: tuple[str, ...]
    """The stated training points, as dates; empty: found by `observations`."""
    test: tuple[str, ...]
    """The stated test points, as dates; empty: the latest point whose window is over."""
    train_points: int
    """How many training points there are, unless they are stated; at events, how many spans of days."""
    step_days: int
    """Days from one of these points to the next."""
    window_days: int | None
    """The length of the performance window in days; None: `window_months` states it."""
    window_months: int | None
    """The length of the performance window in months; None: `window_days` states it."""
    maturity_days: int
    """The wait after the window until labels are read."""
    bad: tuple[BadRule, ...]
    """The rules that name which violations count; empty if service failures are counted."""
    bad_at_least: int
    """A bad seller's count is at least this."""
    bad_suspended: bool
    """Whether a suspension in the window that rests on a violation that counts makes bad."""
    bad_count: str
    """What is counted, one of COUNTS."""
    bad_share: float | None
    """A bad seller's count is at least this share of its settled orders in the window."""
    bad_amount_minor: int | None
    """The amounts of what is counted are at least this, in minor units of `bad_currency`."""
    bad_currency: str
    """The currency of that amount; empty without it."""
    bad_worst: float | None
    """A bad seller is among this share of the market, the worst by count over orders."""
    least_orders: int
    """Settled orders in the window that a row has at least."""
    weigh_by: str
    """What rows weigh by, one of WEIGHTS."""
    reference_exposure: float | None
    """The reference exposure in settled orders; None: bad counts over the window whatever the seller sells."""
    exposure_slope: float | None
    """How much the log-odds of bad rise with ln(orders in the window).

    None: what the training points yield (`training.fitting.slope`), 1 until it has been estimated.
    """
    active_before_months: int | None
    """Only sellers with an exposure or violation in so many months before are observed."""
    active_in_window: bool
    """Whether only sellers that are active in the window are observed."""
    left: str
    """What becomes of sellers that leave before `least_share` of their window is over, one of LEFT."""
    least_share: float
    """The share of the window after which a seller that leaves is as one that stayed."""
    embargo_days: int
    """Days between the end of a training window's maturity and the first test point."""
    constants: Constants
    """Constants of the fold."""
    features: tuple[AnyFeature, ...]
    """The model's inputs, in order: those of the table, attributes, context."""
    context: tuple[ContextSource, ...]
    """The sources of the context."""
    events: EventPoints | None
    """The observation at events; None: at given days."""
    rounds: int
    """Trees of each seed, beside those of the additive start."""
    seed: int
    """The first seed of all that is drawn by chance."""
    seeds: int
    """How many models are averaged as one, each by a seed of its own."""
    additive_start: bool
    """Whether the trees start from an additive model."""
    parameters: Mapping[str, Any]
    """LightGBM's parameters, over the defaults."""
    gates: Gates
    """The gates that a model must pass."""
    monitor: Mapping[str, Any]
    """The table `[monitor]`, as stated."""
    digest: str
    """SHA-256 of the study's canonical JSON."""

    @property
    def is_rate(self) -> bool:
        """Return whether bad is a matter of the count over the settled orders, and not of the count alone."""
        return self.bad_share is not None or self.bad_worst is not None

    @property
    def orders_needed(self) -> int:
        """Return the settled orders in the window that a seller needs to be a row; 0: none."""
        asks = self.reference_exposure is not None or self.is_rate or self.weigh_by == "orders"
        return max(self.least_orders, int(asks))

    @property
    def reads_orders(self) -> bool:
        """Return whether who is a row, or what makes it bad, is a matter of the settled orders in the window."""
        return self.orders_needed > 0 or self.bad_count == "service_failures"

    def ahead(self) -> "Study":
        """Return the study of windows that lie ahead, of which nobody has orders yet: nothing asks for any."""
        asks_none = replace(
            self, reference_exposure=None, bad_share=None, bad_worst=None, least_orders=0, weigh_by="sellers"
        )
        return replace(asks_none, active_in_window=False, left="keep", least_share=0.0)

    def observation(self, day: int) -> Observation:
        """Return the observation point of a day."""
        if self.window_days is not None:
            return Observation(day, day + self.window_days)
        return Observation(day, _add_months(day, self.window_months or 0))

    def window_end_of(self, day: int) -> int:
        """Return the day after the window of what is observed on `day`: at events each case has a window of its own."""
        return self.observation(day).window_end

    def observations(self, as_of: int, test_day: int | None = None) -> tuple[list[Observation], list[Observation]]:
        """Return the training and the test points, each in order.

        `as_of`: the day up to which the ledger is complete; `test_day`: the test point in place of the latest, where
        the study states none (`training.observation.points` looks for it).

        Stated days are taken as they are. A study at events has spans of days: one to test, and `train_points` equal
        ones to train, so that the latest can be held out. Without any, the test point is the latest whose window and
        maturity are over by `as_of`, and the training points go back from it by `step_days`, each over, and the embargo
        too, before the test point begins. ConfigurationWrong if a training window is not over by the first test point,
        or a test window not by `as_of`.
        """
        if self.events is not None:
            e = self.events
            test = [self._span(e.test_from, e.test_to)]
            train = self._spans(e.train_from, e.train_to)
        elif self.test:
            test = [self.observation(parse_day(day)) for day in self.test]
            train = [self.observation(parse_day(day)) for day in self.train]
        else:
            test = [self._latest_over_by(as_of) if test_day is None else self.observation(test_day)]
            last = self._latest_over_by(test[0].day - self.embargo_days).day
            train = [self.observation(last - k * self.step_days) for k in reversed(range(self.train_points))]
        first_test = min(o.day for o in test)
        for point in train:
            if point.window_end + self.maturity_days + self.embargo_days > first_test:
                embargo = f" and the embargo of {self.embargo_days} days" if self.embargo_days else ""
                raise ConfigurationWrong(
                    f"the window of training point {format_day(point.day)} and its maturity{embargo} are not over by the"
                    f" test point {format_day(first_test)}: the model would learn what the test asks; choose earlier days"
                )
        for point in test:
            if point.window_end + self.maturity_days > as_of:
                raise ConfigurationWrong(
                    f"the window of test point {format_day(point.day)} and its maturity are not over by"
                    f" {format_day(as_of)}, where the ledger ends; choose an earlier day"
                )
        return train, test

    def _span(self, first: int, last: int) -> Observation:
        """Return the span of points from `first` to `last`, included."""
        return Observation(first, self.observation(last).window_end, last)

    def _spans(self, first: int, last: int) -> list[Observation]:
        """Return `train_points` spans of equal length from `first` to `last`; fewer if there are fewer days."""
        count = min(self.train_points, last - first + 1)
        starts = [first + (last - first + 1) * k // count for k in range(count)]
        return [self._span(a, b - 1) for a, b in zip(starts, [*starts[1:], last + 1], strict=True)]

    def _latest_over_by(self, day: int) -> Observation:
        """Return the latest point whose window and maturity are over by `day`; searched for, since months are uneven."""
        about = 2 * day - self.observation(day).window_end - self.maturity_days
        candidates = map(self.observation, range(about + 6, about - 7, -1))
        return next(point for point in candidates if point.window_end + self.maturity_days <= day)


def _add_months(day: int, months: int) -> int:
    """Return the same day of the month some months later, or the last day of that month if it is shorter."""
    first = date(1970, 1, 1) + timedelta(days=day)
    month = first.month - 1 + months
    year, month = first.year + month // 12, month % 12 + 1
    last = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
    return (date(year, month, min(first.day, last)) - date(1970, 1, 1)).days
