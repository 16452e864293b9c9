"""The artifact: a published model as named bytes. Only an artifact that verifies is served.

Parts: `model.txt` (LightGBM text), `decay.json`, `golden.json` (inputs with raw scores and points), `certificate.json`,
`evaluation.json`, `lineage.json`, `manifest.json`. The manifest has features, constants, baseline, and the SHA-256 of
each other part. Its SHA-256 is the digest; the same training repeats it.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256

import lightgbm
import numpy as np
from numpy.typing import NDArray

from scoring.base.canonical import JsonObject, canonical_json, parse_json
from scoring.base.enums import Severity
from scoring.base.errors import ArtifactRefused
from scoring.base.frozen import frozen
from scoring.base.version import CORE_VERSION
from scoring.entries.field_types import describe_line_error
from scoring.features.decay import HALF_LIVES, decay_table
from scoring.features.fold import Constants, Folder
from scoring.features.table import FEATURES, AnyFeature, AttributeFeature, ContextFeature, Feature, at_reference
from scoring.model.certificate import certify
from scoring.model.interval import Prior, default_prior, read_prior
from scoring.model.page import Page, page_model_text, read_page
from scoring.model.promises import FREEABLE, free_direction, is_freed, state_promises
from scoring.model.scale import Scale

FORMAT = 2
ArtifactParts = Mapping[str, bytes]
MANIFEST = "manifest.json"
MAX_STUDY = 128
MAX_CONSTANT, MAX_BASE = 1e9, 100_000
PARTS = ("model.txt", "decay.json", "golden.json", "certificate.json", "evaluation.json", "lineage.json")


@frozen
class ModelParts:
    """The parts that training packs.

    `directions` and `baseline` (context at its reference) follow `features`. `golden`: float64 of shape (n, features).
    `pairs`: of the study. `prior`: default `interval.default_prior`.
    """

    study: str
    page: Page
    features: tuple[AnyFeature, ...]
    constants: Constants
    reference_exposure: float | None
    baseline: NDArray[np.float64]
    golden: NDArray[np.float64]
    evaluation: JsonObject
    lineage: JsonObject
    prior: Prior | None = None
    pairs: tuple[tuple[int, ...], ...] = ()


class Artifact:
    """A verified model from `load`; immutable, threads may share it."""

    def __init__(self, manifest: JsonObject, parts: ArtifactParts, digest: str) -> None:
        self.digest = digest
        self.manifest = manifest
        self.parts = dict(parts)
        self.features = pinned_features(manifest)
        self.page = _read_page(manifest, parts)
        columns = {column for table in self.page.tables for column in table.features}
        self.read_features = tuple(
            feature if column in columns else None for column, feature in enumerate(self.features)
        )
        self.scale = Scale(self.page.base)
        self.folder = Folder(_read_constants(manifest["constants"]))
        self.prior = read_prior(manifest["prior"]) if "prior" in manifest else default_prior(self.folder.constants)
        self.baseline = np.array(manifest["baseline"], dtype=np.float64)
        self._booster = lightgbm.Booster(model_str=parts["model.txt"].decode())

    def raw_score(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the points that the page takes from the base: whole float64 of shape (n,) for (n, features)."""
        return np.asarray(self._booster.predict(x, raw_score=True, num_threads=1), dtype=np.float64)

    def points(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        return self.scale.points(self.raw_score(x))


def pack(model: ModelParts) -> dict[str, bytes]:
    """Pack a model into the bytes of each part, by name; raise ArtifactRefused if it is not certified monotone."""
    directions = {feature.key: feature.direction for feature in model.features}
    raw = model.page.raw_score(model.golden)
    golden = {
        "inputs": model.golden.tolist(),
        "raw_scores": raw.astype(np.int64).tolist(),
        "points": Scale(model.page.base).points(raw).tolist(),
    }
    parts = {
        "model.txt": page_model_text(model.page.tables, len(model.features)).encode(),
        "decay.json": canonical_json({str(h): decay_table(h) for h in HALF_LIVES}),
        "golden.json": canonical_json(golden),
        "certificate.json": canonical_json(certify(model.page, directions) | state_promises(model.features)),
        "evaluation.json": canonical_json(model.evaluation),
        "lineage.json": canonical_json(model.lineage),
    }
    manifest = {
        "format": FORMAT,
        "core_version": CORE_VERSION,
        "study": model.study,
        "base": model.page.base,
        "features": [_write_feature(feature) for feature in model.features],
        "pairs": sorted(map(list, model.pairs)),
        "constants": {
            "severity_weights": {s.word: model.constants.severity_weights[s] for s in Severity},
            "rate_damping": model.constants.rate_damping,
            "exposure_scale": model.constants.exposure_scale,
        },
        "reference_exposure": model.reference_exposure,
        "baseline": at_reference(model.baseline, model.features).tolist(),
        "parts": {name: sha256(data).hexdigest() for name, data in parts.items()},
    }
    if model.prior is not None:
        manifest["prior"] = asdict(model.prior)
    return {**parts, MANIFEST: canonical_json(manifest)}


def load(parts: ArtifactParts) -> Artifact:
    """Return an artifact, ready to score. Raises ArtifactRefused unless it verifies."""
    return open_verified(parts, verify(parts))


def open_verified(parts: ArtifactParts, digest: str) -> Artifact:
    """Return an artifact, ready to score, whose parts `verify` has accepted with this digest.

    LightGBM computes the golden vectors; raise ArtifactRefused if a single bit differs.
    """
    with _refuse_damage():
        artifact = Artifact(parse_json(parts[MANIFEST]), parts, digest)
        golden = parse_json(parts["golden.json"])
        if artifact.raw_score(np.array(golden["inputs"], dtype=np.float64)).tolist() != golden["raw_scores"]:
            raise ArtifactRefused("LightGBM reads the model otherwise than its text says")
    return artifact


def verify(parts: ArtifactParts) -> str:
    """Verify everything that needs no LightGBM, which can crash on a damaged text; return the artifact's digest.

    Raise ArtifactRefused naming the part that does not match.
    """
    with _refuse_damage():
        digest = verify_content(parts)
        manifest = parse_json(parts[MANIFEST])
        _verify_constants(manifest)
        page = _read_page(manifest, parts)
        _verify_certificate(page, manifest, parts)
        _verify_decay(parts["decay.json"])
        _verify_golden(page, manifest, parts)
    return digest


def verify_content(parts: ArtifactParts) -> str:
    """Verify the format, and each part's SHA-256 by the manifest; return the artifact's digest.

    Raise ArtifactRefused for another format, or naming a missing or
    altered part.
    """
    if MANIFEST not in parts:
        raise ArtifactRefused("the artifact has no manifest.json")
    with _refuse_damage():
        manifest = parse_json(parts[MANIFEST])
        digests = manifest["parts"]
        if type(manifest["format"]) is not int or manifest["format"] != FORMAT:
            raise ArtifactRefused(
                f"the artifact has format {manifest['format']}; this release reads format {FORMAT}: train the model again"
            )
        for name in PARTS:
            if name not in parts:
                raise ArtifactRefused(f"{name} is missing from the artifact")
            if sha256(parts[name]).hexdigest() != digests[name]:
                raise ArtifactRefused(f"{name} of the artifact was altered: its SHA-256 is not the manifest's")
    return sha256(parts[MANIFEST]).hexdigest()


def verify_distinct(parts: ArtifactParts) -> None:
    """Raise ArtifactRefused if all golden vectors have equal scores or points."""
    golden = parse_json(parts["golden.json"])
    if len(set(golden["raw_scores"])) < 2 or len(set(golden["points"])) < 2:
        raise ArtifactRefused("the model says the same of all its golden vectors: it tells nobody from anybody")


@contextmanager
def _refuse_damage() -> Iterator[None]:
    try:
        yield
    except (
        AttributeError,
        IndexError,
        KeyError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
        lightgbm.basic.LightGBMError,
    ) as error:
        raise ArtifactRefused(f"the artifact is unsound ({type(error).__name__})") from error


def _verify_constants(manifest: JsonObject) -> None:
    constants, reference = manifest["constants"], manifest["reference_exposure"]
    weights = [constants["severity_weights"][severity.word] for severity in Severity]
    for name, number in (("rate_damping", constants["rate_damping"]), ("exposure_scale", constants["exposure_scale"])):
        if not _is_number(number, 1 / MAX_CONSTANT, MAX_CONSTANT):
            raise ArtifactRefused(f"{name} of the artifact must be a number above 0 of at most {MAX_CONSTANT:g}")
    if reference is not None and not _is_number(reference, 1 / MAX_CONSTANT, MAX_CONSTANT):
        raise ArtifactRefused(
            f"reference_exposure of the artifact must be above 0 and at most {MAX_CONSTANT:g}, or null"
        )
    for name in ("study", "core_version"):
        if not _is_valid_name(manifest[name]):
            raise ArtifactRefused(f"{name} of the artifact must be one line of 1 to {MAX_STUDY} characters")
    if not all(type(w) is int and 1 <= w <= 63 for w in weights) or weights != sorted(weights):
        raise ArtifactRefused("the severity weights of the artifact must be whole, 1 to 63, and rise with severity")


def _read_page(manifest: JsonObject, parts: ArtifactParts) -> Page:
    base, pairs = manifest["base"], {tuple(pair) for pair in manifest["pairs"]}
    if type(base) is not int or abs(base) > MAX_BASE:
        raise ArtifactRefused(f"base of the artifact must be a whole number of points, at most {MAX_BASE:,} either way")
    page = read_page(parts["model.txt"].decode(), base, len(manifest["features"]))
    for number, table in enumerate(page.tables):
        if len(table.features) > 1 and table.features not in pairs:
            raise ArtifactRefused(
                f"tree {number} of the model uses two features that the artifact does not name as a pair"
            )
    return page


def _is_number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _is_valid_name(value: object) -> bool:
    return isinstance(value, str) and value != "" and describe_line_error(value, MAX_STUDY) is None


def _verify_certificate(page: Page, manifest: JsonObject, parts: ArtifactParts) -> None:
    features = pinned_features(manifest)
    directions = {feature.key: feature.direction for feature in features}
    if len(directions) != len(manifest["features"]):
        raise ArtifactRefused("the artifact names a feature twice")
    if parse_json(parts["certificate.json"]) != certify(page, directions) | state_promises(features):
        raise ArtifactRefused("the certificate of the artifact is not that of its model")


def _verify_decay(data: bytes) -> None:
    tables = parse_json(data)
    if {int(h): tuple(t) for h, t in tables.items()} != {h: decay_table(h) for h in HALF_LIVES}:
        raise ArtifactRefused("the decay tables of the artifact are not this core's")


def _verify_golden(page: Page, manifest: JsonObject, parts: ArtifactParts) -> None:
    golden = parse_json(parts["golden.json"])
    inputs = np.array(golden["inputs"], dtype=np.float64)
    width = len(manifest["features"])
    if inputs.ndim != 2 or inputs.shape[1] != width or not np.isfinite(inputs).all():
        raise ArtifactRefused("the golden vectors of the artifact do not fit its features")
    raw = page.raw_score(inputs)
    if raw.tolist() != golden["raw_scores"] or Scale(page.base).points(raw).tolist() != golden["points"]:
        raise ArtifactRefused("the page does not give the points of the golden vectors")
    baseline = np.array(manifest["baseline"], dtype=np.float64)
    if baseline.shape != (width,) or not np.isfinite(baseline).all():
        raise ArtifactRefused("the baseline seller of the artifact does not fit its features")
    if not np.array_equal(baseline, at_reference(baseline, pinned_features(manifest))):
        raise ArtifactRefused("the baseline seller of the artifact is not at the reference of its context")


def _write_feature(feature: AnyFeature) -> dict[str, object]:
    if isinstance(feature, Feature):
        return {"feature": feature.key, **({"direction": feature.direction} if is_freed(feature) else {})}
    return asdict(feature)


def pinned_features(manifest: JsonObject) -> tuple[AnyFeature, ...]:
    """Return the features in the order of the model's inputs. Raises ArtifactRefused for one unknown here."""
    return tuple(map(_read_feature, manifest["features"]))


def _read_feature(row: JsonObject) -> AnyFeature:
    if "attribute" not in row and "context" not in row and "direction" not in row:
        if set(row) != {"feature"} or row["feature"] not in FEATURES:
            raise ArtifactRefused(f"the artifact needs feature {row['feature']}, which this release does not know")
        return FEATURES[row["feature"]]
    if "feature" in row:
        return _read_freed_feature(row)
    feature: AttributeFeature | ContextFeature
    if "attribute" in row:
        feature = AttributeFeature(**row)
        name, what, number = feature.attribute, "default", feature.default
    else:
        feature = ContextFeature(**row)
        name, what, number = feature.context, "reference", feature.reference
    if not _is_valid_name(name) or not (feature.equals is None or isinstance(feature.equals, str)):
        raise ArtifactRefused("a feature of the artifact must name its attribute or context, and a text that it equals")
    if not _is_number(number, -sys.float_info.max, sys.float_info.max):
        raise ArtifactRefused(f"the {what} of feature {feature.key} of the artifact is not a finite number")
    if type(feature.direction) is not int or feature.direction not in (-1, 0, 1):
        raise ArtifactRefused(f"the direction of feature {feature.key} of the artifact must be -1, 0 or 1")
    return feature


def _read_freed_feature(row: JsonObject) -> Feature:
    feature = FEATURES.get(row["feature"]) if set(row) == {"feature", "direction"} else None
    if feature is None or feature.name not in FREEABLE or type(row["direction"]) is not int or row["direction"] != 0:
        raise ArtifactRefused(
            f"the artifact frees feature {row['feature']} of its direction, which can be 0 of {', '.join(sorted(FREEABLE))}"
            " alone"
        )
    return free_direction(feature)


def _read_constants(row: JsonObject) -> Constants:
    weights = {severity: int(row["severity_weights"][severity.word]) for severity in Severity}
    return Constants(weights, float(row["rate_damping"]), float(row["exposure_scale"]))
