"""The interval of a seller's points, from the posterior of its own rates.

Events are Poisson with the seller's own rates per order, and the rates Gamma distributed over sellers (`Prior`). A
series is one counted mass: of a category, of all by severity weight, incidents of a lowest severity, or failed orders.
With mass S over E settled orders, both decayed by the longest half-life, the posterior of its rate is w x Gamma(k, X):

    k = (a m + c S) / w,  X = b + c E,  c = E / (sum over orders of decay squared), 1 to 2

The prior is a events in b orders. Its mass of one incident in the series is m. The series' weight of one event is w
(`Prior.grain`; 1 for counted incidents). Kish's effective size is c, capped so that old facts weigh little. The
quantiles of Gamma(k) are by Wilson and Hilferty,

    q = k max(0, 1 - 1/(9 k) + z sqrt(1/(9 k)))^3,  z = -1.6449 for 5 % and +1.6449 for 95 %,

and for 95 % and k below 2 from a small table. IEEE 754 rounds + - x / and square root correctly, so the ends are equal
on every machine. The upper quantile is within 1 % from k = 0.1 on; the lower one is too low below k = 2, the safe side.

The expected mass is w q / X x E_h, by decayed orders E_h of each half-life. The low end is the model at the larger of
this mass, for 95 %, and the seller's own; the high end at the smaller, for 5 %. Counts without decay follow all orders,
counts of the last year its orders. Other facts stay.

With a certified model the points at true rates between the quantiles lie between `points_low` and `points_high`. A
further incident lowers no k, so it raises neither end (except by 0.4 % of a rate at the end of the table).

Worked: a = 0.5, b = 50, no incident in 100 orders of today (c = 1). Then k = 0.5, X = 150, q = 1.92073. The low end has
1.2805 incidents, the high end none.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from scoring.base.arrays import Floats
from scoring.base.enums import Category, Severity
from scoring.base.errors import ArtifactRefused
from scoring.base.frozen import frozen
from scoring.features.decay import HALF_LIVES
from scoring.features.facts import Facts
from scoring.features.fold import FAILURES, FLOOR_PLACES, FLOORS, Constants, Folder, Sums

LONGEST = max(HALF_LIVES)
Z = 1.6448536269514722
"""Standard normal quantile of 95 %: the interval from 5 % to 95 % holds 90 %."""

ENDS = 2
"""Cases that `append_ends` appends per seller."""


@frozen
class Prior:
    """A seller's rates per order before its history: Gamma(events, orders)."""

    incidents: tuple[float, ...]
    failures: tuple[float, ...]
    mix: tuple[float, ...]
    """Values of one incident: mean severity weight in each category (8 numbers) and in all, share moderate or graver, share
    major or graver.
    """
    grain: float
    """The mean square of severity weights over their mean."""


def default_prior(constants: Constants) -> Prior:
    """Return the prior of an artifact that pins none: half an event in `rate_damping` orders, severities alike."""
    rate = (0.5, constants.rate_damping)
    weights = constants.severity_weights.values()
    mean = sum(weights) / len(Severity)
    mix = (*[mean / len(Category)] * len(Category), mean, 0.75, 0.5)
    return Prior(rate, rate, mix, severity_grain(np.array([*weights], dtype=np.float64)))


def severity_grain(weights: Floats) -> float:
    """Return the mean square of weights over their mean: `severity_grain(np.array([1, 3, 9, 27])) == 20.5`."""
    return float((weights * weights).sum() / weights.sum())


def read_prior(data: Mapping[str, object]) -> Prior:
    """Read the prior from its JSON values; raise ArtifactRefused if a part is missing, wrong or out of its bounds."""
    try:
        values = {name: np.array(data[name], dtype=np.float64) for name in _BOUNDS}
    except (KeyError, TypeError, ValueError):
        raise ArtifactRefused(f"the artifact's prior must hold numbers for {', '.join(_BOUNDS)}") from None
    for name, (shape, low, high) in _BOUNDS.items():
        value = values[name]
        if value.shape != shape or not ((value >= low) & (value <= high)).all():
            raise ArtifactRefused(
                f"{name} of the artifact's prior must be numbers from {low:g} to {high:g}, as many as it has parts"
            )
    incidents, failures, mix = (tuple(values[name].tolist()) for name in ("incidents", "failures", "mix"))
    return Prior(incidents, failures, mix, float(values["grain"]))


_BOUNDS: Mapping[str, tuple[tuple[int, ...], float, float]] = {
    "incidents": ((2,), 1e-3, 1e12),
    "failures": ((2,), 1e-3, 1e12),
    "mix": ((len(Category) + 3,), 0.0, 63.0),
    "grain": ((), 1.0, 63.0),
}
"""By part: shape, least and greatest value; no feature overflows."""

_SHAPES = np.array([0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0])
_UPPER = np.array(
    [
        *(0.0, 0.00336262, 0.0459098, 0.116138, 0.265932, 0.580435, 0.825587),
        *(1.03053, 1.37235, 1.66196, 1.92073, 2.15901, 2.59514, 2.99573, 3.46404, 3.90736, 4.74386),
    ]
)
"""The 95 % quantile of Gamma(shape), to 6 digits."""


def gamma_interval(k: Floats) -> tuple[Floats, Floats]:
    """Return the 5 % and the 95 % quantiles of Gamma(k), each of the shape of `k` >= 0.

    `gamma_interval(0)[1] == 0` and `gamma_interval(0.5)[1] == 1.92073`.
    """
    spread = 1.0 / (9.0 * np.maximum(k, 1e-9))
    low, high = (np.maximum(1.0 - spread + z * np.sqrt(spread), 0.0) for z in (-Z, Z))
    step = np.minimum(np.searchsorted(_SHAPES, k, side="right"), len(_SHAPES) - 1)
    slope = (_UPPER[step] - _UPPER[step - 1]) / (_SHAPES[step] - _SHAPES[step - 1])
    upper = _UPPER[step - 1] + (k - _SHAPES[step - 1]) * slope
    return k * (low * low * low), np.where(k < _SHAPES[-1], upper, k * (high * high * high))


def append_ends(sums: Sums, facts: Facts, n: int, prior: Prior, folder: Folder) -> Sums:
    """Append, for the first `n` cases, n at the low end of points, then n at the high end."""
    squares, recent_orders = folder.effective_size_terms(facts, n)
    orders = sums.orders[:, :n]
    # Without orders in the last ten half-lives the sum of squares is 0, and c is 1.
    c = np.minimum(np.maximum(orders[-1] / np.where(squares > 0, squares, np.inf), 1.0), 2.0)
    series = sums.series[..., :n]
    events, priors, grain = _tabulate_prior(prior)
    k = (events + c * series[-1]) / grain
    x = priors + c * orders[-1]
    with_ends = sums.map(lambda v: np.concatenate([v, v[..., :n], v[..., :n]], axis=-1), sums.cases + ENDS * n)
    low, high = gamma_interval(k)
    for first, quantile, pick_extreme in ((sums.cases, high, np.maximum), (sums.cases + n, low, np.minimum)):
        rates, end = grain * quantile / x, slice(first, first + n)
        with_ends.series[..., end] = pick_extreme(series, rates * orders[:, None])
        of_floors = rates[[FLOOR_PLACES[floor] for floor in FLOORS]]
        with_ends.ever[:, end] = pick_extreme(sums.ever[:, :n], of_floors * sums.total_orders[:n])
        with_ends.total_failures[end] = pick_extreme(sums.total_failures[:n], rates[FAILURES] * sums.total_orders[:n])
        with_ends.recent[end] = pick_extreme(sums.recent[:n], rates[FLOOR_PLACES[Severity.MINOR]] * recent_orders)
    return with_ends


@lru_cache(maxsize=8)
def _tabulate_prior(prior: Prior) -> tuple[Floats, Floats, Floats]:
    """Return (events x value, orders, grain) of each series of `Sums.series`, as columns."""
    (events, orders), (failures, orders_failed), categories = prior.incidents, prior.failures, len(Category)
    mass = [*(events * weight for weight in prior.mix), events, failures]
    grains = [*[prior.grain] * (categories + 1), 1.0, 1.0, 1.0, 1.0]
    columns = (mass, [*[orders] * (categories + 4), orders_failed], grains)
    masses, priors, grain = (np.array(column, dtype=np.float64)[:, None] for column in columns)
    return masses, priors, grain
