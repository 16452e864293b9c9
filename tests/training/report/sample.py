"""A full evaluation as training makes it, with figures that agree: simulated sellers, scored by six models of differing
skill. No model is trained, so it takes a moment.
"""

import json
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Floats
from scoring.features.table import FEATURES, Feature
from scoring.model.card import describe_page
from scoring.model.page import Page, Table
from tests.training.report.beside import certificate, gates, lineage
from training.evaluation.equal_volume import at_equal_volume
from training.evaluation.resampling import bootstrap_auc

Json = Any
SKILL = {
    "lightgbm": 1.0,
    "unconstrained": 0.97,
    "champion": 1.35,
    "logistic": 1.5,
    "points_rule": 2.4,
    "raw_count": 3.2,
}
PROBABILITIES = ("lightgbm", "unconstrained", "champion", "logistic")
TIERS = ("probation", "standard", "trusted", "exemplary")
CUT_OFFS = (0, 500, 600, 700, 1001)
ROWS = 4000
DIGEST = "5f0c" + "9d" * 30


def interval(value: float, half: float) -> Json:
    """An interval of a given half width."""
    return {"value": value, "low": value - half, "high": value + half}


class Sample:
    """The test rows: who was bad, and what each model said."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        self.rng = rng
        self.volume = np.sort(np.exp(rng.normal(4.5, 1.6, ROWS))).round()
        latent = rng.normal(-3.1, 1.7, ROWS) + 0.12 * (np.log1p(self.volume) - 4.5)
        self.bad = (rng.random(ROWS) < _sigmoid(latent)).astype(float)
        self.seller = np.arange(ROWS) // 2
        self.raw = {name: 0.85 * (latent + 3.1) - 3.35 + rng.normal(0, noise, ROWS) for name, noise in SKILL.items()}
        self.p = {name: _sigmoid(0.62 * self.raw[name] - 0.45) for name in PROBABILITIES}
        self.points = {n: np.clip(385 - 72 * np.log(p / (1 - p)), 0, 1000).round() for n, p in self.p.items()}
        self.month = rng.integers(0, 12, ROWS)
        self.ranks = {**self.raw, "window_volume": self.volume, "past_volume": self.volume * rng.lognormal(0, 1, ROWS)}
        self.auc = bootstrap_auc(self.ranks, self.bad, self.seller)

    def rate(self, where: NDArray[np.bool_]) -> dict[str, Json]:
        """Predicted and observed of some rows, with the Jeffreys interval."""
        from scipy.stats import beta

        rows, bad = int(where.sum()), int(self.bad[where].sum())
        low, high = beta.ppf([0.025, 0.975], bad + 0.5, rows - bad + 0.5)
        return {
            "rows": rows,
            "bad": bad,
            "predicted": float(self.p["lightgbm"][where].mean()),
            "observed": bad / rows,
            "low": float(low),
            "high": float(high),
        }

    def auc_of(self, name: str, where: NDArray[np.bool_]) -> Json:
        """AUC of some rows with Hanley's interval."""
        from training.evaluation.ranking import auc

        value = auc(self.raw[name][where], self.bad[where])
        bad, good = self.bad[where].sum(), (1 - self.bad[where]).sum()
        if not bad or not good:
            return None
        q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
        error = np.sqrt(
            (value * (1 - value) + (bad - 1) * (q1 - value**2) + (good - 1) * (q2 - value**2)) / (bad * good)
        )
        return {"value": value, "low": float(value - 1.96 * error), "high": float(min(value + 1.96 * error, 1))}

    def segment(self, name: str, where: NDArray[np.bool_]) -> Json:
        """One row of a segment table."""
        twin = self.auc_of("unconstrained", where)
        return {
            "name": name,
            **self.rate(where),
            "auc": self.auc_of("lightgbm", where),
            "auc_unconstrained": twin and twin["value"],
            "predicted_unconstrained": float(self.p["unconstrained"][where].mean()),
        }


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)))


@cache
def _sample() -> Sample:
    return Sample()


def _models(s: Sample) -> Json:
    found = {}
    for name in SKILL:
        order = np.argsort(-s.raw[name])
        bad = np.cumsum(s.bad[order]) / s.bad.sum()
        good = np.cumsum(1 - s.bad[order]) / (1 - s.bad).sum()
        loss = brier = calibration = None
        if name in PROBABILITIES:
            p = np.clip(s.p[name], 1e-6, 1 - 1e-6)
            value = float(-(s.bad * np.log(p) + (1 - s.bad) * np.log(1 - p)).mean())
            loss = interval(value, 0.011)
            rate = float(s.bad.mean())
            groups = np.array_split(np.argsort(p), 10)
            gap = [len(g) / ROWS * float((p[g].mean() - s.bad[g].mean()) ** 2) for g in groups]
            spread = [len(g) / ROWS * float((s.bad[g].mean() - rate) ** 2) for g in groups]
            brier = {"reliability": sum(gap), "resolution": sum(spread), "uncertainty": rate * (1 - rate)}
            brier["value"] = brier["reliability"] - brier["resolution"] + brier["uncertainty"]
            slope = 1.03 if name == "lightgbm" else 0.9
            calibration = {"slope": interval(slope, 0.09), "intercept": interval(-0.03, 0.12)}
            calibration |= {"predicted": float(p.mean()), "observed": rate}
        recall = float(bad[np.searchsorted(good, 0.05)])
        found[name] = {
            "ks": float((bad - good).max()),
            "gini": 2 * s.auc[name].value - 1,
            "log_loss": loss,
            "brier": brier,
            "calibration": calibration,
            "recall_of_loss": interval(recall, 0.05),
        }
    return found


def _equal_volume(s: Sample) -> Json:
    found, apart = at_equal_volume(s.ranks, s.bad, s.volume, s.seller, np.ones(ROWS), "lightgbm")
    pairs = {name: interval.as_dict() for name, interval in apart.items()}
    auc = {name: score.interval().as_dict() for name, score in found.items()}
    return {"pairs": found["lightgbm"].pairs, "auc": auc, "difference": pairs}


def _curves(s: Sample) -> Json:
    roc, lift = {}, {}
    at = np.linspace(0, 1, 101)
    for name in SKILL:
        order = np.argsort(-s.raw[name])
        bad = np.concatenate([[0], np.cumsum(s.bad[order]) / s.bad.sum()])
        good = np.concatenate([[0], np.cumsum(1 - s.bad[order]) / (1 - s.bad).sum()])
        roc[name] = {"x": at.tolist(), "y": np.interp(at, good, bad).tolist()}
        lift[name] = {"x": at.tolist(), "y": np.interp(at, np.linspace(0, 1, ROWS + 1), bad).tolist()}
    points = np.linspace(200, 900, 71)
    below = {
        name: [float((s.points["lightgbm"][s.bad == flag] <= x).mean()) for x in points]
        for name, flag in (("good", 0), ("bad", 1))
    }
    return {"roc": roc, "lift": lift, "ks": {"x": points.tolist(), **below}}


def _grades(s: Sample) -> Json:
    found = []
    for tier, low, high in zip(TIERS, CUT_OFFS, CUT_OFFS[1:], strict=False):
        rate = s.rate((s.points["lightgbm"] >= low) & (s.points["lightgbm"] < high))
        holm = {"p_under": 0.31, "p_over": 0.44, "p_under_holm": 0.93, "p_over_holm": 1.0}
        keep = {key: rate[key] for key in ("rows", "bad", "predicted", "observed")}
        found.append({"tier": tier, "points_from": low, "points_to": high - 1, **keep, **holm})
    # Sellers without a score have no points: a table that asks for some leaves itself out.
    unrated = {"rows": 210, "bad": 9, "predicted": 0.05, "observed": 9 / 210}
    return [{"tier": "unrated", "points_from": None, "points_to": None, **unrated, **holm}, *found]


def _bands(s: Sample) -> Json:
    found = []
    for tier, low, high in zip(TIERS, CUT_OFFS, CUT_OFFS[1:], strict=False):
        rate = s.rate((s.points["lightgbm"] >= low) & (s.points["lightgbm"] < high))
        share = {"rows": rate["rows"], "share": rate["rows"] / ROWS}
        ends = {"rate": rate["observed"], "low": rate["low"], "high": rate["high"]}
        found.append({"tier": tier, "points_from": low, "points_to": high - 1, **share, **ends, "apart": True})
    return [*found[:-1], {**found[-1], "apart": None}]


def _segments(s: Sample) -> Json:
    rng = np.random.default_rng(11)
    deciles = np.array_split(np.arange(ROWS), 10)
    mask = [np.isin(np.arange(ROWS), d) for d in deciles]
    parted = {
        "tenure": ("under 90 days", "90 to 365 days", "1 to 3 years", "over 3 years"),
        "product_category": ("apparel", "electronics", "food", "home and garden", "toys"),
        "country": ("CA", "CN", "DE", "US", "others"),
        "sellers": ("seen in training", "not seen"),
        "inspected": ("randomly inspected", "all others"),
    }
    volumes = [f"{s.volume[d[0]]:,.0f} to {s.volume[d[-1]]:,.0f} orders" for d in deciles]
    names_of = [f"{k} of 10: {volume}" for k, volume in enumerate(volumes, 1)]
    found: dict[str, Json] = {"volume": [s.segment(name, where) for name, where in zip(names_of, mask, strict=True)]}
    for kind, names in parted.items():
        group = rng.integers(0, len(names), ROWS)
        found[kind] = [s.segment(name, group == k) for k, name in enumerate(names)]
    edges = (-1, 40, 250, np.inf)
    files = zip(("thin", "medium", "thick"), edges, edges[1:], strict=False)
    found["file"] = [s.segment(name, (s.volume > low) & (s.volume <= high)) for name, low, high in files]
    return found


def page(features: Sequence[Feature]) -> Json:
    """A page of a table for each feature: a few steps for most, one for every seventh."""
    tables = []
    for k, feature in enumerate(features):
        edges = np.linspace(0, 30 if k % 2 else 0.2, 2 if k % 7 == 3 else 9)[:-1]
        points = -np.round((260 * np.exp(-k / 9) + 4) * np.linspace(0, 1, len(edges) + 1) ** 0.6).astype(int)
        tables.append(Table((k,), (edges,), points[:: -1 if feature.direction > 0 else 1]))
    return describe_page(Page(745, tuple(tables)), features)


def _misses(s: Sample) -> Json:
    p = s.p["lightgbm"]
    trusted, distrusted = np.argsort(np.where(s.bad == 1, p, 2))[:14], np.argsort(np.where(s.bad == 0, -p, 2))[:6]
    found = []
    for k, row in enumerate([*trusted, *distrusted]):
        first = date(2025, 3, 4) + timedelta(int(row) % 50)
        after = {
            "entry_id": f"v-{row:06d}-w",
            "kind": "violation",
            "day": "2025-06-30",
            "what": "unsafe_product extreme",
        }
        entries = [
            {"entry_id": f"v-{row:06d}-{j}", "kind": "violation", "day": str(first + timedelta(11 * j)), "what": what}
            for j, what in enumerate(
                (
                    "counterfeit_goods, harm high, confirmed",
                    "late_delivery, harm low",
                    "unsafe_product, harm high, appealed",
                )
            )
        ][: 1 + k % 3]
        found.append({
            "seller": f"s-{row:06d}", "observe": "2025-05-20", "points": int(s.points["lightgbm"][row]),
            "p_bad": float(p[row]), "tier": TIERS[int(np.searchsorted(CUT_OFFS, s.points["lightgbm"][row], "right")) - 1],
            "bad": bool(s.bad[row]), "entries": entries, "after": [after] if s.bad[row] else [],
        })  # fmt: skip
    return found


def _champion(s: Sample) -> Json:
    tier = {n: np.searchsorted(CUT_OFFS, s.points[n], side="right") - 1 for n in ("champion", "lightgbm")}
    matrix = [[int(((tier["champion"] == a) & (tier["lightgbm"] == b)).sum()) for b in range(4)] for a in range(4)]
    apart = np.abs(tier["champion"] - tier["lightgbm"])
    worst = {n: s.p[n] >= np.quantile(s.p[n], 0.9) for n in tier}

    def part(where: NDArray[np.bool_]) -> Json:
        rows, bad = int(where.sum()), int(s.bad[where].sum())
        return {"rows": rows, "bad": bad, "bad_rate": bad / rows}

    return {
        "migration": {
            "tiers": list(TIERS),
            "matrix": matrix,
            "same": float((apart == 0).mean()),
            "within_one": float((apart <= 1).mean()),
        },
        "swap": {
            "rejected_share": 0.1,
            "in": part(worst["champion"] & ~worst["lightgbm"]),
            "out": part(worst["lightgbm"] & ~worst["champion"]),
            "kept": part(worst["lightgbm"] == worst["champion"]),
        },
    }


def _months(s: Sample) -> Json:
    found = []
    for k in range(12):
        where = s.month == k
        rate = s.rate(where)
        keep = {key: rate[key] for key in ("rows", "bad", "predicted", "observed")}
        found.append({"month": f"2025-{k + 1:02d}", "auc": s.auc_of("lightgbm", where), **keep})
    return found


def _volume(s: Sample) -> Json:
    found = []
    for rows in np.array_split(np.arange(ROWS), 10):
        where = np.isin(np.arange(ROWS), rows)
        rate, v = s.rate(where), s.volume[rows]
        found.append({
            "orders_from": float(v.min()), "orders_to": float(v.max()), "rows": len(rows), "predicted": rate["predicted"],
            "observed": rate["observed"], "unconstrained_predicted": float(s.p["unconstrained"][where].mean() * 1.07),
        })  # fmt: skip
    return found


PAIRED = (("champion", -0.009, 0.061), ("logistic", -0.014, 0.072), ("unconstrained", 0.0004, -0.004))
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
        {"check": "adversarial validation", "ok": True, "number": 0.612, "threshold": 0.8,
         "text": "How well a model tells training from test rows."},
        {"check": "entities across folds", "ok": True, "number": 0, "threshold": 0, "text": "Sellers in two folds."},
    ],
}  # fmt: skip


def evaluation() -> dict[str, Json]:
    """All that training writes about a candidate with a champion, as plain JSON."""
    s = _sample()
    pairs = {name: i.as_dict() for name, i in s.auc.items() if name.startswith("lightgbm-")}
    order = np.argsort(s.p["lightgbm"])
    edges = list(range(200, 901, 25))
    seen = int((np.arange(ROWS) % 3 > 0).sum())
    psi = [{"feature": key, "value": float(0.09 * np.exp(-k / 6)), "critical": 0.021} for k, key in enumerate(FEATURES)]
    found = {
        "train": {"rows": 15_872, "bad": 1411, "sellers": 4210},
        "test": {"rows": ROWS, "bad": int(s.bad.sum()), "sellers": ROWS // 2, "indeterminate": 61, "left": 118,
                 "seen_rows": seen, "unseen_rows": ROWS - seen},
        "base_rate": float(s.bad.mean()),
        "predicted": float(s.p["lightgbm"].mean()),
        "auc": {name: s.auc[name].as_dict() for name in s.ranks},
        "difference": pairs,
        "equal_volume": _equal_volume(s),
        "models": _models(s),
        "paired": {f"lightgbm-{name}": {"log_loss": interval(gap, 0.004), "recall_of_loss": interval(more, 0.031)}
                   for name, gap, more in PAIRED},
        "curves": _curves(s),
        "reliability": [s.rate(np.isin(np.arange(ROWS), rows)) for rows in np.array_split(order, 10)],
        "grades": _grades(s),
        "bands": _bands(s),
        "score_distribution": {"edges": edges} | {
            name: np.histogram(np.clip(s.points["lightgbm"][s.bad == flag], 200, 899), edges)[0].tolist()
            for name, flag in (("good", 0), ("bad", 1))},
        "by_month": _months(s),
        "segments": _segments(s),
        "calibration_by_volume": _volume(s),
        "psi": {"score": {"value": 0.0134, "critical": 0.0191}, "features": psi},
        **_champion(s),
        "page": page([*FEATURES.values()]),
        "reasons": [{"reason_code": f"{name}_CONFIRMED", "rows": int(ROWS * share), "share": share} for name, share in
                    (("SERVICE", 0.31), ("QUALITY", 0.22), ("COUNTERFEIT", 0.07), ("SAFETY", 0.03))],
        "misses": _misses(s),
        "looks": [{"window": "2025-05-20", "time": "2026-01-04T09:12Z", "study_digest": "ab12" * 16, "why": "first training"},
                  {"window": "2025-05-20", "time": "2026-01-05T16:40Z", "study_digest": "cd34" * 16, "why": "wider bad"}],
        "checks": CHECKS,
        "labels": {
            "decision_delay": {"median_days": 19, "p95_days": 88, "p95_closed_only_days": 61, "open": 240},
            "development": {"factor": 1.043, "triangle": [[31, 44, 47, 48], [28, 41, 45], [35, 48], [30]]},
            "matured_windows": 5,
        },
        "certificate": {"algorithm": "tables@1", "trees": 17},
    }  # fmt: skip
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def parts(failing: tuple[str, ...] = ()) -> dict[str, Json]:
    """All that `render` takes."""
    return {
        "manifest": {"study": "marketplace", "core_version": "0.3.0"},
        "evaluation": evaluation(),
        "lineage": lineage(),
        "certificate": certificate(),
        "gates": gates(failing),
        "digest": DIGEST,
    }
