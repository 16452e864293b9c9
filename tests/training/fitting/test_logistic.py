from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.curve_rows import CHOSEN, rows_of
from tests.helpers.training_ledgers import STUDIES, restated
from training.fitting.additive import log1p
from training.fitting.logistic import Logistic, fit_logistic
from training.study.loading import load_study

STUDY = replace(load_study(STUDIES / "marketplace.toml"), features=CHOSEN)


def test_the_worked_numbers() -> None:
    bad, ones = np.array([0.0, 1.0]), np.ones(2)
    assert fit_logistic(np.ones((2, 1)), bad, ones, ones).beta == pytest.approx([-1.0], abs=1e-9)
    assert log1p(np.array([0.0, 9.0, -9.0])) == pytest.approx([0.0, 2.302585, -2.302585])


def test_the_weights_are_where_the_penalised_loss_is_least() -> None:
    rng = np.random.default_rng(3)
    design = np.column_stack([np.ones(2000), rng.normal(0, 1, (2000, 2))])
    start, weight = rng.normal(0, 0.5, 2000), rng.integers(1, 4, 2000).astype(float)
    bad = (rng.random(2000) < 1 / (1 + np.exp(1 - design[:, 1] - start))).astype(float)
    beta = fit_logistic(design, bad, start, weight).beta

    def loss(beta: np.ndarray) -> float:
        z = start + design @ beta
        return float(weight @ (np.logaddexp(0, z) - bad * z) + 5 * (beta[1:] ** 2).sum())

    for k in range(3):
        for move in (-1e-3, 1e-3):
            assert loss(beta + move * np.eye(3)[k]) > loss(beta)
    assert beta == pytest.approx([-1, 1, 0], abs=0.15)


def test_own_exposure_is_beside_what_is_fitted() -> None:
    rows = rows_of()
    rng = np.random.default_rng(9)
    sold = np.exp(rng.normal(4, 1.5, len(rows.bad)))
    study = restated(STUDY, exposure={"reference_orders": 100.0})
    own = np.log(np.maximum(sold, 1) / 100)
    bad = (rng.random(len(sold)) < 1 / (1 + np.exp(2.5 - own))).astype(float)
    rows = replace(rows, bad=bad, window_orders=sold)
    fitted = Logistic(rows, study)
    found = fitted.served(rows)
    assert found == pytest.approx(fitted.served(replace(rows, window_orders=np.ones(len(sold)))))
    assert np.average(1 / (1 + np.exp(-found - own))) == pytest.approx(bad.mean(), rel=1e-3)
    assert found.mean() == pytest.approx(-2.5, abs=0.3)


def test_a_seller_far_out_does_not_lead_it() -> None:
    rows = rows_of()
    x = rows.x.copy()
    x[0] = 1e6
    found = Logistic(replace(rows, x=x), restated(STUDY, exposure={"reference_orders": None})).served(
        replace(rows, x=x)
    )
    assert np.abs(found).max() < 50


def test_a_nearly_constant_column_says_nothing_far_out() -> None:
    rows, study = rows_of(), restated(STUDY, exposure={"reference_orders": None})
    x = rows.x.copy()
    x[:, 0] = 1 + 1e-6 * np.arange(len(x)) / len(x)
    fitted = Logistic(replace(rows, x=x), study)
    far = x.copy()
    far[:, 0] = 5.0
    assert fitted.served(replace(rows, x=far)) == pytest.approx(fitted.served(replace(rows, x=x)))
    far[:, 1:] *= 1000
    assert np.abs(fitted.served(replace(rows, x=far))).max() < 20


def test_the_penalty_is_chosen_on_sellers_left_out() -> None:
    rows, study = rows_of(), restated(STUDY, exposure={"reference_orders": None})
    rng = np.random.default_rng(5)
    few = rows.take(np.arange(400))
    noise = replace(few, x=rng.normal(0, 1, few.x.shape) ** 2, bad=(rng.random(400) < 0.1).astype(float))
    spread = np.ptp(Logistic(noise, study).served(noise))
    strong = replace(noise, bad=(noise.x[:, 0] > 1.5).astype(float))
    assert spread < 1 < np.ptp(Logistic(strong, study).served(strong))


def test_a_row_counts_in_the_logistic_regression_by_its_weight() -> None:
    rows = rows_of()
    rows = replace(rows, weight=np.where(rows.bad > 0, 3.0, 1.0))
    p = 1 / (1 + np.exp(-Logistic(rows, restated(STUDY, exposure={"reference_orders": None})).served(rows)))
    assert rows.weight @ rows.bad / (rows.weight @ p) == pytest.approx(1, abs=1e-3)
