"""Links between sellers (`tests.bench._rings`), and the share of fakes by a sample of test buys.

`coverage.PREVALENCE.BUDGET`: percent of `repetitions` draws whose 95 % interval holds the frame's own share of fakes,
by listings; `coverage_value.*`: by value. `halfwidth_over_srs.*`: its mean half-width over Jeffreys' interval from a
simple random sample of the same budget. `export.accepted`: of `export.tampered` values, those that the check missed.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from scipy.special import betaincinv

from scoring.base.canonical import JsonObject, canonical_json
from scoring.base.enums import Source
from scoring.base.version import CORE_VERSION
from scoring.sampling.independent import check_sample
from scoring.sampling.sample import (
    PPB,
    PPM,
    ErrorsOfTest,
    Frame,
    Unit,
    describe_estimate,
    describe_plan,
    draw_along,
    draw_plan,
    estimate_shares,
    find_interval,
    find_probabilities,
    make_frame,
    weigh_results,
)
from scoring.scores.answer import Stamp
from service.call_context import Approval
from service.contract.case_export import (
    CaseContent,
    CaseExport,
    describe_case,
    find_faults,
    list_curve_times,
    signed_bytes,
)
from service.contract.network import network_message
from tests.bench._rings import measure_large, measure_rings, open_market
from tests.helpers.builders import MARKET, NOW, confirmed, link

Say = Callable[[str], None]
REPETITIONS = 10_000
LISTINGS = 20_000
CASES = ((0.001, 2_000), (0.001, 5_000), (0.01, 500), (0.01, 2_000), (0.1, 500), (0.37, 300))
"""Share of fakes in the frame, and budget."""
SPREAD, NOISE = 1.5, 0.7
"""Standard deviations, in log-odds: of the listings' risks, and of the error of what is expected of them."""


def run(say: Say, only: str = "") -> dict[str, float]:
    figures: dict[str, float] = {"repetitions": REPETITIONS}
    for name, measure in PARTS.items():
        found = measure() if only in ("", name) else {}
        for key, value in found.items():
            say(f"{key}: {value:,}")
        figures |= found
    return figures


def try_case(case: tuple[float, int], repetitions: int = REPETITIONS) -> dict[str, float]:
    prevalence, budget = case
    frame, fake = build_frame(prevalence)
    truth, value = fake.mean(), np.array([unit.value_minor for unit in frame.units], dtype=np.float64)
    truth_by_value = value @ fake / value.sum()
    chances = find_probabilities(frame.units, budget)
    chance, rng = np.array(chances) / PPB, np.random.default_rng(51)
    held, held_by_value, widths = 0, 0, []
    for _ in range(repetitions):
        places = draw_along(rng.permutation(LISTINGS), int(rng.integers(PPB)), np.array(chances))
        low, high = interval_of(fake, chance, np.ones(LISTINGS), places)
        held += bool(low <= truth <= high)
        widths.append((high - low) / 2)
        low, high = interval_of(fake, chance, value, places)
        held_by_value += bool(low <= truth_by_value <= high)
    figures = {
        "coverage": round(100 * held / repetitions, 2),
        "coverage_value": round(100 * held_by_value / repetitions, 2),
        "halfwidth_over_srs": round(float(np.mean(widths)) / srs_halfwidth(float(truth), budget), 3),
    }
    return {f"{name}.{prevalence:g}.{budget}": value for name, value in figures.items()}


class Interval(NamedTuple):
    low: float
    high: float


def interval_of(fake: np.ndarray, chance: np.ndarray, size: np.ndarray, places: np.ndarray) -> Interval:
    stratum = np.zeros(len(places), dtype=np.int64)
    weight = weigh_results(size[places] / chance[places], stratum, np.array([size.sum()]))
    assert weight is not None
    return Interval(*find_interval(fake[places], chance[places], weight, stratum)[1:])


def srs_halfwidth(share: float, budget: int) -> float:
    found = np.random.default_rng(1).hypergeometric(
        round(share * LISTINGS), LISTINGS - round(share * LISTINGS), budget, 2_000
    )
    ends = [betaincinv(found + 0.5, budget - found + 0.5, q) for q in (0.025, 0.975)]
    return float(np.mean(ends[1] - np.where(found > 0, ends[0], 0)) / 2)


def build_frame(prevalence: float, listings: int = LISTINGS, seed: int = 2_014) -> tuple[Frame, np.ndarray]:
    rng = np.random.default_rng([seed, round(prevalence * PPM)])
    risk = SPREAD * rng.normal(size=listings)
    level = min(np.linspace(-14, 4, 2_000), key=lambda at: abs((1 / (1 + np.exp(-(at + risk)))).mean() - prevalence))
    fake = (rng.random(listings) < 1 / (1 + np.exp(-(level + risk)))).astype(np.float64)
    expected = 1 / (1 + np.exp(-(level + risk + NOISE * rng.normal(size=listings))))
    units, price = rng.lognormal(2, 1, listings), rng.lognormal(7, 0.8, listings)
    rows = zip(units.round().tolist(), (units * price).round().tolist(), (expected * PPM).round().tolist(), strict=True)
    named = [
        Unit(f"l-{place:05}", "s", "", int(sold), int(value), int(ppm)) for place, (sold, value, ppm) in enumerate(rows)
    ]
    return make_frame(named), fake


def tamper() -> dict[str, float]:
    found = [tamper_estimate(), tamper_case()]
    return {name: sum(one[name] for one in found) for name in found[0]}


def tamper_estimate() -> dict[str, float]:
    """Count what the independent check accepts of changed values; `format` proves nothing."""
    frame, fake = build_frame(0.1, 400)
    plan = draw_plan(frame, "seed", 80)
    is_fake = {unit.listing: bool(one) for unit, one in zip(frame.units, fake, strict=True)}
    errors = ErrorsOfTest(0.98, 0.99)
    found = {one.unit.listing: is_fake[one.unit.listing] for one in plan.drawn[:-3]}
    document = describe_estimate(describe_plan(plan), found, errors, estimate_shares(plan, found, errors))
    rows = [(u.listing, u.seller, u.category, u.units, u.value_minor, u.expected_ppm) for u in frame.units]
    assert not check_sample(document, rows)
    changed = [*list_changes(document)]
    return {
        "export.tampered": len(changed),
        "export.accepted": sum(not check_sample(one, rows) for one in changed),
    }


def tamper_case() -> dict[str, float]:
    """Count what the check of a signed case accepts of changed values."""
    case = CaseExport(MARKET, ("bad",), Source.CUSTOMS, "customs law", "officer", "asked")
    with open_market() as market:
        market.append(link("l1", "bad", "iban"), link("l2", "bad", "", other="honest"), confirmed("v1", "bad"))
        ledger, cut = market.ledger, market.ledger.cut()
        entries = ledger.entries.list(MARKET, cut, sellers=case.sellers)
        violations, _ = ledger.violations.list(MARKET, cut, sellers=case.sellers)
        around = ledger.links.find_surroundings(MARKET, case.sellers, cut, 1)
        content = CaseContent(
            entries,
            violations,
            ledger.seals.prove([entry.sequence for entry in entries]),
            network_message(MARKET, "", around._replace(steps=dict.fromkeys(case.sellers, 1)), ()),
            {name: [(time, 500) for time in list_curve_times(NOW)] for name in case.sellers},
            Stamp(NOW, cut.known_time, cut.sequence, "", "", CORE_VERSION),
        )
        described = describe_case(case, content, Approval("p-1", author="a", approvers=("b",)), NOW)
    key, bundle = Ed25519PrivateKey.generate(), canonical_json(described)
    signed = (key.sign(signed_bytes(bundle)).hex(), key.public_key().public_bytes_raw().hex())
    assert not find_faults(bundle, *signed)
    changed = [canonical_json(one) for one in list_changes(described)]
    return {
        "export.tampered": len(changed),
        "export.accepted": sum(not find_faults(one, *signed) for one in changed),
    }


def list_changes(document: JsonObject) -> Iterator[JsonObject]:
    for path in list_paths(document):
        changed = deepcopy(document)
        part = changed
        for key in path[:-1]:
            part = part[key]
        value = part[path[-1]]
        part[path[-1]] = (
            value + {str: "x", int: 1, float: 0.001, bool: 1}[type(value)] if value != "failed" else "passed"
        )
        if path[-1] != "format":
            yield changed


def list_paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from list_paths(part, (*path, key))
    if not isinstance(value, dict | list):
        yield path


PARTS: dict[str, Callable[[], dict[str, float]]] = {
    "rings": measure_rings,
    "large": measure_large,
    "tamper": tamper,
    **{f"coverage.{prevalence:g}.{budget}": partial(try_case, (prevalence, budget)) for prevalence, budget in CASES},
}
