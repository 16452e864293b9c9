from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from scipy.special import gammaincinv

from scoring.base.canonical import canonical_json
from scoring.base.enums import ScoreState, Severity
from scoring.base.errors import ArtifactRefused
from scoring.features.columns import FactRow
from scoring.features.facts import Facts
from scoring.features.findings import Findings
from scoring.features.fold import FLOOR_PLACES, FLOORS, Sums
from scoring.features.table import matrix
from scoring.features.violations import Violations
from scoring.model.artifact import MANIFEST, load
from scoring.model.interval import LONGEST, Prior, append_ends, gamma_interval
from tests.helpers.answers import score, score_one
from tests.helpers.histories import COUNTING
from tests.helpers.limits import Limit
from tests.helpers.worlds import (
    ALL_FEATURES,
    CONSTANTS,
    NOW,
    TODAY,
    artifact,
    exposure,
    facts_of,
    numbered,
    policy,
    sellers,
    violation,
)
from training.fitting.prior import find_prior, fit_gamma

SHAPE, ORDERS = 0.4, 400.0  # hazards: Gamma, mean 1 incident in 1,000 orders, the worst twentieth more than 4
FAILING = (2.0, 100.0)
SIZES = {"thin": (30, 300), "medium": (300, 3_000), "thick": (3_000, 30_000)}


@dataclass(frozen=True)
class Market:
    facts: Facts
    hazard: np.ndarray
    failing: np.ndarray
    mix: np.ndarray  # the mass of one incident by series, as in `Prior.mix`


def market(n: int, orders: tuple[int, int], seed: int) -> Market:
    rng = np.random.default_rng(seed)
    hazard = rng.gamma(SHAPE, 1 / ORDERS, n)
    failing = rng.gamma(FAILING[0], 1 / FAILING[1], n)
    weeks = rng.integers(60, 1500, n) // 7
    sold = np.exp(rng.uniform(np.log(orders[0]), np.log(orders[1]), n))
    case = np.repeat(np.arange(n), weeks)
    week = np.arange(len(case)) - np.repeat(np.cumsum(weeks) - weeks, weeks)
    count = rng.poisson(np.repeat(sold / weeks, weeks))
    caught = rng.poisson(count * hazard[case])
    guilty, day = np.repeat(case, caught), np.repeat(TODAY - 1 - 7 * week, caught)
    found = len(guilty)
    severities = rng.choice(4, found, p=(0.4, 0.3, 0.2, 0.1)) + 1
    violations = Violations(
        guilty, day, rng.integers(1, 5, found), severities, np.arange(found), *np.zeros((2, found), dtype=np.int64)
    )
    nothing = np.zeros(n, dtype=np.int64)
    facts = Facts(
        cases=n, observe_day=np.full(n, TODAY), violations=violations, exposure_case=case,
        exposure_day=TODAY - 1 - 7 * week, exposure_product=np.zeros_like(case),
        exposure_row=np.arange(len(case)), exposure_orders=count,
        exposure_failures=rng.poisson(count * failing[case]),
        findings=Findings(*[nothing[:0]] * 4),
        start_day=TODAY - 7 * weeks, first_fact_day=TODAY - 7 * weeks, level=nothing + 3,
        identity_row=nothing - 1, exists=nothing == 0,
        allegations=nothing, override=nothing, override_row=nothing - 1, override_until=nothing,
    )  # fmt: skip
    weight = float(np.dot([CONSTANTS.severity_weights[s] for s in Severity], (0.4, 0.3, 0.2, 0.1)))
    mix = np.array([*([weight / 4] * 4), *([0.0] * 4), weight, 0.6, 0.3])
    return Market(facts, hazard, failing, mix)


def at_true_rates(made: Market, sums: Sums) -> Sums:
    _, recent = artifact().folder.effective_size_terms(made.facts, sums.cases)
    rates = np.stack([*(made.hazard * share for share in made.mix), made.hazard, made.failing])
    return replace(
        sums,
        series=rates * sums.orders[:, None],
        ever=rates[[FLOOR_PLACES[floor] for floor in FLOORS]] * sums.total_orders,
        total_failures=made.failing * sums.total_orders,
        recent=made.hazard * recent,
    )


def interval(made: Market, prior: Prior) -> np.ndarray:
    model, n = artifact(), made.facts.cases
    sums = model.folder.fold(made.facts)
    ended = model.points(matrix(append_ends(sums, made.facts, n, prior, model.folder), ALL_FEATURES))
    return np.stack([model.points(matrix(at_true_rates(made, sums), ALL_FEATURES)), *ended.reshape(3, n)])


def fitted(seed: int = 1) -> Prior:
    facts = market(4000, (30, 30_000), seed).facts
    return find_prior(facts, artifact().folder.fold(facts), CONSTANTS)


def covered(made: Market, prior: Prior) -> tuple[float, float]:
    true, points, low, high = interval(made, prior)
    assert ((low <= points) & (points <= high)).all()
    return float(np.mean((low <= true) & (true <= high))), float(np.mean(high - low))


def test_a_prior_is_fitted_on_no_more_sellers_than_promised(limit: Limit) -> None:
    facts = market(300, (300, 3_000), 1).facts
    sums = artifact().folder.fold(facts)
    every_second = replace(sums, orders=np.where(np.arange(300) % 2, 0, sums.orders))
    limit("training.fitting.prior", MAX_SELLERS=200)
    assert find_prior(facts, sums, CONSTANTS) == find_prior(facts, every_second, CONSTANTS)


@pytest.mark.long
def test_the_interval_covers_the_points_at_the_true_rates() -> None:
    found = [covered(market(4000, orders, 10 + i), fitted()) for i, orders in enumerate(SIZES.values())]
    assert all(0.90 <= share <= 0.985 for share, _ in found), found
    assert found[2][1] < found[1][1]


def test_a_known_sellers_interval_narrows_as_it_goes_on() -> None:
    widths = []
    for times in (1, 10, 100):
        rows = [exposure(f"x{d}", TODAY - d, 2 * times) for d in range(1, 51)]
        rows += [violation(f"v{i}", TODAY - 1 - i % 50, severity=2) for i in range(times)]
        found = score_one(rows)
        widths.append(found.points_high - found.points_low)
    assert widths[0] > widths[1] > widths[2]


@COUNTING
@given(sellers())
def test_points_lie_in_their_interval_and_only_rated_have_one(rows: list[FactRow]) -> None:
    found = score_one(rows)
    if found.state is ScoreState.RATED:
        assert 0 <= found.points_low <= found.points <= found.points_high <= 1000
    else:
        assert (found.points_low, found.points_high) == (None, None)


def test_a_clean_thin_file_may_be_worse_than_a_thick_one() -> None:
    thin, thick = (score_one([exposure(f"x{d}", TODAY - d, orders) for d in range(1, 41)]) for orders in (1, 1000))
    assert thin.points_low < thin.points
    assert thin.points - thin.points_low > thick.points - thick.points_low


def test_the_worked_end() -> None:
    facts = facts_of([exposure("x", TODAY - 1, 100)])
    facts = replace(facts, exposure_day=facts.observe_day)
    model, prior = artifact(), Prior((0.5, 50.0), (0.5, 50.0), artifact().prior.mix, 20.5)
    sums = append_ends(model.folder.fold(facts), facts, 1, prior, model.folder)
    assert sums.decayed(FLOOR_PLACES[Severity.MINOR], LONGEST).tolist() == pytest.approx([0, 1.92073 / 150 * 100, 0])
    assert sums.ever[0].tolist() == pytest.approx([0, 1.2805, 0], abs=1e-4)


def test_the_quantiles_are_those_of_the_gamma() -> None:
    k = np.geomspace(0.1, 10_000, 5000)
    low, high = gamma_interval(k)
    assert np.abs(high / gammaincinv(k, 0.95) - 1).max() < 0.01
    assert (low <= gammaincinv(k, 0.05) * (1 + 1e-4)).all()
    assert np.abs(low / gammaincinv(k, 0.05) - 1)[k >= 2].max() < 0.03
    assert [float(end) for end in gamma_interval(np.array(0.0))] == [0.0, 0.0]


def test_the_likeliest_prior_is_the_sellers_own() -> None:
    rng = np.random.default_rng(1)
    orders = np.full(20_000, 500.0)
    events = rng.poisson(rng.gamma(0.3, 1 / 100, 20_000) * orders).astype(float)
    assert fit_gamma(events, orders) == pytest.approx((0.3, 100.0), rel=0.05)
    assert fit_gamma(0 * events, orders) is None


def repinned(prior: dict[str, object]) -> dict[str, bytes]:
    parts = dict(artifact().parts)
    return {**parts, MANIFEST: canonical_json({**artifact().manifest, "prior": prior})}


PINNED = {"incidents": [0.4, 400.0], "failures": [2.0, 100.0], "mix": [1.0] * 8 + [8.0, 0.6, 0.3], "grain": 16.0}


def test_a_pinned_prior_moves_the_interval_and_nothing_else() -> None:
    model = load(repinned(PINNED))
    rows = numbered([exposure(f"x{d}", TODAY - d, 2) for d in range(1, 41)])
    by_default = score_one(rows)
    pinned = score(rows, ["s"], NOW, model, policy())[0]
    assert pinned.points_low > by_default.points_low
    assert replace(pinned, points_low=0, points_high=0) == replace(by_default, points_low=0, points_high=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("incidents", [0.0, 50.0]),
        ("incidents", [0.5]),
        ("failures", [0.5, 1e300]),
        ("mix", [1.0] * 10),
        ("mix", [-1.0] * 11),
        ("grain", 0.5),
        ("grain", "coarse"),
        ("mix", {"none": 1.0}),
    ],
)
def test_a_prior_without_a_finite_interval_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ArtifactRefused, match=name):
        load(repinned({**PINNED, name: value}))
