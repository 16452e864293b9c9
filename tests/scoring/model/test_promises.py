import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from scoring.base.canonical import canonical_json
from scoring.base.errors import ArtifactRefused
from scoring.features.table import FEATURES, AnyFeature
from scoring.model.artifact import Artifact, load
from scoring.model.promises import FREEABLE, PROMISES, broken_promises, free_direction
from tests.helpers.worlds import ALL_FEATURES, artifact, certified, population
from tests.scoring.model.test_artifact import resealed, with_manifest


def without(*names: str) -> tuple[AnyFeature, ...]:
    return tuple(free_direction(f) if f in FEATURES.values() and f.name in names else f for f in ALL_FEATURES)


@cache
def giving_up() -> Artifact:
    return certified(*population(), without("exposure"), 60)


def test_a_certificate_names_the_promises_held_and_given_up() -> None:
    certificate = json.loads(giving_up().parts["certificate.json"])
    assert certificate["promises"] == {"held": ["violations", "waiting", "identity"], "given_up": ["clean_orders"]}
    assert certificate["directions"]["exposure@1"] == 0
    assert {"feature": "exposure@1", "direction": 0} in giving_up().manifest["features"]
    assert "promises" not in json.loads(artifact().parts["certificate.json"])
    assert [row for row in artifact().manifest["features"] if "direction" in row and "feature" in row] == []


@pytest.mark.parametrize(
    ("names", "lost"),
    [((), []), (("exposure",), ["clean_orders"]), (("tenure_days",), ["clean_orders", "waiting"])],
)
def test_what_is_given_up_follows_from_what_is_free(names: tuple[str, ...], lost: list[str]) -> None:
    assert [promise.name for promise in broken_promises(without(*names))] == lost
    kept = [feature for feature in without(*names) if not (feature.key.startswith(names) if names else False)]
    assert broken_promises(kept) == []
    assert {name for promise in PROMISES for name in promise.rests_on} >= FREEABLE.keys()


def test_a_model_that_frees_a_direction_is_read_back_as_it_is() -> None:
    feature = next(f for f in load(giving_up().parts).features if f.key == "exposure@1")
    assert feature == replace(FEATURES["exposure@1"], direction=0)


def stating(change: Callable[[dict[str, Any]], Any]) -> dict[str, bytes]:
    certificate = json.loads(giving_up().parts["certificate.json"])
    change(certificate)
    return resealed({**giving_up().parts, "certificate.json": canonical_json(certificate)})


@pytest.mark.parametrize(
    "change",
    [
        lambda certificate: certificate.pop("promises"),
        lambda certificate: certificate["promises"].update(given_up=[]),
        lambda certificate: certificate["promises"]["held"].append("clean_orders"),
    ],
)
def test_a_certificate_that_hides_what_was_given_up_is_refused(change: Callable[[dict[str, Any]], Any]) -> None:
    with pytest.raises(ArtifactRefused, match="the certificate of the artifact is not that of its model"):
        load(stating(change))


@pytest.mark.parametrize(
    "row",
    [
        {"feature": "incidents@1", "direction": 0},
        {"feature": "identity_level@1", "direction": 0},
        {"feature": "exposure@1", "direction": -1},
        {"feature": "exposure@1", "direction": False},
        {"feature": "exposure@1", "direction": 0, "attribute": "x"},
        {"feature": "exposure@99", "direction": 0},
    ],
)
def test_no_other_feature_can_be_freed(row: dict[str, object]) -> None:
    features = [row, *giving_up().manifest["features"][1:]]
    with pytest.raises(ArtifactRefused, match="frees feature"):
        load(with_manifest("features", features))
