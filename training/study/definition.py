"""What a study says, checked: data, observation points, window, bad definition, model and gates."""

from collections.abc import Mapping
from dataclasses import dataclass
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
    """Violations that make a seller bad: all that is stated must hold. `severity` and `harm` are the least ones."""

    severity: Severity = Severity.MINOR
    harm: Harm = Harm.LOW
    violation_type: str | None = None
    category: Category | None = None


COUNTS = ("incidents", "service_failures")
"""What may make a seller bad by its number: incidents that a rule names, or settled orders that failed."""

WEIGHTS = ("sellers", "orders")
"""By what rows may weigh: each seller the same, or each settled order in the window the same."""

LEFT = ("keep", "exclude", "weight")
"""What may become of sellers that leave: they stay as what was seen of them; they are left out; they are left out and
those that stayed stand for them (inverse probability of staying)."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One observation point: the UTC day at whose beginning sellers are observed, and the day after its window.

    With `last_day`, a span of points: each event from `day` to `last_day` is one, and `window_end` ends the last window.
    """

    day: int
    window_end: int
    last_day: int | None = None


@dataclass(frozen=True, slots=True)
class Study:
    """A checked study. Days since 1970-01-01. `reference_exposure` in settled orders; None: bad counts over the window
    whatever the seller sells. `exposure_slope`: how much the log-odds of bad rise with ln(orders in the window); None: what
    the training points say (`training.fitting.slope`), 1 until they have been asked. `active_before_months`: only sellers
    with an exposure or violation so lately.

    `bad_count`: what is counted, one of COUNTS. A seller is bad if its count is at least `bad_at_least`, at least
    `bad_share` of its settled orders in the window, and among the `bad_worst` of the market by count over orders; and if
    the amounts of what is counted are at least `bad_amount_minor` in minor units of `bad_currency`. What is None asks
    nothing. `least_orders`: settled orders in the window that a row has at least. `weigh_by`: one of WEIGHTS.

    `left`: what becomes of sellers that leave before `least_share` of their window is over, one of LEFT. `embargo_days`:
    between the end of a training window's maturity and the first test point.
    """

    name: str
    marketplace: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    train_points: int
    step_days: int
    window_days: int | None
    window_months: int | None
    maturity_days: int
    bad: tuple[BadRule, ...]
    bad_at_least: int
    bad_suspended: bool
    bad_count: str
    bad_share: float | None
    bad_amount_minor: int | None
    bad_currency: str
    bad_worst: float | None
    least_orders: int
    weigh_by: str
    reference_exposure: float | None
    exposure_slope: float | None
    active_before_months: int | None
    active_in_window: bool
    left: str
    least_share: float
    embargo_days: int
    constants: Constants
    features: tuple[AnyFeature, ...]
    context: tuple[ContextSource, ...]
    events: EventPoints | None
    rounds: int
    seed: int
    seeds: int
    additive_start: bool
    parameters: Mapping[str, Any]
    gates: Gates
    monitor: Mapping[str, Any]
    digest: str

    @property
    def is_rate(self) -> bool:
        """Whether bad is a matter of the count over the settled orders, and not of the count alone."""
        return self.bad_share is not None or self.bad_worst is not None

    @property
    def orders_needed(self) -> int:
        """Settled orders in the window that a seller needs to be a row: 0 if none."""
        asks = self.reference_exposure is not None or self.is_rate or self.weigh_by == "orders"
        return max(self.least_orders, int(asks))

    def observation(self, day: int) -> Observation:
        """The observation point of a day."""
        if self.window_days is not None:
            return Observation(day, day + self.window_days)
        return Observation(day, _add_months(day, self.window_months or 0))

    def window_end_of(self, day: int) -> int:
        """Return the day after the window of what is observed on `day`: at events each case has a window of its own."""
        return self.observation(day).window_end

    def observations(self, as_of: int, test_day: int | None = None) -> tuple[list[Observation], list[Observation]]:
        """Training and test points, in order. `as_of`: the day up to which the ledger is complete; `test_day`: the test
        point in place of the latest, where the study states none (`training.observation.points` looks for it).

        Stated days are taken as they are. A study at events has spans of days: one to test, and `train_points` equal ones
        to train, so that the latest can be held out. Without any, the test point is the latest whose window and maturity
        are over by `as_of`, and the training points go back from it by `step_days`, each over, and the embargo too,
        before the test point begins.
        ConfigurationWrong if a training window is not over by the first test point, or a window not by `as_of`.
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
        return Observation(first, self.observation(last).window_end, last)

    def _spans(self, first: int, last: int) -> list[Observation]:
        count = min(self.train_points, last - first + 1)
        starts = [first + (last - first + 1) * k // count for k in range(count)]
        return [self._span(a, b - 1) for a, b in zip(starts, [*starts[1:], last + 1], strict=True)]

    def _latest_over_by(self, day: int) -> Observation:
        """The latest point whose window and maturity are over by `day`; looked for, since months are uneven."""
        about = 2 * day - self.observation(day).window_end - self.maturity_days
        candidates = map(self.observation, range(about + 6, about - 7, -1))
        return next(point for point in candidates if point.window_end + self.maturity_days <= day)


def _add_months(day: int, months: int) -> int:
    first = date(1970, 1, 1) + timedelta(days=day)
    month = first.month - 1 + months
    year, month = first.year + month // 12, month % 12 + 1
    last = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
    return (date(year, month, min(first.day, last)) - date(1970, 1, 1)).days
