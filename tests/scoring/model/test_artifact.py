"""An artifact whose parts do not match is refused, whichever part it is, with words that say which."""

import json
import re
from collections.abc import Callable
from hashlib import sha256

import lightgbm
import numpy as np
import pytest

from scoring.canonical import canonical_json
from scoring.errors import ArtifactRefused
from scoring.model.artifact import MANIFEST, PARTS, Artifact, load, verify
from scoring.model.trees import parse_model
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


def with_leaves(text: str, tree: int, change: Callable[[list[float]], list[float]]) -> str:
    """The model text with other leaves in one tree, its sizes in step."""
    head, *blocks = text.split("\nTree=")
    old = re.search(r"^leaf_value=(.*)$", blocks[tree], re.MULTILINE)
    assert old is not None
    new = " ".join(map(repr, change([float(value) for value in old.group(1).split()])))
    blocks[tree] = blocks[tree].replace(old.group(0), f"leaf_value={new}")
    sizes = re.search(r"^tree_sizes=(.*)$", head, re.MULTILINE)
    assert sizes is not None
    numbers = sizes.group(1).split()
    numbers[tree] = str(int(numbers[tree]) + len(new) - len(old.group(1)))
    head = head.replace(sizes.group(0), "tree_sizes=" + " ".join(numbers))
    return "\nTree=".join([head, *blocks])


def poisoned(text: str) -> dict[str, bytes]:
    """The artifact of another model text in which everything fits: certificate, golden vectors, digests. A forger's best."""
    forged = parts()
    certificate = json.loads(forged["certificate.json"])
    certificate["model_sha256"] = sha256(text.encode()).hexdigest()
    golden = json.loads(forged["golden.json"])
    raw = lightgbm.Booster(model_str=text).predict(np.array(golden["inputs"]), raw_score=True, num_threads=1)
    golden["raw_scores"] = [value.hex() for value in raw.tolist()]
    golden["points"] = artifact().scale.points(raw).tolist()
    changed = {
        "model.txt": text.encode(),
        "certificate.json": canonical_json(certificate),
        "golden.json": canonical_json(golden),
    }
    return resealed({**forged, **changed})


def test_a_forgery_of_the_model_as_it_is_loads() -> None:
    """The forger knows the craft: with the leaves left alone, or all moved alike, what is forged is a good artifact."""
    text = artifact().parts["model.txt"].decode()
    assert load(poisoned(text)).digest == artifact().digest
    assert load(poisoned(with_leaves(text, 3, lambda leaves: [value + 0.25 for value in leaves]))).digest


@pytest.mark.parametrize("tree", [0, 7, 59])
@pytest.mark.parametrize(
    "change",
    [
        lambda leaves: [-value for value in leaves],
        lambda leaves: [max(leaves) if v == min(leaves) else min(leaves) if v == max(leaves) else v for v in leaves],
        lambda leaves: [2 * min(leaves) - max(leaves) if value == max(leaves) else value for value in leaves],
    ],
    ids=["turned round", "best and worst swapped", "the worst made the best"],
)
def test_a_poisoned_tree_in_an_artifact_where_all_else_fits_is_refused(
    tree: int, change: Callable[[list[float]], list[float]]
) -> None:
    """Not its digests nor its golden vectors betray it, but the trees themselves: sellers who offend would gain points."""
    with pytest.raises(ArtifactRefused, match=f"the model is not monotone: tree {tree} moves"):
        load(poisoned(with_leaves(artifact().parts["model.txt"].decode(), tree, change)))


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


@pytest.mark.parametrize("blank", ["\t", "\v", "\f", "\r", "\x1c", "\x85", "\u2003", "  "])
@pytest.mark.parametrize("key", ["left_child", "split_feature", "threshold", "leaf_value", "leaf_count"])
def test_numbers_are_parted_by_single_blanks_alone(key: str, blank: str) -> None:
    """LightGBM knows no other: after a tab it read 0 for all that follow, and went round in circles in the served model."""
    text = parts()["model.txt"].decode()
    assert parse_model(text)
    head, line, rest = re.split(rf"(?m)^({key}=\S+ .*)$", text, maxsplit=1)
    changed = "\n".join([head.rstrip("\n"), blank.join(line.rsplit(" ", 1)), rest.lstrip("\n")])
    size = int(re.search(r"tree_sizes=(\d+)", head)[1])  # type: ignore[index]
    changed = changed.replace(f"tree_sizes={size}", f"tree_sizes={size + len(blank.encode()) - 1}")
    words = r"character that does not belong|not a (finite|whole) number|values instead|else than numbers"
    with pytest.raises(ArtifactRefused, match=words):
        parse_model(changed)


def test_a_model_that_lightgbm_holds_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where golden vectors pass by the difference: what was certified is what LightGBM writes out again."""
    other = with_leaves(parts()["model.txt"].decode(), 3, lambda leaves: [leaves[0] - 1e-9, *leaves[1:]])
    assert load(parts())
    monkeypatch.setattr(Artifact, "model_text", lambda _: other)
    with pytest.raises(ArtifactRefused, match="other trees than the model text states"):
        load(parts())


def with_manifest(place: str, value: object) -> dict[str, bytes]:
    """The artifact with another value at a place such as `scale.slope` of its manifest, or with one feature more."""
    changed = parts()
    manifest = json.loads(changed[MANIFEST])
    table, _, name = place.rpartition(".")
    (manifest[table] if table else manifest)[name] = value
    return {**changed, MANIFEST: json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()}


@pytest.mark.parametrize("place", ["scale.intercept", "scale.slope", "scale.p_slope", "constants.rate_damping"])
@pytest.mark.parametrize("value", [1e308, -1e308, float("nan"), float("-inf"), True, "1", None, [], 10**400])
def test_a_number_of_the_manifest_of_another_type_or_beyond_its_bounds_is_refused(place: str, value: object) -> None:
    """What passes here is reckoned with at every score."""
    with pytest.raises(ArtifactRefused):
        load(with_manifest(place, value))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("constants.rate_damping", 5e-324),
        ("constants.exposure_scale", 5e-324),
        *(("reference_exposure", value) for value in ("x", -1, 0, float("nan"), [], True, 10**400)),
        *(("exposure_slope", value) for value in ("1", None, 101, -101, float("nan"), [], True, 10**400)),
        *(("study", value) for value in ([1], None, "", "two\nlines", "turned \u202eround")),
        *(("format", value) for value in (True, 1.0, "1", None)),
        *(("core_version", value) for value in (1, None)),
    ],
)
def test_what_the_manifest_states_besides_is_of_its_type_and_within_its_bounds(place: str, value: object) -> None:
    """A server prints it, and training reckons with it."""
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
def test_a_feature_that_could_not_be_scored_is_refused_when_it_is_loaded(stated: object) -> None:
    """Not by the first seller without the attribute. In place of one that no tree reads, so all else fits."""
    with pytest.raises(ArtifactRefused, match=r"feature|hold together"):
        verify(with_unread_feature(stated))


def test_a_feature_of_an_attribute_or_a_context_loads() -> None:
    """The forger of the refusals above knows the craft."""
    for sound in ({"attribute": "age", "default": 0.5, "equals": None}, {"context": "method", "equals": "a"}):
        assert verify(with_unread_feature(sound))


def with_unread_feature(stated: object) -> dict[str, bytes]:
    """The artifact with a feature more that no tree reads; certificate and golden vectors fit."""
    changed = parts()
    manifest, golden = json.loads(changed[MANIFEST]), json.loads(changed["golden.json"])
    width = len(manifest["features"])
    text = changed["model.txt"].decode()
    text = text.replace(f"max_feature_idx={width - 1}\n", f"max_feature_idx={width}\n")
    names = re.search(r"(?m)^feature_names=.*$", text)[0]  # type: ignore[index]
    text = text.replace(names, f"{names} Column_{width}")
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
