import json
import re
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest

from scoring.base.canonical import JsonObject, canonical_json
from scoring.base.errors import ArtifactRefused
from scoring.features.table import FEATURES
from scoring.model.artifact import MANIFEST, PARTS, Artifact, load, verify
from scoring.model.page import Page, PointsTable, page_model_text
from scoring.model.promises import FREEABLE, PROMISES, broken_promises
from scoring.model.scale import Scale
from tests.helpers.models import giving_up, without
from tests.helpers.worlds import artifact


def parts() -> dict[str, bytes]:
    return dict(artifact().parts)


def resealed(changed: dict[str, bytes]) -> dict[str, bytes]:
    """Return the parts under a manifest with matching digests: a forgery, not damage."""
    manifest = json.loads(changed[MANIFEST])
    manifest["parts"] = {name: sha256(changed[name]).hexdigest() for name in PARTS}
    return {**changed, MANIFEST: canonical_json(manifest)}


def test_the_same_content_has_the_same_digest() -> None:
    assert load(parts()).digest == artifact().digest == sha256(parts()[MANIFEST]).hexdigest()


@pytest.mark.parametrize("name", PARTS)
def test_an_altered_part_is_refused_by_name(name: str) -> None:
    changed = parts()
    data = bytearray(changed[name])
    data[len(data) // 2] ^= 1
    with pytest.raises(ArtifactRefused, match=name):
        load({**changed, name: bytes(data)})


@pytest.mark.parametrize("name", [*PARTS, MANIFEST])
def test_a_missing_or_truncated_part_is_refused(name: str) -> None:
    rest = {key: value for key, value in parts().items() if key != name}
    with pytest.raises(ArtifactRefused):
        load(rest)
    with pytest.raises(ArtifactRefused):
        load({**rest, name: parts()[name][:-7]})


@pytest.mark.parametrize(("part", "key"), [("certificate", "trees"), ("golden", "points")])
def test_a_resealed_part_that_states_other_numbers_is_refused(part: str, key: str) -> None:
    stated = json.loads(parts()[f"{part}.json"])
    stated[key] = (np.array(stated[key]) + 1).tolist()
    with pytest.raises(ArtifactRefused, match=part):
        load(resealed({**parts(), f"{part}.json": canonical_json(stated)}))


def poisoned(page: Page, text: str = "") -> dict[str, bytes]:
    """Return a consistent artifact of another page: certificate, golden vectors and digests match."""
    forged = parts()
    made = text or page_model_text(page.tables, len(artifact().features))
    certificate = json.loads(forged["certificate.json"])
    certificate |= {"model_sha256": sha256(made.encode()).hexdigest(), "trees": len(page.tables), "rows": page.rows}
    golden = json.loads(forged["golden.json"])
    raw = page.raw_score(np.array(golden["inputs"]))
    golden |= {"raw_scores": raw.astype(int).tolist(), "points": Scale(page.base).points(raw).tolist()}
    changed = {
        "model.txt": made.encode(),
        "certificate.json": canonical_json(certificate),
        "golden.json": canonical_json(golden),
    }
    return resealed({**forged, **changed})


def with_table(number: int, change: Callable[[PointsTable], PointsTable]) -> Page:
    tables = list(artifact().page.tables)
    tables[number] = change(tables[number])
    return replace(artifact().page, tables=tuple(tables))


def test_a_forgery_of_the_page_as_it_is_loads() -> None:
    assert load(poisoned(artifact().page)).digest == artifact().digest
    assert load(poisoned(with_table(3, lambda table: replace(table, points=2 * table.points)))).digest


@pytest.mark.parametrize("number", [0, 7, -1])
def test_a_table_that_is_turned_round_is_refused(number: int) -> None:
    key = artifact().features[artifact().page.tables[number].features[0]].key
    page = with_table(number, lambda table: replace(table, points=table.points[::-1]))
    with pytest.raises(ArtifactRefused, match=f"the model is not monotone: the table of {key} moves"):
        load(poisoned(page))


def test_a_pair_that_the_study_does_not_name_is_refused() -> None:
    (first,), (second,) = (artifact().page.tables[number].features for number in (0, 1))
    points = np.array([[0, 0], [-3, -5]])
    pair = PointsTable((first, second), (np.array([0.5]), np.array([0.25])), points)
    page = replace(artifact().page, tables=(artifact().page.tables[0], pair, *artifact().page.tables[1:]))
    with pytest.raises(ArtifactRefused, match="tree 1 of the model uses two features that the artifact does not name"):
        load(poisoned(page))
    changed = poisoned(page)
    manifest = json.loads(changed[MANIFEST]) | {"pairs": [[first, second]]}
    assert load({**changed, MANIFEST: canonical_json(manifest)}).page.rows == page.rows


def test_leaves_that_are_no_whole_numbers_are_refused() -> None:
    text = parts()["model.txt"].decode()
    fraction = re.sub(r"leaf_value=(\d+)", r"leaf_value=\1.5", text, count=1)
    with pytest.raises(ArtifactRefused, match="which is no whole number of points"):
        load(poisoned(artifact().page, fraction))


def test_an_artifact_of_an_earlier_format_is_refused() -> None:
    with pytest.raises(ArtifactRefused, match="format 1; this release reads format 2: train the model again"):
        load(with_manifest("format", 1))


def test_a_model_that_lightgbm_holds_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # No text is known that LightGBM reads otherwise than the page.
    monkeypatch.setattr(Artifact, "raw_score", lambda own, x: own.page.raw_score(x) + 1)
    with pytest.raises(ArtifactRefused, match="LightGBM reads the model otherwise"):
        load(parts())


def with_manifest(place: str, value: object) -> dict[str, bytes]:
    changed = parts()
    manifest = json.loads(changed[MANIFEST])
    table, _, name = place.rpartition(".")
    (manifest[table] if table else manifest)[name] = value
    return {**changed, MANIFEST: json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *(
            (place, value)
            for place in ("base", "constants.exposure_scale", "constants.rate_damping")
            for value in (1e308, -1e308, 5e-324, -10.5, float("nan"), float("-inf"), True, "1", None, [], 10**400)
        ),
        ("constants.rate_damping", 0),
        ("constants.severity_weights", {"minor": 9, "moderate": 3, "major": 9, "critical": 27}),
        ("constants.severity_weights", {"minor": 1, "moderate": 3, "major": 9, "critical": 1 << 40}),
        *(("reference_exposure", value) for value in ("x", -1, 0, float("nan"), [], True, 10**400)),
        *(("base", value) for value in (600.0, 100_001)),
        *(("pairs", value) for value in (None, 7, [7])),
        *(("study", value) for value in ([1], None, "", "two\nlines", "turned \u202eround")),
        *(("format", value) for value in (True, 1.0, "1", None)),
        *(("core_version", value) for value in (1, None)),
    ],
)
def test_a_wrong_value_of_the_manifest_is_refused(place: str, value: object) -> None:
    with pytest.raises(ArtifactRefused):
        load(with_manifest(place, value))


@pytest.mark.parametrize(
    "stated",
    [
        *({"attribute": "age", "default": value} for value in (None, "x", 10**400, float("nan"), True, [])),
        *({"attribute": "age", "default": 0.0, "direction": value} for value in (0.5, 2, True, None, "1", -1.0)),
        *({"attribute": value, "default": 0.0} for value in ("", 7, None, "two\nlines")),
        *({"attribute": "age", "default": 0.0, "equals": value} for value in (7, True, ["a"])),
        *({"context": "method", "reference": value} for value in (None, "x", 10**400, float("nan"), True)),
        {"feature": 7},
        {"attribute": "age", "default": 0.0, "more": 1},
        7,
    ],
)
def test_a_feature_that_could_not_be_scored_does_not_load(stated: object) -> None:
    with pytest.raises(ArtifactRefused, match=r"feature|unsound"):
        verify(with_unread_feature(stated))


def test_a_feature_of_an_attribute_or_a_context_loads() -> None:
    for sound in ({"attribute": "age", "default": 0.5, "equals": None}, {"context": "method", "equals": "a"}):
        assert verify(with_unread_feature(sound))


def with_unread_feature(stated: object) -> dict[str, bytes]:
    changed = parts()
    manifest, golden = json.loads(changed[MANIFEST]), json.loads(changed["golden.json"])
    width = len(manifest["features"])
    text = page_model_text(artifact().page.tables, width + 1)
    manifest["features"].append(stated)
    manifest["baseline"].append(0.0)
    certificate = json.loads(changed["certificate.json"]) | {"model_sha256": sha256(text.encode()).hexdigest()}
    if isinstance(stated, dict) and isinstance(key := stated.get("attribute", stated.get("context")), str):
        kind = "attribute" if "attribute" in stated else "context"
        suffix = "" if stated.get("equals") is None else f"={stated['equals']}"
        certificate["directions"][f"{kind}.{key}{suffix}@1"] = stated.get("direction", 0)
    golden["inputs"] = [[*row, 0.0] for row in golden["inputs"]]
    changed |= {
        "model.txt": text.encode(),
        "certificate.json": json.dumps(certificate).encode(),
        "golden.json": canonical_json(golden),
    }
    manifest["parts"] = {name: sha256(changed[name]).hexdigest() for name in PARTS}
    return {**changed, MANIFEST: json.dumps(manifest).encode()}


def test_a_feature_that_is_unknown_is_refused_by_name() -> None:
    with pytest.raises(ArtifactRefused, match="telepathy@1"):
        load(with_manifest("features", [{"feature": "telepathy@1"}, *artifact().manifest["features"][1:]]))


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


def stating(change: Callable[[JsonObject], Any]) -> dict[str, bytes]:
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
def test_a_certificate_that_hides_what_was_given_up_is_refused(change: Callable[[JsonObject], Any]) -> None:
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
