"""The champion is judged as it is served: by its own features, its own context and its own reference exposure."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from scoring.artifact import Artifact, load
from scoring.features import at_reference
from tests.training.ledgers import STUDIES, exported, market_ledger, train
from training.export import LedgerTable
from training.pipeline import Trained
from training.pipeline.comparing import as_study_of
from training.snapshots import snapshot
from training.study import ContextSource, Study, load_study

Floats = NDArray[np.float64]
WATCHED = ContextSource("watched", "detections_per_month", 0.0)
HELD = ContextSource("held", "measures_in_force", 0.0)


@pytest.fixture(scope="module")
def study() -> Study:
    return replace(load_study(STUDIES / "marketplace.toml"), rounds=20)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> LedgerTable:
    folder = tmp_path_factory.mktemp("market")
    with market_ledger(folder, 1000) as ledger:
        return exported(ledger, "demo", folder)


@pytest.fixture(scope="module")
def plain(table: LedgerTable, study: Study) -> Artifact:
    """A champion that knows no context."""
    return load(train(table, study).parts)


def knowing(study: Study, *context: ContextSource) -> Study:
    """The study with context."""
    return replace(study, context=context, features=(*study.features, *(f for c in context for f in c.features)))


def as_served(trained: Trained, champion: Artifact, table: LedgerTable, study: Study) -> Floats:
    """The champion's log-odds of the test rows by hand, each over its own exposure: `study` is the champion's own."""
    (point,) = study.observations(table.as_of)[1]
    rows = snapshot(table, study, point)
    assert rows.seller.tolist() == trained.test.seller.tolist()
    raw = champion.raw_score(at_reference(rows.x, champion.features))
    own = np.log(np.maximum(rows.window_orders, 1.0) / champion.manifest["reference_exposure"])
    return np.asarray(champion.scale.p_intercept + champion.scale.p_slope * raw + own)


def test_context_can_be_introduced_where_the_champion_knows_none(
    table: LedgerTable, study: Study, plain: Artifact
) -> None:
    """It is compared by what it reads; its level alone can be fitted anew, too."""
    more = knowing(study, WATCHED)
    trained = train(table, more, champion=plain)
    assert trained.test_scores["champion"] == pytest.approx(as_served(trained, plain, table, study))
    again = train(table, as_study_of(more, plain), champion=plain, recalibrate=True)
    assert again.parts["model.txt"] == plain.parts["model.txt"]


def test_a_champion_that_knows_context_is_judged_at_its_reference(table: LedgerTable, study: Study) -> None:
    """Also beside a candidate with other features: nobody is judged by who looked."""
    theirs = knowing(study, WATCHED)
    champion = load(train(table, theirs).parts)
    both = knowing(replace(study, features=study.features[10:]), WATCHED, HELD)
    assert as_study_of(both, champion).context == (WATCHED,)
    trained = train(table, both, champion=champion)
    assert trained.test_scores["champion"] == pytest.approx(as_served(trained, champion, table, theirs))


def test_a_champion_of_another_reference_exposure_is_judged_by_its_own(
    table: LedgerTable, study: Study, plain: Artifact
) -> None:
    """Else its log-loss would be worse by nothing but the other unit, and the gate would pass whatever comes."""
    trained = train(table, replace(study, reference_exposure=20.0), champion=plain)
    assert study.reference_exposure != 20.0
    assert trained.test_scores["champion"] == pytest.approx(as_served(trained, plain, table, study))
    models = trained.evaluation["models"]
    assert models["champion"]["log_loss"]["value"] == pytest.approx(models["lightgbm"]["log_loss"]["value"], rel=0.05)
