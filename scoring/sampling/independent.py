"""Check a signed sample again: draw, partition of the results, shares and intervals, with code of its own.

It shares nothing with what makes a sample, and uses only Python's own arithmetic.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

BILLION, MILLION = 10**9, 10**6
CLOSE = 1e-6
LEAST_RESULTS = 10
MEAN_FAKES = 4
LEAST_VARIANCE = 1e-10

CATEGORY: Final = 2
UNITS: Final = 3
VALUE: Final = 4
PROBABILITY: Final = 5
Row = tuple[str, str, str, int, int, int]
"""Listing, seller, category, units, value, and expected probability in parts per million."""


def check_sample(document: Any, frame: Sequence[Row]) -> list[str]:
    """Return every problem found, in words; [] if the file proves what it says about this frame."""
    try:
        plan = document["plan"]
        rows = sorted(frame)
        problems = [*_check_draw(plan, rows)]
        return problems or [*_check_results(document), *_check_shares(document, rows)]
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError, IndexError) as error:
        return [f"the file lacks a part or has another form ({type(error).__name__}: {error})"]


def _check_draw(plan: Any, rows: Sequence[Row]) -> Iterator[str]:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(("\t".join(map(str, row)) + "\n").encode())
    if digest.hexdigest() != plan["frame_digest"] or len(rows) != plan["listings"]:
        yield f"the frame has the digest {digest.hexdigest()}, and the file says {plan['frame_digest']}"
        return
    chances = _compute_chances(rows, plan["budget"], plan["floor_ppm"])
    keys = [
        hashlib.sha256("\n".join((plan["seed"], plan["frame_digest"], row[0])).encode()).hexdigest() for row in rows
    ]
    first = hashlib.sha256(f"{plan['seed']}\n{plan['frame_digest']}\n".encode()).hexdigest()
    position, drawn = int(first[:16], 16) % BILLION, []
    for index in sorted(range(len(rows)), key=lambda index: (rows[index][2], keys[index])):
        after = position + chances[index]
        if after // BILLION > position // BILLION:
            drawn.append((*rows[index], chances[index]))
        position = after
    names = ("listing", "seller", "category", "units", "value_minor", "expected_ppm", "probability_ppb")
    stated_rows = [tuple(one[name] for name in names) for one in plan["drawn"]]
    if sorted(drawn) != stated_rows:
        other = sorted(set(drawn) ^ set(stated_rows))
        yield f"the seed draws other listings or probabilities: {len(other)} differ, first {other[0][0] if other else '-'}"


def _compute_chances(rows: Sequence[Row], budget: int, floor_ppm: int) -> list[int]:
    """Return the probability of each row's draw, in parts per billion."""
    row_count = len(rows)
    sold, value = sum(row[UNITS] for row in rows) or 1, sum(row[VALUE] for row in rows) or 1
    least = budget * BILLION * floor_ppm // MILLION // row_count
    pulls = [
        math.isqrt(row[PROBABILITY] * (MILLION - row[PROBABILITY]))
        * (sold * value + row_count * (row[UNITS] * value + row[VALUE] * sold))
        for row in rows
    ]
    chance: list[int | None] = [None] * row_count
    while True:
        free = [index for index in range(row_count) if chance[index] is None]
        remaining = (budget - (row_count - len(free))) * BILLION - least * len(free)
        all_pull = sum(pulls[index] for index in free)
        chance_of_free = {
            index: least + (remaining * pulls[index] // all_pull if all_pull else remaining // len(free))
            for index in free
        }
        certain = [index for index in free if chance_of_free[index] >= BILLION]
        for index in certain:
            chance[index] = BILLION
        if not certain:
            break
    lacking = budget * BILLION - sum(chance_of_free.values()) - BILLION * (row_count - len(free))
    for number, index in enumerate(free):
        chance[index] = chance_of_free[index] + (number < lacking)
    return [one or 0 for one in chance]


def _check_results(document: Any) -> Iterator[str]:
    drawn = {one["listing"] for one in document["plan"]["drawn"]}
    results, missing = document["results"], document["missing"]
    if {*results, *missing} != drawn or len(results) + len(missing) != len(drawn):
        yield "results and missing listings together are not the listings drawn, each once"
    if not {*results.values()} <= {"passed", "failed"}:
        yield "a result is neither passed nor failed"


def _check_shares(document: Any, rows: Sequence[Row]) -> Iterator[str]:
    results = document["results"]
    tested = [one for one in document["plan"]["drawn"] if one["listing"] in results]
    expected = {("all", by) for by in ("listings", "units", "value")}
    expected |= {(one["category"], by) for one in tested for _, by in tuple(expected)}
    shares = {(share["category"], share["by"]): share for share in document["shares"]}
    if not {("all", "listings")} <= {*shares} <= expected or len(shares) != len(document["shares"]):
        yield "shares are missing, doubled, or of a category without results"
    for (category, by), share in shares.items():
        drawn = [one for one in tested if category in ("all", one["category"])]
        frame = [row for row in rows if category in ("all", row[CATEGORY])]
        column = {"listings": None, "units": UNITS, "value": VALUE}[by]
        sizes = [1.0 if column is None else float(row[column]) for row in frame]
        field = {"listings": None, "units": "units", "value": "value_minor"}[by]
        counts = (len(drawn), sum(results[one["listing"]] == "failed" for one in drawn))
        if (share["tested"], share["fakes"]) != counts:
            yield f"{category} by {by}: {counts[0]} are tested and {counts[1]} of them fakes"
        weights = _compute_weights(drawn, frame, sizes, [1.0 if field is None else float(one[field]) for one in drawn])
        yield from _check_interval(f"{category} by {by}", share, drawn, weights, results, document["test"])


def _compute_weights(
    drawn: Sequence[Any], frame: Sequence[Row], sizes: Sequence[float], drawn_sizes: Sequence[float]
) -> list[tuple[tuple[str, ...], float]]:
    """Return each result's stratum, and its weight in the share."""
    categories: list[tuple[str, ...]] = [(name,) for name in sorted({row[CATEGORY] for row in frame})]
    groups = [(sum(one["category"] in names for one in drawn), names) for names in categories]
    while len(groups) > 1 and min(groups)[0] < LEAST_RESULTS:
        groups.sort(key=lambda group: (group[0], list(group[1])))
        small, next_small, *others = groups
        groups = [(small[0] + next_small[0], tuple(sorted(small[1] + next_small[1]))), *others]
    whole = math.fsum(sizes)
    weights = []
    for one, size in zip(drawn, drawn_sizes, strict=True):
        names = next(names for _, names in groups if one["category"] in names)
        share = math.fsum(s for row, s in zip(frame, sizes, strict=True) if row[CATEGORY] in names) / whole
        expanded = math.fsum(
            s / other["probability_ppb"]
            for other, s in zip(drawn, drawn_sizes, strict=True)
            if other["category"] in names
        )
        weights.append((names, share * size / one["probability_ppb"] / expanded))
    return weights


def _check_interval(
    where: str, share: Any, drawn: Sequence[Any], weights: Any, results: Any, test: Any
) -> Iterator[str]:
    fakes = [results[one["listing"]] == "failed" for one in drawn]
    strata: dict[Any, list[int]] = {}
    for index, (names, _) in enumerate(weights):
        strata.setdefault(names, []).append(index)
    value = math.fsum(weight for (_, weight), fake in zip(weights, fakes, strict=True) if fake)
    unseen = [
        (1 - one["probability_ppb"] / BILLION) * weight**2 for one, (_, weight) in zip(drawn, weights, strict=True)
    ]
    mean, of_fakes = math.fsum(unseen), math.fsum(one for one, fake in zip(unseen, fakes, strict=True) if fake)
    added = (of_fakes + MEAN_FAKES * mean**2) / (value + MEAN_FAKES * mean) if value + mean else 0.0
    variance = 0.0
    for places in strata.values():
        of_stratum = math.fsum(weights[index][1] for index in places)
        mean = math.fsum(weights[index][1] for index in places if fakes[index]) / of_stratum if of_stratum else 0.0
        factor = len(places) / (len(places) - 1) if len(places) > 1 else 1.0
        variance += factor * math.fsum(unseen[index] * (fakes[index] - mean) ** 2 for index in places)
    middle = (value + added / 2) / (1 + added)
    variance += added * (value - middle) ** 2 + added**2 * (middle**2 + (1 - middle) ** 2) / 2
    variance /= (1 + added) ** 2

    def correct(observed: float) -> float:
        better = float(test["sensitivity"] + test["specificity"] - 1)
        return min(max((observed + float(test["specificity"]) - 1) / better, 0.0), 1.0)

    if abs(correct(value) - share["value"]) > CLOSE:
        yield f"{where}: the share is {correct(value):.6f}, and the file says {share['value']:.6f}"
    low = high = value
    if variance >= LEAST_VARIANCE:
        rows = middle * (1 - middle) / variance
        low, high = (_find_beta_quantile(rows * middle, rows * (1 - middle), at) for at in (0.025, 0.975))
        low, high = low if value > 0 else 0.0, high if value < 1 else 1.0
    for name, end in (("low", low), ("high", high)):
        if abs(correct(end) - share[name]) > CLOSE:
            yield f"{where}: the {name} end is {correct(end):.6f}, and the file says {share[name]:.6f}"


def _find_beta_quantile(a: float, b: float, probability: float) -> float:
    low, high = 0.0, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if _beta_below(a, b, middle) < probability else (low, middle)
    return (low + high) / 2


def _beta_below(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function, by its continued fraction (Lentz)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_below(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    fraction = d
    for m in range(1, 100_000):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / ((1 + factor * d) or tiny)
            c = (1 + factor / c) or tiny
            fraction *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * fraction
