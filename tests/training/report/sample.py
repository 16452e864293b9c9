import copy
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from scoring.base.time import parse_day
from scoring.features.table import FEATURES, Feature
from scoring.model.card import describe_page
from scoring.model.page import Page, PointsTable
from tests.helpers.evaluation_cases import case_of
from tests.training.report.beside import certificate, gates, lineage
from training.evaluation.case import EvaluationCase
from training.evaluation.figures import evaluate

Json = Any
ROWS = 4000
FIRST_DAY = parse_day("2025-01-01")
DIGEST = "5f0c" + "9d" * 30


@cache
def _case() -> EvaluationCase:
    return case_of(ROWS, 7, day=FIRST_DAY + np.arange(ROWS) * 365 // ROWS, indeterminate=61, left=118)


def page(features: Sequence[Feature]) -> Json:
    tables = []
    for k, feature in enumerate(features):
        edges = np.linspace(0, 30 if k % 2 else 0.2, 2 if k % 7 == 3 else 9)[:-1]
        points = -np.round((260 * np.exp(-k / 9) + 4) * np.linspace(0, 1, len(edges) + 1) ** 0.6).astype(int)
        tables.append(PointsTable((k,), (edges,), points[:: -1 if feature.direction > 0 else 1]))
    return describe_page(Page(745, tuple(tables)), features)


CHECKS = {
    "data": [
        {"check": "sequence gapless", "ok": True, "number": 0, "text": "Every sequence of the ledger is there once."},
        {"check": "exposure before window", "ok": True, "number": 0.997, "text": "Sellers with orders before."},
        {"check": "constant features", "ok": True, "number": 3, "text": "Features of one value."},
    ],
    "leakage": [
        {"check": "truncated rebuild", "ok": True, "number": 0, "threshold": 0,
         "text": "Everything after the observation point was deleted and the features rebuilt: none differs."},
        {"check": "shuffled labels", "ok": True, "number": 0.503, "threshold": 0.55, "text": "AUC of shuffled labels."},
        {"check": "single feature", "ok": True, "number": 0.741, "threshold": 0.9, "text": "Best AUC of one feature."},
        {"check": "entities across folds", "ok": True, "number": 0, "threshold": 0, "text": "Sellers in two folds."},
    ],
}  # fmt: skip


@cache
def _evaluation() -> dict[str, Json]:
    looks = [
        {"window": "2025-05-20", "time": f"2026-01-0{k}T09:12Z", "study_digest": f"{k}d12" * 16, "why": why}
        for k, why in ((4, "first training"), (5, "wider bad"))
    ]
    figures = evaluate(_case())
    figures["test"]["drawn_from"] = ROWS
    figures["train"]["auc"] = {"lightgbm": 0.86, "logistic": 0.8}
    return figures | {
        "importance": [{"feature": "exposure@1", "share": 0.6}, {"feature": "tenure_days@1", "share": 0.4}],
        "page": page([*FEATURES.values()]),
        "looks": looks,
        "checks": CHECKS,
        "labels": {
            "decision_delay": {"median_days": 19, "p95_days": 88, "open": 240},
            "development": {"factor": 1.043},
        },
        "certificate": {"algorithm": "tables@1", "trees": 17},
        "champion": {"other_label": []},
    }  # fmt: skip


def evaluation() -> dict[str, Json]:
    return copy.deepcopy(_evaluation())


def parts(failing: tuple[str, ...] = ()) -> dict[str, Json]:
    return {
        "manifest": {"study": "marketplace", "core_version": "0.3.0"},
        "evaluation": evaluation(),
        "lineage": lineage(),
        "certificate": certificate(),
        "gates": gates(failing),
        "digest": DIGEST,
    }


Json = Any


HOSTILE = "<script>document.title='x'</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}</style>"


def poisoned(value: Json) -> Json:
    """Return the data with every text made hostile, except dates, models and keys that code looks up."""
    if isinstance(value, dict):
        return {key: poisoned(part) for key, part in value.items()}
    if isinstance(value, list):
        return [poisoned(part) for part in value]
    keep = isinstance(value, str) and (value in ("hard", "advisory") or re.fullmatch(r"\d{4}-\d\d-\d\d", value))
    return value + HOSTILE if isinstance(value, str) and not keep else value
