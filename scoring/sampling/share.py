"""The share of fakes that a sample proves, with a 95 % interval by its design."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from scoring.base.arrays import Floats, Ints
from scoring.base.errors import invalid
from scoring.sampling.frame import Unit
from scoring.sampling.plan import PPB, DrawnUnit, Plan

ALPHA = 0.05
ALL = "all"
SIZES = ("listings", "units", "value")
"""A share is of all listings, of the units sold, or of the value sold."""

MIN_STRATUM = 10
"""The least results of a stratum: fewer cannot tell its own spread, so it is joined with the next smallest."""

MEAN_FAKES = 4
"""Results of a mean weight, beside the fakes, of which the added result's weight is the mean."""


@dataclass(frozen=True, slots=True)
class ErrorsOfTest:
    sensitivity: float = 1.0
    """Share of the fakes that the test finds."""
    specificity: float = 1.0
    """Share of the genuine products that pass the test."""

    def correct(self, observed: float) -> float:
        """Return the share of fakes behind an observed share (Rogan and Gladen), from 0 to 1."""
        found = (observed + self.specificity - 1) / (self.sensitivity + self.specificity - 1)
        return min(max(found, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Share:
    category: str
    """A category, or ALL."""
    by: str
    """A word of SIZES."""
    value: float
    low: float
    high: float
    """Ends of the 95 % interval."""
    tested: int
    fakes: int


def estimate_shares(plan: Plan, is_fake: Mapping[str, bool], errors: ErrorsOfTest) -> list[Share]:
    """Return the shares of ALL and of each category with results, by each of SIZES.

    `is_fake`: by listing. A drawn listing without a result counts as missing by chance. Raise InvalidInput if all
    results are missing, or if the test does not tell fakes.
    """
    if errors.sensitivity + errors.specificity <= 1 or max(errors.sensitivity, errors.specificity) > 1:
        raise invalid("--sensitivity", "and --specificity are at most 1 each, and more than 1 together")
    inspected = [one for one in plan.drawn if one.unit.listing in is_fake]
    if not inspected:
        raise invalid("PLAN", "has no result on record; append an inspection for each listing drawn")
    shares = []
    for name in (ALL, *sorted({one.unit.category for one in inspected})):
        tested = [one for one in inspected if name in (ALL, one.unit.category)]
        frame = [unit for unit in plan.frame.units if name in (ALL, unit.category)]
        strata = join_strata(tested, frame)
        stratum = np.array([strata[one.unit.category] for one in tested])
        fake = np.array([float(is_fake[one.unit.listing]) for one in tested])
        chance = np.array([one.probability_ppb / PPB for one in tested])
        for by in SIZES:
            own, all_sizes = (np.array([_size(one, by) for one in of]) for of in ([one.unit for one in tested], frame))
            sizes: Floats = np.bincount([strata[unit.category] for unit in frame], weights=all_sizes).astype(np.float64)
            weight = weigh(own / chance, stratum, sizes)
            if weight is not None:
                value, low, high = map(errors.correct, find_interval(fake, chance, weight, stratum))
                shares.append(Share(name, by, value, low, high, len(tested), int(fake.sum())))
    return shares


def _size(unit: Unit, by: str) -> float:
    return {"listings": 1.0, "units": float(unit.units), "value": float(unit.value_minor)}[by]


def join_strata(tested: Sequence[DrawnUnit], frame: Sequence[Unit]) -> dict[str, int]:
    """Return the stratum of each category: the smallest ones are joined until each has MIN_STRATUM results."""
    results = Counter(dict.fromkeys(sorted({unit.category for unit in frame}), 0))
    results.update(one.unit.category for one in tested)
    strata = [(count, [category]) for category, count in results.items()]
    while len(strata) > 1 and min(count for count, _ in strata) < MIN_STRATUM:
        strata.sort()
        (fewest, names), (more, others) = strata[:2]
        strata[:2] = [(fewest + more, sorted(names + others))]
    return {name: place for place, (_, names) in enumerate(strata) for name in names}


def weigh(expanded: Floats, stratum: Ints, sizes: Floats) -> Floats | None:
    """Return each result's weight: together 1, and in each stratum its share of the frame's size.

    `expanded`: size over probability, by result; `sizes`: of the frame, by stratum. None if a stratum with a size has
    no result with a size, or if no stratum has a size.
    """
    drawn = np.bincount(stratum, weights=expanded, minlength=len(sizes))
    if sizes.sum() <= 0 or (drawn[sizes > 0] <= 0).any():
        return None
    factor = sizes / sizes.sum() / np.where(drawn > 0, drawn, 1)
    return np.asarray(expanded * factor[stratum])


def find_interval(fake: Floats, chance: Floats, weight: Floats, stratum: Ints) -> tuple[float, float, float]:
    """Return (share, low, high): a beta interval with the design's own variance, 95 %.

    One result is added, half fake and half genuine, so a sample without fakes has an upper end. It weighs as a mean of
    the fakes and MEAN_FAKES results of a mean weight. With equal weights this is Jeffreys' interval. Worked: 19 fakes
    of 51, equal weights: 0.3725 (0.2500 to 0.5092); a random draw of all leaves no interval.
    """
    results = np.bincount(stratum)
    means = np.bincount(stratum, weights=weight * fake) / np.maximum(np.bincount(stratum, weights=weight), 1e-300)
    spread = np.where(results > 1, results / np.maximum(results - 1, 1), 1)[stratum]
    unseen = (1 - chance) * weight**2
    mean, share = float(unseen.sum()), float(weight @ fake)
    added = (float(unseen @ fake) + MEAN_FAKES * mean**2) / max(share + MEAN_FAKES * mean, 1e-300)
    middle = (share + added / 2) / (1 + added)
    variance = float(unseen @ ((fake - means[stratum]) ** 2 * spread)) + added * (share - middle) ** 2
    variance = (variance + added**2 * (middle**2 + (1 - middle) ** 2) / 2) / (1 + added) ** 2
    if variance <= 0:
        return share, share, share
    rows = middle * (1 - middle) / variance
    low, high = (float(betaincinv(rows * middle, rows * (1 - middle), q)) for q in (ALPHA / 2, 1 - ALPHA / 2))
    return share, low if share > 0 else 0.0, high if share < 1 else 1.0
