"""The price of each promise is measured apart, and a model that gives one up says so wherever somebody may look."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from scoring.model.artifact import load
from scoring.model.promises import PROMISES, free_direction
from tests.training.fitting.test_ensemble import CHOSEN, rows_of
from tests.training.ledgers import STUDIES, restated, train
from training.fitting.fit import fit_lightgbm
from training.observation.export import LedgerTable
from training.observation.snapshots import Snapshot
from training.pipeline.price import price_promises
from training.study.definition import Study
from training.study.loading import load_study


@pytest.fixture(scope="module")
def counting() -> Study:
    """A study that counts, of three features."""
    return restated(
        load_study(STUDIES / "marketplace.toml"),
        model={"rounds": 40},
        exposure={"reference_orders": None},
        features=CHOSEN,
    )


def rows(seed: int) -> Snapshot:
    """Bad rises with incidents, as every direction has it, and with exposure, which one forbids."""
    rng = np.random.default_rng(seed)
    made = rows_of()
    bad = rng.random(len(made.bad)) < 1 / (1 + np.exp(2.5 - made.x[:, 0] - 2.5 * (made.x[:, 2] - 0.5)))
    return replace(made, bad=bad.astype(float))


def test_the_price_is_told_of_the_promise_that_costs_and_of_no_other(counting: Study) -> None:
    """What the direction of exposure costs is not put on violations. Once it is freed, the price is what fixing it would
    cost, and not kept.
    """
    train_rows, test = rows(1), rows(2)

    def priced(study: Study) -> dict[str, dict[str, Any]]:
        raw = np.asarray(fit_lightgbm(train_rows, study).predict(test.x, raw_score=True, num_threads=1))
        return {str(row["promise"]).partition(":")[0]: row for row in price_promises(study, train_rows, test, raw)}

    fixed = priced(counting)
    violations, orders = fixed[PROMISES[0].text], fixed["clean orders never lower points"]
    assert violations["difference"]["low"] > -0.02
    assert orders["difference"]["high"] < -0.01
    assert violations["kept"]
    assert orders["kept"]
    assert "a higher level of identity never lowers points" not in fixed
    features = tuple(free_direction(f) if f.key == "exposure@1" else f for f in CHOSEN)
    free = priced(replace(counting, features=features))["clean orders never lower points"]
    assert not free["kept"]
    assert free["free"]["value"] == pytest.approx(orders["free"]["value"])
    assert free["fixed"]["value"] == pytest.approx(orders["fixed"]["value"])


def test_a_price_is_between_models_of_the_same_rows(counting: Study) -> None:
    """Where the candidate learned from others, the model that keeps all promises is fitted on these rows too."""
    train_rows, test = rows(1), rows(2)
    raw = np.asarray(fit_lightgbm(train_rows, counting).predict(test.x, raw_score=True, num_threads=1))
    assert price_promises(counting, train_rows, test) == price_promises(counting, train_rows, test, raw)


def test_a_recalibration_prices_its_promises_by_models_of_its_own_rows(table: LedgerTable) -> None:
    """And not by the champion's trees, which learned from other rows, or by other parameters."""
    study = restated(load_study(STUDIES / "marketplace.toml"), model={"rounds": 20})
    plain, other = train(table, study), train(table, restated(study, model={"rounds": 5}))
    again = train(
        table,
        study.with_exposure_slope(load(plain.parts).exposure_slope),
        recalibrate=True,
        champion=load(other.parts),
    )
    fixed = [[row["fixed"]["value"] for row in found.evaluation["price"]] for found in (plain, again)]
    assert fixed[0] == pytest.approx(fixed[1], abs=1e-3)
    assert again.evaluation["auc"]["lightgbm"]["value"] != pytest.approx(fixed[1][0], abs=1e-6)


def test_a_study_that_frees_exposure_makes_a_model_that_says_what_it_gave_up(table: LedgerTable) -> None:
    """In certificate, evaluation, the line of the step and the gate, which nobody can override."""
    study = restated(load_study(STUDIES / "marketplace.toml"), model={"rounds": 20})
    free = replace(study, features=tuple(free_direction(f) if f.key == "exposure@1" else f for f in study.features))
    trained = train(table, free)
    assert json.loads(trained.parts["certificate.json"])["promises"]["given_up"] == ["clean_orders"]
    assert trained.evaluation["certificate"]["promises"]["given_up"] == ["clean_orders"]
    assert "given up: clean orders never lower points" in trained.lines["certify"]
    (gate,) = (gate for gate in trained.gates["gates"] if gate["gate"] == "certificate")
    assert (gate["ok"], gate["number"], gate["overridable"]) == (False, 1, False)
    assert "gives up the promise that clean orders never lower points" in gate["text"]
    assert load(trained.parts).features == free.features
    told = {str(row["promise"]).partition(":")[0]: row["kept"] for row in trained.evaluation["price"]}
    assert told["clean orders never lower points"] is False
    assert told[PROMISES[0].text] is True
