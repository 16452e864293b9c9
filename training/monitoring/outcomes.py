import json
from dataclasses import replace

from scoring.base.arrays import Floats, Ints
from scoring.base.canonical import JsonObject
from scoring.base.errors import ConfigurationWrong
from scoring.base.frozen import frozen
from scoring.base.time import parse_day
from scoring.features.facts import Facts
from scoring.model.artifact import Artifact
from scoring.model.scale import Scale
from training.evaluation.arrays import sigmoid
from training.fitting.fit import exposure_offset
from training.observation.export import LedgerTable
from training.observation.snapshots import observe_known_outcomes
from training.study.definition import Study


@frozen
class DayOutcomes:
    """The sellers that a study observes on a day, with their outcomes. Arrays of shape (n,)."""

    day: int
    seller: Ints
    bad: Floats
    start: Floats
    """The part of each seller's own exposure."""
    weight: Floats

    def expected(self, artifact: Artifact, raw: Floats) -> Floats:
        """Return each seller's probability to be known as bad at the study's maturity, from raw scores."""
        return sigmoid(served_log_odds(artifact, raw) + self.start)


def at_maturity(scale: Scale, lift: float, raw: Floats) -> Floats:
    """Return the log-odds of being known as bad at the maturity over the reference exposure, shape (n,).

    A scale may be lifted to all that will ever be known.
    """
    return scale.log_odds(raw) - lift


def served_log_odds(artifact: Artifact, raw: Floats) -> Floats:
    """Return the log-odds, over the reference exposure, of being known as bad at the maturity of a model's own labels."""
    return at_maturity(artifact.scale, float(read_lineage(artifact).get("calibration_lift", 0.0)), raw)


def has_final_outcomes(table: LedgerTable, study: Study, day: int) -> bool:
    """Return whether the window of sellers observed on `day`, and its maturity, are over at the table's end."""
    return study.point_at(day).window_end + study.window.maturity_days <= table.end_day


def outcome(table: LedgerTable, study: Study, day: int, final: Facts) -> DayOutcomes:
    """Return the outcomes, by training's label, of the sellers observed on `day`, whose window must be mature."""
    observed = observe_known_outcomes(table, study, study.point_at(day), final)
    return DayOutcomes(day, observed.seller, observed.bad, exposure_offset(observed, study), observed.weight)


def adapt_study_to_model(study: Study, artifact: Artifact) -> Study:
    """Return `study_of_model`; ConfigurationWrong if reference exposures differ: a probability then means something
    else.
    """
    orders = artifact.manifest["reference_exposure"]
    if orders != study.exposure.reference_orders:
        raise ConfigurationWrong(
            f"model {artifact.digest[:12]} answers for a reference exposure of {orders} orders, the study {study.name}"
            f" for {study.exposure.reference_orders}; give the study that the model was trained by"
        )
    return study_of_model(study, artifact)


def study_of_model(study: Study, artifact: Artifact) -> Study:
    """Return the study with the model's features, constants, exposure slope, and only the context that it knows."""
    features = frozenset(artifact.features)
    context = tuple(source for source in study.context if features.issuperset(source.features))
    return replace(
        study,
        exposure=replace(study.exposure, slope=slope_of(artifact)),
        features=artifact.features,
        pairs=tuple(map(tuple, artifact.manifest["pairs"])),
        constants=artifact.folder.constants,
        context=context,
    )


def slope_of(artifact: Artifact) -> float:
    """Return the slope of log-odds in ln(orders) that the model was trained with; 1 if none is recorded."""
    slope = read_lineage(artifact).get("slope")
    return 1.0 if slope is None else float(slope)


def training_points(artifact: Artifact) -> list[tuple[int, int]]:
    """Return (observation day, day after its window) of the model's training points, in its lineage's order."""
    points: list[JsonObject] = read_lineage(artifact).get("train", [])
    return [(parse_day(point["observe"]), parse_day(point["window_end"])) for point in points]


def read_lineage(artifact: Artifact) -> JsonObject:
    """Return what training recorded of the model's origin; older models lack some keys."""
    return dict(json.loads(artifact.parts["lineage.json"]))
