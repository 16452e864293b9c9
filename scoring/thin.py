"""How far a seller's own history tells: an interval of points from the posterior of its own rates.

A seller with few orders may have been lucky, or unlucky. Its incidents are taken as Poisson with a rate per order that is
its own, and that rate as Gamma distributed over sellers (`Prior`). With M incidents over E settled orders, both decayed
by the longest half-life, its rate is then Gamma(k, X), mean k / X:

    k = a + c M,  X = b + c E,  c = E / (sum over orders of decay squared), 1 to 2

(a and b are the prior's; c makes of decayed orders as many whole ones as tell equally much, Kish's effective size: 1 for a
young file, 2 for steady sales over years, and no more, so that what ended long ago tells little). The
5 % and the 95 % quantile of that rate are mean x f, with f by Wilson and Hilferty,

    f = max(0, 1 - 1/(9 k) + z sqrt(1/(9 k)))^3,  z = -1.6449 and +1.6449:

+ - x / and square root alone, which IEEE 754 rounds correctly, so the ends are the same on every machine. scipy's quantile
is not. It is within 3 % of the exact upper quantile from k = 0.3 on; its lower one is too low below k = 2, the safe side.

At such a rate the seller would be expected to have, by its own decayed orders E_h of each half-life, the mass
f x (a m + c S) / X x E_h, where S is that mass at the longest half-life and m what the prior expects of an incident: so the
kinds of incidents are taken as seen so far, and of a seller without incidents as the prior has them. The low end of points
is the model at the larger of this and the seller's own mass, for f of the 95 % quantile; the high end at the smaller of the
two, for the 5 % one. Counts of incidents follow by their orders likewise, failures by a posterior of their own. Days since
an incident and the worst severity are facts, not rates, and stay.

If the true rate lies within its quantiles, so does each of these features between its two ends, and with a certified model
the points at the true rate lie between `points_low` and `points_high`: the interval inherits at least the rate's coverage.
Worked: a = 0.5, b = 50, no incident in 100 orders of today (c = 1): k = 0.5, X = 150, mean 0.00333, f = 3.747, so the low
end is that of 0.01249 incidents an order, 1.249 in its 100 orders.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scoring.decay import HALF_LIVES
from scoring.errors import ArtifactRefused
from scoring.facts import Facts
from scoring.fold import Constants, Folder, Sums
from scoring.words import Category, Severity

Floats = NDArray[np.float64]
T = TypeVar("T", np.float64, np.int64)

LONGEST = max(HALF_LIVES)
Z = 1.6448536269514722
"""Standard normal quantile of 95 %: the interval from 5 % to 95 % holds 90 %."""

ENDS = 2
"""Cases that `with_ends` appends for each seller: one for `points_low`, one for `points_high`."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is assumed of a seller before its history, by `events` seen in `orders`: Gamma(events, orders) per order.

    `incidents` and `failures` are (events, orders). `mix` is what one incident weighs: its mean severity weight in each
    category (8 numbers), its mean severity weight, the share that is moderate or graver, the share that is major or graver.
    """

    incidents: tuple[float, ...]
    failures: tuple[float, ...]
    mix: tuple[float, ...]


def default_prior(constants: Constants) -> Prior:
    """Of an artifact that pins none: half an event in `rate_damping` orders, every category and severity alike."""
    rate = (0.5, constants.rate_damping)
    weight = sum(constants.severity_weights.values()) / len(Severity)
    return Prior(rate, rate, (*[weight / len(Category)] * len(Category), weight, 0.75, 0.5))


def prior_of(data: Mapping[str, object]) -> Prior:
    """A prior from its JSON values. ArtifactRefused unless they are as many as they must be, and within `_BOUNDS`."""
    values = {name: np.array(data[name], dtype=np.float64) for name in Prior.__slots__}
    for name, found in values.items():
        low, high = _BOUNDS[name]
        count = len(Category) + 3 if name == "mix" else 2
        if found.shape != (count,) or not ((found >= low) & (found <= high)).all():
            raise ArtifactRefused(f"{name} of the artifact's prior must be {count} numbers from {low:g} to {high:g}")
    return Prior(**{name: tuple(found.tolist()) for name, found in values.items()})


_BOUNDS = {"incidents": (1e-3, 1e12), "failures": (1e-3, 1e12), "mix": (0.0, 63.0)}
"""Within these no feature overflows."""


def ends(k: Floats) -> tuple[Floats, Floats]:
    """The 5 % and the 95 % quantile of Gamma(k, k), mean 1, as shape (n,) each: `ends([0.5])[1] == 3.747` or so."""
    spread = 1.0 / (9.0 * k)
    low, high = (np.maximum(1.0 - spread + z * np.sqrt(spread), 0.0) for z in (-Z, Z))
    return low * low * low, high * high * high


def with_ends(sums: Sums, facts: Facts, n: int, prior: Prior, folder: Folder) -> Sums:
    """The sums of all cases, then of the first `n` at the low end of points, then of these at their high end."""
    told, recent_orders = folder.told(facts, n)
    longest = sums.orders[LONGEST][:n]
    c = np.clip(longest / np.where(told > 0, told, np.inf), 1.0, 2.0)
    k = prior.incidents[0] + c * sums.incident_mass[Severity.MINOR, LONGEST][:n]
    x = prior.incidents[1] + c * longest
    own = _masses(sums, n)
    # Masses an order at the posterior mean of the rate, shape (11, n).
    rates = (prior.incidents[0] * np.array(prior.mix)[:, None] + c * own[-1, :-1]) / x
    rates = np.concatenate([rates, (k / x)[None]])
    orders = np.array([sums.orders[h][:n] for h in HALF_LIVES])
    expected = rates[None] * orders[:, None]
    failures = np.array([sums.failures[h][:n] for h in HALF_LIVES])
    k_failed = prior.failures[0] + c * failures[-1]
    failed = k_failed / (prior.failures[1] + c * longest) * orders

    low, high = ends(k)
    low_failed, high_failed = ends(k_failed)
    total, recent = k / x * sums.total_orders[:n], k / x * recent_orders
    gloomy = _Ends(
        np.maximum(own, high * expected),
        np.maximum(failures, high_failed * failed),
        np.maximum(sums.incidents[:n], high * total),
        np.maximum(sums.recent[:n], high * recent),
    )
    bright = _Ends(
        np.minimum(own, low * expected),
        np.minimum(failures, low_failed * failed),
        np.minimum(sums.incidents[:n], low * total),
        np.minimum(sums.recent[:n], low * recent),
    )
    return _appended(sums, n, (gloomy, bright))


@dataclass(frozen=True, slots=True)
class _Ends:
    """The sums of n sellers that move, at one end. `masses` (half-lives, 12, n), `failures` (half-lives, n), counts (n,)."""

    masses: Floats
    failures: Floats
    incidents: Floats
    recent: Floats


def _masses(sums: Sums, n: int) -> Floats:
    """Masses of the first n cases, shape (half-lives, 12, n): categories, weighted, moderate, major, all incidents."""
    floors = (Severity.MODERATE, Severity.MAJOR, Severity.MINOR)
    return np.array(
        [
            [*sums.category_mass[h][:n].T, sums.weighted_mass[h][:n], *(sums.incident_mass[f, h][:n] for f in floors)]
            for h in HALF_LIVES
        ]
    )


def _appended(sums: Sums, n: int, both: tuple[_Ends, _Ends]) -> Sums:
    """The sums with the cases of both ends behind them; what does not move is the seller's own."""

    def moved(values: Floats, place: int, h: int) -> Floats:
        return np.concatenate([values, *(end.masses[h, place] for end in both)])

    def kept(values: NDArray[T]) -> NDArray[T]:
        return np.concatenate([values, values[:n], values[:n]])

    several = len(Category)
    places = {Severity.MODERATE: several + 1, Severity.MAJOR: several + 2, Severity.MINOR: several + 3}
    numbered = {h: i for i, h in enumerate(HALF_LIVES)}
    return replace(
        sums,
        cases=sums.cases + ENDS * n,
        category_mass={
            h: np.concatenate([sums.category_mass[h], *(end.masses[i, :several].T for end in both)])
            for h, i in numbered.items()
        },
        weighted_mass={h: moved(sums.weighted_mass[h], several, i) for h, i in numbered.items()},
        incident_mass={
            (floor, h): moved(values, places[floor], numbered[h]) for (floor, h), values in sums.incident_mass.items()
        },
        incidents=np.concatenate([sums.incidents, *(end.incidents for end in both)]),
        recent=np.concatenate([sums.recent, *(end.recent for end in both)]),
        worst=kept(sums.worst),
        days_since={floor: kept(days) for floor, days in sums.days_since.items()},
        orders={h: kept(orders) for h, orders in sums.orders.items()},
        failures={
            h: np.concatenate([sums.failures[h], *(end.failures[i] for end in both)]) for h, i in numbered.items()
        },
        total_orders=kept(sums.total_orders),
        tenure_days=kept(sums.tenure_days),
        level=kept(sums.level),
    )
