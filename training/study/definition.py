from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from scoring.base.enums import Category, Harm, Severity
from scoring.base.errors import ConfigurationWrong
from scoring.base.frozen import frozen
from scoring.base.parts import Part, optional_text, stated, whole
from scoring.base.time import format_day, parse_day
from scoring.entries.kinds.common import MAX_VALUE_MINOR
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.features.fold import Constants
from scoring.features.table import AnyFeature
from scoring.model.promises import is_freed
from training.gates.table import Gates
from training.study.context import ContextSource, EventPoints

MAX_NUMBER = 1_000_000_000
MAX_DAYS = 36_500
MAX_ROUNDS = 20_000
MAX_SLOPE = 10.0
"""The largest absolute slope of the log-odds in ln(orders): a count of k incidents rises by at most k."""
FINEST_SHARE = 1_000_000
"""Denominators of shares, so that 0.07 of 100 orders is exactly 7."""


def decimal(least: float, most: float, default: float | None) -> Any:
    """Return the field of a number; `default` if left out."""
    return stated(lambda part, name: part.decimal(name, least, most, least), default)


def optional_texts(is_text: Callable[[str], bool], what: str) -> Any:
    """Return the field of texts that `is_text` accepts; empty if a part leaves it out. `what`: what they must be."""
    return stated(lambda part, name: tuple(part.names(name, is_text, what)), ())


def word_of(words: tuple[str, ...]) -> Any:
    """Return the field of one of `words`; the first if left out."""
    return stated(lambda part, name: part.word(name, words), words[0])


def _is_day(text: str) -> bool:
    try:
        parse_day(text)
    except ValueError:
        return False
    return True


def _read_violation_type(part: Part, name: str) -> str:
    key = part.text(name, 1)
    if key and key not in TYPE_NUMBERS:
        part.refuse(name, f"is no violation type: {key!r}; see docs/reference/violation-types.md")
    return key


@frozen
class BadRule:
    """Violations that make a seller bad: all stated conditions must hold. `severity` and `harm` are least values."""

    severity: Severity = stated(lambda part, name: part.member(name, Severity), Severity.MINOR)
    harm: Harm = stated(lambda part, name: part.member(name, Harm), Harm.LOW)
    violation_type: str | None = stated(_read_violation_type, None)
    category: Category | None = stated(lambda part, name: part.member(name, Category), None)


COUNTS = ("incidents", "service_failures")

WEIGHTS = ("sellers", "orders")
"""Each seller, or each settled order in the window, weighs the same."""

VOLUMES = ("chance", "answer")
"""Orders are chances to be bad, or an answer to it, such as inspections after a bad one."""

LEFT = ("keep", "exclude")
"""Sellers that leave are labelled by what was seen, or left out."""


@frozen
class Observation:
    day: int
    """The UTC day at whose beginning sellers are observed; with `last_day` the first day of a span."""
    window_end: int
    """The day after the window; of a span, after the last window."""
    last_day: int | None = None
    """The last day of a span in which each event is a point; None: one day."""


@frozen
class ObservationTable:
    train: tuple[str, ...] = optional_texts(_is_day, "days")
    """Dates; empty: found by `Study.find_points`."""
    test: tuple[str, ...] = optional_texts(_is_day, "days")
    """Dates; empty: the latest point whose window is over."""
    train_points: int = whole(1, 1_000, 4)
    """At events, number of spans of days."""
    step_days: int = whole(1, MAX_DAYS, 45)
    embargo_days: int = whole(0, MAX_DAYS, 0)
    """Days between the end of a training window's maturity and the first test point."""
    events: EventPoints | None = None
    """None: at given days."""


@frozen
class WindowTable:
    """Stated by exactly one of `days` and `months`."""

    days: int | None = whole(1, MAX_DAYS, None)
    months: int | None = whole(1, MAX_DAYS // 30, None)
    maturity_days: int = whole(0, MAX_DAYS, 0)
    """Days after the window until labels are read."""


@frozen
class BadTable:
    """The definition of a bad seller, and the weights of rows.

    A part that is None is free. A seller is bad by its count if all of `at_least`, `share`, `worst` and `amount_minor`
    hold.
    """

    rules: tuple[BadRule, ...]
    at_least: int = whole(1, MAX_NUMBER, 1)
    suspended: bool = stated(Part.flag, True)
    """A suspension in the window that rests on a counted violation makes bad."""
    count: str = word_of(COUNTS)
    share: float | None = decimal(1 / FINEST_SHARE, 1, None)
    """Least share of the window's settled orders."""
    amount_minor: int | None = whole(1, MAX_VALUE_MINOR, None)
    """Least sum, in minor units of `currency`."""
    currency: str = optional_text()
    worst: float | None = decimal(1 / FINEST_SHARE, 1, None)
    """Share of the market, the worst by count over orders."""
    least_orders: int = whole(0, MAX_NUMBER, 0)
    """Least settled orders of a row in the window."""
    weigh_by: str = word_of(WEIGHTS)
    volume: str = word_of(VOLUMES)


@frozen
class ExposureTable:
    reference_orders: float | None = decimal(0.001, MAX_NUMBER, None)
    """In settled orders; None: bad counts over the window at any exposure."""
    slope: float | None = decimal(-MAX_SLOPE, MAX_SLOPE, None)
    """Slope of the log-odds of bad in ln(orders in the window).

    None: estimated from the training points (`training.fitting.slope`), 1 until then.
    """


@frozen
class EligibleTable:
    active_before_months: int | None = whole(1, MAX_DAYS // 30, None)
    """Observed sellers had an exposure or violation so many months before; None: all are."""
    active_in_window: bool = stated(Part.flag, False)
    left: str = word_of(LEFT)
    least_share: float = decimal(1 / FINEST_SHARE, 1, 0.5)
    """Share of the window; a seller without orders from some earlier day on has left."""


@frozen
class ModelTable:
    parameters: Mapping[str, Any]
    rounds: int = whole(1, MAX_ROUNDS, 200)
    """Trees of each seed, in addition to the additive start."""
    seed: int = whole(0, MAX_NUMBER, 1)
    seeds: int = whole(1, MAX_ROUNDS, 1)


@frozen
class MonitorTable:
    psi: float = decimal(0, MAX_NUMBER, 0.1)
    """The least index of the score that alerts, if it also passes its critical value."""
    csi: float = decimal(0, MAX_NUMBER, 0.2)
    """The same for a feature."""
    calibration: float = decimal(1, MAX_NUMBER, 1.25)
    """Tolerated factor of observed over expected, either way; the whole 95 % interval must exceed it to alert."""
    points: int = whole(1, 24, 3)
    """The most windows that calibration looks at."""
    ignore: tuple[str, ...] = optional_texts(bool, "beginnings of features")
    """Prefixes of features that never alert, such as tenure in a growing marketplace."""


@frozen
class Study:
    """A checked study, in the tables of its file. Days since 1970-01-01."""

    name: str
    marketplace: str
    observation: ObservationTable
    window: WindowTable
    bad: BadTable
    exposure: ExposureTable
    eligible: EligibleTable
    constants: Constants
    features: tuple[AnyFeature, ...]
    pairs: tuple[tuple[int, int], ...]
    """Places of two features that may share a table; the points belong to the first."""
    context: tuple[ContextSource, ...]
    model: ModelTable
    gates: Gates
    monitor: MonitorTable
    digest: str
    """SHA-256 of the study's canonical JSON."""

    @property
    def is_rate(self) -> bool:
        """Return whether bad is a share of orders (`bad.share` or `bad.worst`), not a number of incidents."""
        return self.bad.share is not None or self.bad.worst is not None

    @property
    def at_equal_volume(self) -> bool:
        """Return whether rankings are judged between sellers of like volume.

        They are if orders are chances to be bad, and bad is a count or a feature gave up its promised direction.
        """
        is_free = any(is_freed(feature) for feature in self.features)
        return self.bad.volume == "chance" and (is_free or not self.is_rate)

    def with_exposure_slope(self, slope: float | None) -> "Study":
        """Return a copy whose log-odds rise by `slope` in ln(orders); None: to be estimated."""
        return replace(self, exposure=replace(self.exposure, slope=slope))

    @property
    def orders_needed(self) -> int:
        """Return the settled orders in the window that a seller needs to be a row; 0: none.

        At least 1 if the study divides by the orders.
        """
        divides_by_orders = self.exposure.reference_orders is not None or self.is_rate or self.bad.weigh_by == "orders"
        return max(self.bad.least_orders, int(divides_by_orders))

    def ahead(self) -> "Study":
        """Return the study for windows that lie ahead, without demands on orders or activity in them."""
        return replace(
            self,
            exposure=replace(self.exposure, reference_orders=None),
            bad=replace(self.bad, share=None, worst=None, least_orders=0, weigh_by="sellers"),
            eligible=replace(self.eligible, active_in_window=False, left="keep", least_share=0.0),
        )

    def point_at(self, day: int) -> Observation:
        """Return a day's point; with months, `window_end` is the same day of a later month."""
        if self.window.days is not None:
            return Observation(day, day + self.window.days)
        return Observation(day, _add_months(day, self.window.months or 0))

    def find_points(self, as_of: int, test_day: int | None = None) -> tuple[list[Observation], list[Observation]]:
        """Return two lists, the training points and the test points, each in order.

        `as_of`: the day up to which the ledger is complete; `test_day` replaces the latest test point, if the study
        states none. A study at events has spans of days: one to test, and `train_points` equal ones to train. Otherwise
        training points go back from the test point by `step_days`; window, maturity and embargo of each are over before
        it begins. ConfigurationWrong if a training window ends after the first test point, or a test window after
        `as_of`.
        """
        observation, maturity_days, embargo_days = (
            self.observation,
            self.window.maturity_days,
            self.observation.embargo_days,
        )
        if observation.events is not None:
            test = [self._make_span(observation.events.test_from, observation.events.test_to)]
            train = self._make_spans(observation.events.train_from, observation.events.train_to)
        elif observation.test:
            test = [self.point_at(parse_day(day)) for day in observation.test]
            train = [self.point_at(parse_day(day)) for day in observation.train]
        else:
            test = [self._find_latest_point(as_of) if test_day is None else self.point_at(test_day)]
            last = self._find_latest_point(test[0].day - embargo_days).day
            train = [
                self.point_at(last - number * observation.step_days)
                for number in reversed(range(observation.train_points))
            ]
        first_test = min(point.day for point in test)
        for point in train:
            if point.window_end + maturity_days + embargo_days > first_test:
                embargo = f" and the embargo of {embargo_days} days" if embargo_days else ""
                raise ConfigurationWrong(
                    f"the window of training point {format_day(point.day)} and its maturity{embargo} are not over by the"
                    f" test point {format_day(first_test)}: the model would learn what the test asks; choose earlier days"
                )
        for point in test:
            if point.window_end + maturity_days > as_of:
                named = "observation.test_to" if observation.events else f"test point {format_day(point.day)}"
                raise ConfigurationWrong(
                    f"the window of {named} and its maturity are not over by {format_day(as_of)}, where the ledger"
                    " ends; choose an earlier day"
                )
        return train, test

    def _make_span(self, first: int, last: int) -> Observation:
        return Observation(first, self.point_at(last).window_end, last)

    def _make_spans(self, first: int, last: int) -> list[Observation]:
        """Split the days from first to last into nearly equal spans, one for each training point."""
        count = min(self.observation.train_points, last - first + 1)
        starts = [first + (last - first + 1) * number // count for number in range(count)]
        return [
            self._make_span(first_day, next_day - 1)
            for first_day, next_day in zip(starts, [*starts[1:], last + 1], strict=True)
        ]

    def _find_latest_point(self, day: int) -> Observation:
        """Search the latest point that is over by `day`, since months differ in length."""
        about = 2 * day - self.point_at(day).window_end - self.window.maturity_days
        candidates = map(self.point_at, range(about + 6, about - 7, -1))
        return next(point for point in candidates if point.window_end + self.window.maturity_days <= day)


def _add_months(day: int, months: int) -> int:
    """Return the same day of a later month, or its last day."""
    start = date(1970, 1, 1) + timedelta(days=day)
    month = start.month - 1 + months
    year, month = start.year + month // 12, month % 12 + 1
    last_of_month = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
    return (date(year, month, min(start.day, last_of_month)) - date(1970, 1, 1)).days
