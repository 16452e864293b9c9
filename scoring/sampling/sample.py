"""A sample of test buys: frame, draw by a public seed, in integers, and the share of fakes, with a 95 % interval by design.

`independent` checks its signed file again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from itertools import pairwise
from math import isqrt
from typing import Any

import numpy as np
from scipy.special import betaincinv

from scoring.base.arrays import Floats, Ints
from scoring.base.canonical import JsonObject, canonical_json
from scoring.base.errors import FieldViolation, InvalidInput, invalid
from scoring.base.frozen import frozen

PPM = 1_000_000


@frozen
class Unit:
    listing: str
    seller: str
    category: str
    units: int
    """Units sold, at least 0."""
    value_minor: int
    """Value sold, at least 0."""
    expected_ppm: int
    """Expected probability of a fake, 0 to 1,000,000. It moves the chance of a draw, and biases no estimate."""


@frozen
class Frame:
    units: tuple[Unit, ...]
    """By listing."""
    digest: str
    """SHA-256 in hex over a line a unit: its fields, separated by tabs."""


def make_frame(units: Sequence[Unit]) -> Frame:
    """Return the frame. Raise InvalidInput if there is no unit, or for a listing that is stated twice."""
    if not units:
        raise InvalidInput([FieldViolation(("FRAME",), "holds no listing")])
    ordered = tuple(sorted(units, key=lambda unit: unit.listing))
    twice = {one.listing for one, other in pairwise(ordered) if one.listing == other.listing}
    if twice:
        raise InvalidInput([FieldViolation(("FRAME",), f"states {name!r} twice") for name in sorted(twice)])
    return Frame(ordered, sha256("".join(map(_format_frame_line, ordered)).encode()).hexdigest())


def _format_frame_line(unit: Unit) -> str:
    sums = f"{unit.units}\t{unit.value_minor}\t{unit.expected_ppm}"
    return f"{unit.listing}\t{unit.seller}\t{unit.category}\t{sums}\n"


PPB = 1_000_000_000
FLOOR_PPM = 400_000
"""Share of the budget that is drawn with equal probabilities, whatever is expected of a listing."""

MAX_SEED = 200


@frozen
class DrawnUnit:
    unit: Unit
    probability_ppb: int
    """The probability of its draw, in parts per billion."""


@frozen
class Plan:
    frame: Frame
    seed: str
    budget: int
    drawn: tuple[DrawnUnit, ...]
    """As many as the budget, by listing."""


def draw_plan(frame: Frame, seed: str, budget: int) -> Plan:
    """Draw a plan by a seed that is published after the frame's digest.

    Raise InvalidInput unless 1 <= budget <= number of listings, and the seed has 1 to MAX_SEED characters.
    """
    if not 1 <= budget <= len(frame.units):
        raise invalid("--budget", f"must be from 1 to {len(frame.units):,}, the listings of the frame")
    if not 1 <= len(seed) <= MAX_SEED or not seed.isprintable():
        raise invalid("--seed", f"must have 1 to {MAX_SEED} printable characters")
    chances = find_probabilities(frame.units, budget)
    places = draw(frame, seed, chances)
    return Plan(frame, seed, budget, tuple(DrawnUnit(frame.units[place], chances[place]) for place in places))


def draw(frame: Frame, seed: str, chances: Sequence[int]) -> list[int]:
    """Return the places of the listings drawn, ascending; `chances` in parts per billion, with a whole sum.

    The listings stand in a row by category, then by `draw_key`, each as long as its chance. The key of no listing gives
    a start. A listing is drawn if a whole number ends in it, so each category gets its due number, give or take one.
    """
    keys = [draw_key(seed, frame.digest, unit.listing) for unit in frame.units]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    order.sort(key=lambda place: frame.units[place].category)
    start = int.from_bytes(draw_key(seed, frame.digest, "")[:8], "big") % PPB
    return [int(place) for place in draw_along(np.array(order), start, np.array(chances))]


def draw_along(order: Ints, start: int, chances: Ints) -> Ints:
    """Return the places drawn, ascending, of a row in this order."""
    passed = np.cumsum(np.concatenate([[start], chances[order]])) // PPB
    return np.sort(order[np.diff(passed) > 0])


def draw_key(seed: str, frame_digest: str, listing: str) -> bytes:
    """Return the SHA-256 by which listings of a category are put in the order of the draw."""
    return sha256(f"{seed}\n{frame_digest}\n{listing}".encode()).digest()


def find_probabilities(units: Sequence[Unit], budget: int) -> list[int]:
    """Return each unit's probability in parts per billion; they sum to budget x PPB exactly, and each is above 0.

    An equal part is FLOOR_PPM of the budget. The rest is proportional to size x sqrt(f x (1 - f)). f: the expected
    probability. Size: the mean of three shares, of listings, units and value. Worked: two listings alike and a budget
    of 1: half a billion each.
    """
    floor = budget * PPB * FLOOR_PPM // PPM // len(units)
    weights = _compute_draw_weights(units)
    chances = [0] * len(units)
    open_places = list(range(len(units)))
    while open_places:
        fixed = (len(units) - len(open_places)) * PPB
        rest = budget * PPB - fixed - floor * len(open_places)
        total = sum(weights[place] for place in open_places)
        for place in open_places:
            chances[place] = floor + (rest * weights[place] // total if total else rest // len(open_places))
        certain = {place for place in open_places if chances[place] >= PPB}
        for place in certain:
            chances[place] = PPB
        open_places = [place for place in open_places if place not in certain]
        if not certain:
            break
    missing = budget * PPB - sum(chances)
    for place in open_places[:missing]:
        chances[place] += 1
    return chances


def _compute_draw_weights(units: Sequence[Unit]) -> list[int]:
    """Return a multiple of size x sqrt(f x (1 - f)) by unit: see `find_probabilities`."""
    all_units, all_value = sum(unit.units for unit in units) or 1, sum(unit.value_minor for unit in units) or 1
    listings = len(units)
    return [
        isqrt(unit.expected_ppm * (PPM - unit.expected_ppm))
        * (
            all_units * all_value
            + unit.units * listings * all_value
            + unit.value_minor * listings * all_units
        )
        for unit in units
    ]  # fmt: skip


ALPHA = 0.05
ALL = "all"
SIZES = ("listings", "units", "value")
"""A share is of all listings, of the units sold, or of the value sold."""

MIN_STRATUM = 10
"""The least results of a stratum: fewer cannot tell its own spread, so it is joined with the next smallest."""

MEAN_FAKES = 4
"""Results of a mean weight, beside the fakes, of which the added result's weight is the mean."""


@frozen
class ErrorsOfTest:
    sensitivity: float = 1.0
    """Share of the fakes that the test finds."""
    specificity: float = 1.0
    """Share of the genuine products that pass the test."""

    def correct(self, observed: float) -> float:
        """Return the share of fakes behind an observed share (Rogan and Gladen), from 0 to 1."""
        found = (observed + self.specificity - 1) / (self.sensitivity + self.specificity - 1)
        return min(max(found, 0.0), 1.0)


@frozen
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
            tested_sizes, all_sizes = (
                np.array([_find_size(one, by) for one in of]) for of in ([one.unit for one in tested], frame)
            )
            sizes: Floats = np.bincount([strata[unit.category] for unit in frame], weights=all_sizes).astype(np.float64)
            weight = weigh_results(tested_sizes / chance, stratum, sizes)
            if weight is not None:
                value, low, high = map(errors.correct, find_interval(fake, chance, weight, stratum))
                shares.append(Share(name, by, value, low, high, len(tested), int(fake.sum())))
    return shares


def _find_size(unit: Unit, by: str) -> float:
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


def weigh_results(expanded: Floats, stratum: Ints, sizes: Floats) -> Floats | None:
    """Return each result's weight: together 1, and in each stratum its share of the frame's size.

    `expanded`: size over probability, by result; `sizes`: of the frame, by stratum. None if a stratum with a size has
    no result with a size, or if no stratum has a size.
    """
    drawn = np.bincount(stratum, weights=expanded, minlength=len(sizes))
    if sizes.sum() <= 0 or (drawn[sizes > 0] <= 0).any():
        return None
    factor = sizes / sizes.sum() / np.where(drawn > 0, drawn, 1)
    return np.asarray(expanded * factor[stratum])


LEAST_VARIANCE = 1e-10
"""A smaller one leaves no interval: its ends would lie within 0.00002, and are no longer computed exactly."""


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
    if variance < LEAST_VARIANCE:
        return share, share, share
    rows = middle * (1 - middle) / variance
    low, high = (float(betaincinv(rows * middle, rows * (1 - middle), q)) for q in (ALPHA / 2, 1 - ALPHA / 2))
    return share, low if share > 0 else 0.0, high if share < 1 else 1.0


FORMAT = "sellertrust.test-buys@1"


def describe_plan(plan: Plan) -> JsonObject:
    """Return a plan as JSON values, without listings that were not drawn."""
    drawn = [asdict(one.unit) | {"probability_ppb": one.probability_ppb} for one in plan.drawn]
    return {
        "format": FORMAT,
        "frame_digest": plan.frame.digest,
        "listings": len(plan.frame.units),
        "seed": plan.seed,
        "budget": plan.budget,
        "floor_ppm": FLOOR_PPM,
        "drawn": drawn,
    }


def name_plan(described: JsonObject) -> str:
    """Return the plan's id, which each inspection for it carries: 16 hexadecimal digits of its digest."""
    return sha256(canonical_json(described)).hexdigest()[:16]


def read_plan(described: Any, frame: Frame) -> Plan:
    """Return the plan; raise InvalidInput unless it is a plan over this frame."""
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise invalid("PLAN", f"is no plan of test buys ({FORMAT}); make one: sellertrust audit plan")
    if described["frame_digest"] != frame.digest:
        raise invalid("FRAME", f"has the digest {frame.digest}; the plan was drawn from {described['frame_digest']}")
    by_listing = {unit.listing: unit for unit in frame.units}
    drawn = tuple(DrawnUnit(by_listing[one["listing"]], one["probability_ppb"]) for one in described["drawn"])
    return Plan(frame, described["seed"], described["budget"], drawn)


def describe_estimate(
    plan: JsonObject, is_fake: Mapping[str, bool], errors: ErrorsOfTest, shares: Sequence[Share]
) -> JsonObject:
    drawn = [one["listing"] for one in plan["drawn"]]
    return {
        "plan": dict(plan),
        "results": {name: "failed" if is_fake[name] else "passed" for name in drawn if name in is_fake},
        "missing": [name for name in drawn if name not in is_fake],
        "test": asdict(errors),
        "shares": [asdict(share) for share in shares],
    }
