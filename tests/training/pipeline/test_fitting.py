"""A model that helps nobody is told of where it is found out, with what would help."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scoring.errors import ConfigurationWrong
from tests.training.ledgers import POLICY, STUDIES, exported, market_ledger
from training.observation.snapshots import join
from training.pipeline.fitting import calibrate_fit, fit
from training.pipeline.job import Job
from training.pipeline.observing import Observed, observe
from training.pipeline.run import silent
from training.pipeline.steps import Step
from training.study.loading import load_study


def turned(observed: Observed) -> Observed:
    """With outcomes that turn at the latest training point: whoever was bad is good there."""
    *earlier, latest = observed.parts
    parts = [*earlier, replace(latest, bad=1 - latest.bad)]
    return replace(observed, parts=parts, rows=join(parts))


def test_a_calibration_that_makes_all_alike_is_said_with_what_would_help(tmp_path: Path) -> None:
    """Slope 0: in the calibrate step, and not by the artifact that would come of it two steps later."""
    study = replace(load_study(STUDIES / "marketplace.toml"), rounds=10)
    with market_ledger(tmp_path, 500) as ledger:
        job = Job(exported(ledger, "demo", tmp_path), study, POLICY)
    observed = observe(Step("1", silent), job)
    fitted = fit(Step("4", silent), job, observed)
    assert len(np.unique(fitted.raw(observed.rows.x))) > 10
    assert calibrate_fit(Step("6", silent), job, observed, fitted, 0.0).scale.p_slope > 0
    with pytest.raises(ConfigurationWrong, match=r"every seller has the same points .*; widen the bad definition"):
        calibrate_fit(Step("6", silent), job, turned(observed), fitted, 0.0)
