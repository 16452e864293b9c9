from datetime import date, timedelta
from typing import Any

from scoring.features.table import FEATURES

Json = Any


def lineage() -> dict[str, Json]:
    first, test = date(2024, 6, 19), date(2025, 5, 20)

    def spell(days: list[date]) -> Json:
        return [{"observe": str(day), "window_end": str(day + timedelta(180))} for day in days]

    return {
        "study": "marketplace",
        "study_digest": "cd34" * 16,
        "ledger_digest": "d92d" * 16,
        "ledger_entries": 1_259_001,
        "ledger_as_of": "2026-01-03",
        "train": spell([first + timedelta(30 * k) for k in range(5)]),
        "test": spell([test]),
        "rounds": 600,
        "seed": 1,
        "parameters": {"learning_rate": 0.03, "num_leaves": 15},
        "definition": {
            "bad": ["a violation of harm high or extreme"],
            "bad_at_least": 1,
            "bad_asks": [],
            "weigh_by": "sellers",
            "reference_exposure": 1000,
            "window": "180 days from the observation point",
            "maturity_days": 45,
            "eligible": ["an exposure or violation within 12 months before the observation point"],
        },
        "exclusions": [{"why": "left within the window", "rows": 118}, {"why": "closed with open claims", "rows": 61},
                       {"why": "staff accounts", "rows": 9}],
        "calibration": "as trained",
        "exposure_slope": None,
        "versions": {"lightgbm": "4.7.0", "numpy": "2.3.4", "python": "3.11.2"},
    }  # fmt: skip


def certificate() -> dict[str, Json]:
    directions = {key: feature.direction for key, feature in FEATURES.items()}
    return {"algorithm": "tables@1", "directions": directions, "model_sha256": "46f0" * 16, "trees": 17}


GATES = (
    ("certificate", "hard", 0, 0, "Every table is monotone in every constrained feature: 0 breaches.", False),
    ("parity", "hard", 0, 0, "200 sellers read again over gRPC: every feature equal to the bit.", False),
    ("ranking", "hard", -0.012, 0.03, "Over 17,405 pairs the AUC is above logistic regression's.", True),
    ("calibration", "hard", 1.09, 1.33, "6.15% of the rows are bad where 5.63% were predicted.", True),
    ("segments", "hard", 1.0, 1.33, "None of 23 tiers and segments is predicted off beyond chance.", True),
    ("latency", "hard", 0.41, 2.0, "A single score takes 0.41 ms at the 99th percentile.", True),
    ("size", "hard", 1.9, 20, "The artifact is 1.9 MB large.", True),
    ("reproducible", "hard", 1, 1, "Trained twice, the digests are equal.", True),
    ("migration", "advisory", 0.98, 0.95, "98 % of sellers move by at most one tier.", True),
    ("psi", "advisory", 0.0134, 0.0191, "The PSI of the score is below its critical value.", True),
    ("stability", "advisory", 0.03, 0.05, "AUC differs by 0.03 between the best and the worst month.", True),
)  # fmt: skip


def gates(failing: tuple[str, ...] = ()) -> dict[str, Json]:
    keys = ("gate", "kind", "number", "limit", "text", "overridable")
    rows = [dict(zip(keys, gate, strict=True)) | {"ok": gate[0] not in failing} for gate in GATES]
    return {"gates": rows, "passed": all(row["ok"] for row in rows if row["kind"] == "hard")}
