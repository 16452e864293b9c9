"""An artifact whose parts do not match is refused, whichever part it is, with words that say which."""

import json
from hashlib import sha256

import pytest

from scoring.artifact import MANIFEST, PARTS, canonical_json, load
from scoring.errors import ArtifactRefused
from scoring.trees import parse_model
from tests.scoring.worlds import artifact


def parts() -> dict[str, bytes]:
    return dict(artifact().parts)


def resealed(changed: dict[str, bytes]) -> dict[str, bytes]:
    """The parts under a manifest whose digests fit: a forger's work, not damage."""
    manifest = json.loads(changed[MANIFEST])
    manifest["parts"] = {name: sha256(changed[name]).hexdigest() for name in PARTS}
    return {**changed, MANIFEST: canonical_json(manifest)}


def test_the_same_content_has_the_same_digest() -> None:
    """Loading twice gives the same model; its digest is that of the manifest."""
    assert load(parts()).digest == artifact().digest == sha256(parts()[MANIFEST]).hexdigest()


@pytest.mark.parametrize("name", PARTS)
def test_an_altered_part_is_refused_by_name(name: str) -> None:
    """One flipped bit, in any part."""
    changed = parts()
    data = bytearray(changed[name])
    data[len(data) // 2] ^= 1
    with pytest.raises(ArtifactRefused, match=name):
        load({**changed, name: bytes(data)})


@pytest.mark.parametrize("name", [*PARTS, MANIFEST])
def test_a_missing_or_truncated_part_is_refused(name: str) -> None:
    """Nothing is guessed."""
    rest = {key: value for key, value in parts().items() if key != name}
    with pytest.raises(ArtifactRefused):
        load(rest)
    with pytest.raises(ArtifactRefused):
        load({**rest, name: parts()[name][:-7]})


def test_a_resealed_model_without_its_certificate_is_refused() -> None:
    """A manifest with fitting digests does not make up for a certificate of another model."""
    forged = parts()
    certificate = json.loads(forged["certificate.json"])
    certificate["trees"] += 1
    with pytest.raises(ArtifactRefused, match="certificate"):
        load(resealed({**forged, "certificate.json": canonical_json(certificate)}))


def test_a_resealed_model_with_other_leaves_is_refused() -> None:
    """Changed leaves are caught by the certificate's own digest of the model text."""
    forged = parts()
    text = forged["model.txt"].decode()
    start = text.index("leaf_value=") + len("leaf_value=")
    value = text[start:].split(" ", 1)[0]
    other = text[:start] + ("9" + value[1:] if value[0] != "9" else "8" + value[1:]) + text[start + len(value) :]
    with pytest.raises(ArtifactRefused):
        load(resealed({**forged, "model.txt": other.encode()}))


def test_a_resealed_scale_that_rewards_risk_is_refused() -> None:
    """More points for a higher raw score would turn every promise round."""
    forged = parts()
    manifest = json.loads(forged[MANIFEST])
    manifest["scale"]["slope"] *= -1
    with pytest.raises(ArtifactRefused, match="more points for more risk"):
        load({**forged, MANIFEST: canonical_json(manifest)})


@pytest.mark.parametrize(
    ("table", "name", "value"),
    [
        ("constants", "rate_damping", 0),
        ("constants", "rate_damping", -10.5),
        ("constants", "exposure_scale", -1000.0),
        ("constants", "severity_weights", {"minor": 9, "moderate": 3, "major": 9, "critical": 27}),
        ("constants", "severity_weights", {"minor": 1, "moderate": 3, "major": 9, "critical": 1 << 40}),
        ("scale", "p_slope", -1.0),
    ],
)
def test_resealed_constants_that_would_turn_a_promise_round_are_refused(table: str, name: str, value: object) -> None:
    """The certificate speaks of features; that facts move them one way rests on these."""
    forged = parts()
    manifest = json.loads(forged[MANIFEST])
    manifest[table][name] = value
    with pytest.raises(ArtifactRefused):
        load({**forged, MANIFEST: canonical_json(manifest)})


def test_golden_points_that_do_not_come_out_are_refused() -> None:
    """The golden vectors are computed again on the machine that serves, to the last bit."""
    forged = parts()
    golden = json.loads(forged["golden.json"])
    golden["points"][0] += 1
    with pytest.raises(ArtifactRefused, match="golden"):
        load(resealed({**forged, "golden.json": canonical_json(golden)}))


def test_an_artifact_for_a_feature_that_this_release_does_not_know_says_so() -> None:
    """A model of a later release is refused by the name of the feature."""
    forged = parts()
    manifest = json.loads(forged[MANIFEST])
    manifest["features"][0] = {"feature": "telepathy@1"}
    with pytest.raises(ArtifactRefused, match="telepathy@1"):
        load({**forged, MANIFEST: canonical_json(manifest)})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("end of parameters\n", ""),
        ("\nend of parameters", ""),
        ("pandas_categorical:null", "pandas_categorical:[[1]]"),
        ("[boosting: gbdt]", "[boosting: gbdt"),
        ("internal_weight=", "internal_weight=\x10"),
        ("split_gain=", "split_gain=x"),
    ],
)
def test_what_lightgbm_reads_besides_the_trees_is_read_strictly_too(before: str, after: str) -> None:
    """Such texts, sealed anew by a forger, ended the process that loaded them, though not every time."""
    text = parts()["model.txt"].decode()
    assert before in text
    with pytest.raises(ArtifactRefused):
        parse_model(text.replace(before, after))
    assert parse_model(text)
