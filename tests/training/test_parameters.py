from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightgbm.basic import _ConfigAliases

from scoring.base.errors import ConfigurationWrong
from tests.helpers.training_ledgers import STUDIES, restated
from training.fitting.fit import fit_curves
from training.observation.snapshots import Snapshot
from training.study.loading import DEFAULTED, SET_BY_TRAINING, UNPROVABLE, load_study

STUDY = 'name = "s"\nmarketplace = "m"\n[window]\ndays = 90\n[bad]\nany = [{ harm = "high" }]\n[model]\n'


def test_every_name_of_what_training_sets_is_known() -> None:
    """A forgotten name would override a parameter that the certificate depends on."""
    for name in (*SET_BY_TRAINING, *UNPROVABLE, *DEFAULTED):
        assert name in _ConfigAliases._get_all_param_aliases()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("parameters = { n_estimators = 3 }", "may not set n_estimators: the certificate rests on .* are model.rounds"),
        ("parameters = { mc = [0] }", "may not set mc: the certificate"),
        ("parameters = { early_stopping_round = 5 }", "may not set early_stopping_round: .*; leave it out"),
        ('parameters = { forcedsplits_filename = "/etc/x" }', "may not set forcedsplits_filename"),
        ("parameters = { linear_trees = true, path_smooth = 1.0 }", "may not set linear_trees, path_smooth"),
        ("parameters = { eta = 0.1 }", "must write learning_rate for eta"),
        ('parameters = { boosting = "rf" }', "parameters.boosting may only be gbdt"),
        ("parameters = { lambda_l1 = { a = 1 } }", "model.parameters.lambda_l1 must be a number"),
        (
            "parameters = { learning_rat = 0.1 }",
            "learning_rat is no parameter of LightGBM; did you mean learning_rate?",
        ),
        ("rounds = 1000000000000", "model.rounds must be a whole number, 1 to 20,000"),
        ("rounds = 201\nseeds = 100", "model.rounds of all model.seeds together must be at most 20,000"),
    ],
)
def test_a_study_that_sets_what_it_may_not_is_refused(tmp_path: Path, model: str, message: str) -> None:
    file = tmp_path / "study.toml"
    file.write_text(STUDY + model)
    with pytest.raises(ConfigurationWrong, match=message):
        load_study(file)
    file.write_text(STUDY + 'rounds = 200\nseeds = 100\nparameters = { lambda_l1 = 1, boosting = "gbdt" }')
    assert load_study(file).model.rounds == 200


@pytest.mark.parametrize("parameters", [{"num_leaves": 1}, {"boosting": "rf", "bagging_freq": 0}])
def test_what_lightgbm_refuses_is_told_in_one_line(parameters: dict[str, Any]) -> None:
    study = restated(load_study(STUDIES / "marketplace.toml"), model={"parameters": parameters})
    rng = np.random.default_rng(1)
    arrays: dict[str, Any] = {name: np.ones(400) for name in Snapshot.__dataclass_fields__}
    arrays |= {"x": rng.normal(size=(400, len(study.features))), "bad": (rng.random(400) < 0.5).astype(float)}
    with pytest.raises(ConfigurationWrong) as caught:
        fit_curves(Snapshot(**arrays), study)
    said = caught.value.message
    assert said.startswith("model.parameters of the study cannot be used: ")
    assert not [part for part in ("/", "\n", ".cpp", ".hpp", "line ") if part in said], said
