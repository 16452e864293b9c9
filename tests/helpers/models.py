import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from scoring.base.canonical import JsonObject, canonical_json
from scoring.features.table import FEATURES, AnyFeature, ContextFeature
from scoring.model.artifact import MANIFEST, Artifact, ModelParts, load, pack
from scoring.model.promises import free_direction
from service.registry.gates import GateOverride
from service.registry.registry import Registry
from tests.helpers.worlds import ALL_FEATURES, CONSTANTS, artifact, certified, population

FOLDER, STORE = "folder", "store"


def gate(name: str, *, ok: bool = True, kind: str = "hard", overridable: bool = True) -> JsonObject:
    return {
        "gate": name, "kind": kind, "ok": ok, "number": 0 if ok else 0.25, "limit": 0, "text": f"{name} was looked at",
        "overridable": overridable,
    }  # fmt: skip


def gates_json(*gates: JsonObject) -> bytes:
    """Return gates as training writes them: certificate and parity hold unless given."""
    stated = {row["gate"] for row in gates}
    promises = [gate(name) for name in ("certificate", "parity") if name not in stated]
    return json.dumps({"gates": [*promises, *gates], "passed": True}).encode()


def parts_of(number: int) -> dict[str, bytes]:
    return dict((another(number) if number else artifact()).parts)


def evaluated(number: int, auc: float) -> dict[str, bytes]:
    parts = parts_of(number)
    interval = {"value": auc, "low": auc - 0.02, "high": auc + 0.02}
    evaluation = {
        "train": {"rows": 900, "bad": 90}, "test": {"rows": 100, "bad": 9}, "base_rate": 0.1, "predicted": 0.11,
        "auc": dict.fromkeys(("lightgbm", "logistic", "points_rule"), interval),
        "difference": {"lightgbm-logistic": interval},
        "judged": {"at_equal_volume": True, "pairs": 900.0, "auc": {"lightgbm": interval}, "difference": {}},
        "models": {"lightgbm": {"log_loss": interval | {"value": 0.25}}},
    }  # fmt: skip
    parts["evaluation.json"] = canonical_json(evaluation)
    return sealed(parts)


def with_context() -> dict[str, bytes]:
    first = artifact()
    context = (ContextFeature("looks", reference=0.25), ContextFeature("sent_by", "court"))

    def wider(x: np.ndarray) -> np.ndarray:
        return np.hstack([x, np.tile([0.25, 0.0], (len(x), 1))])

    x, bad = population()
    return dict(certified(wider(x), bad, (*first.features, *context), 5).parts)


def sealed(parts: dict[str, bytes]) -> dict[str, bytes]:
    from hashlib import sha256

    manifest = json.loads(parts[MANIFEST])
    manifest["parts"] = {name: sha256(parts[name]).hexdigest() for name in manifest["parts"]}
    return {**parts, MANIFEST: canonical_json(manifest)}


def publish(registry: Registry, number: int = 0, **options: Any) -> str:
    said: dict[str, Any] = {"actor": "anna", "reason": "trained", "now": 1_000_000}
    said |= {"attachments": {"gates.json": gates_json()}} | options
    return registry.publish(said.pop("parts", None) or parts_of(number), **said)


def promote(registry: Registry, name: str, **options: Any) -> str:
    said: dict[str, Any] = {"actor": "bert", "reason": "better", "now": 2_000_000}
    said |= options
    override = GateOverride(said.pop("override", ""), said.pop("sign_off", ""))
    return registry.promote(name, override=override, **said)


HARD = gate("calibration", ok=False)
ADVISORY = gate("psi", ok=False, kind="advisory")


@cache
def another(less: int = 36) -> Artifact:
    first = artifact()
    golden = json.loads(first.parts["golden.json"])
    parts = ModelParts(
        study="tests",
        page=replace(first.page, base=first.page.base - less),
        features=first.features,
        constants=CONSTANTS,
        reference_exposure=1000.0,
        baseline=first.baseline,
        golden=np.array(golden["inputs"]),
        evaluation={},
        lineage={},
    )
    return load(pack(parts))


def without(*names: str) -> tuple[AnyFeature, ...]:
    return tuple(free_direction(f) if f in FEATURES.values() and f.name in names else f for f in ALL_FEATURES)


@cache
def giving_up() -> Artifact:
    return certified(*population(), without("exposure"), 60)
