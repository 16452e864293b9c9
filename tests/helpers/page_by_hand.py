"""A score added up by hand from the page and one seller's rows, in plain arithmetic.

It shares no code with the core. It knows the kinds of entries, the features, and the row lookup.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

DAY = 86_400_000_000
CATEGORIES = ("counterfeit", "ip", "safety", "quality", "restricted", "integrity", "service", "disclosure")
FLOORS = {"incident": 1, "moderate": 2, "severe": 3}
VIOLATION, STATUS, EXPOSURE, IDENTITY, DISPUTE, INSPECTION = 1, 2, 3, 4, 7, 8
COUNTED = {3, 6, 7}  # confirmed, appealed, reduced
INSPECTORS = range(1, 9)  # authorities, test buys and random audits
ONE = 2**40

Row = Mapping[str, Any]


class PageByHand:
    def __init__(self, parts: Mapping[str, bytes]) -> None:
        manifest = json.loads(parts["manifest.json"])
        self.base: int = manifest["base"]
        self.features = [row["feature"].split("@")[0] for row in manifest["features"]]
        self.constants = manifest["constants"]
        self.decay = {int(days): table for days, table in json.loads(parts["decay.json"]).items()}
        self.trees = []
        for block in parts["model.txt"].decode().split("Tree=")[1:]:
            lines = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            self.trees.append({name: lines[name].split() for name in _LINES})

    def points(self, rows: Sequence[Row], now: int) -> int:
        values = self.values(rows, now)
        return min(max(self.base + sum(self._row(tree, values) for tree in self.trees), 0), 1000)

    def _row(self, tree: Mapping[str, list[str]], values: Sequence[float]) -> int:
        node = 0 if tree["split_feature"] else -1
        while node >= 0:
            value = values[int(tree["split_feature"][node])]
            node = int(tree["left_child" if value <= float(tree["threshold"][node]) else "right_child"][node])
        return -int(tree["leaf_value"][-node - 1])

    def values(self, rows: Sequence[Row], now: int) -> list[float]:
        known = [row for row in rows if row["report_time"] < now]
        facts = _Facts(known, rows, now)
        return [self._value(name, facts) for name in self.features]

    def _weight(self, days: int, age: int) -> int:
        return int(self.decay[days][age]) if age < len(self.decay[days]) else 0

    def _orders(self, facts: "_Facts", days: int, column: int) -> float:
        """Return orders (0) or failures (1) decayed by a half-life."""
        short = 2**19  # exposure is weighed in steps of 2^-20
        return sum((self._weight(days, age) + short) // 2**20 * amounts[column] for age, *amounts in facts.sold) / 2**20

    def _value(self, name: str, facts: "_Facts") -> float:  # noqa: PLR0911  # one kind of feature a line
        damping, last = self.constants["rate_damping"], name.rpartition("_")[2]
        kind, _, rest = name.partition("_")
        days = int(last[:-1]) if last[:-1].isdigit() else 0
        orders = sum(sold for _, sold, _ in facts.sold)
        if name == "exposure":
            return float(orders / (orders + self.constants["exposure_scale"]))
        if name == "tenure_days":
            return float(min(facts.tenure, 3650))
        if name == "identity_level":
            return float(facts.level)
        if name == "service_failure_rate_ever":
            return float((sum(failed for *_, failed in facts.sold) + 0.5) / (orders + damping))
        if name.startswith("service_failure_rate"):
            return float(self._orders(facts, days, 1) / (self._orders(facts, days, 0) + damping))
        if name.startswith("failed_inspection_share"):
            passed, failed = (sum(self._weight(days, age) for age in facts.inspected[word]) / ONE for word in (1, 2))
            return failed / (failed + passed + 1.0)
        if name.startswith("lost_dispute_rate"):
            lost = sum(self._weight(days, age) for age in facts.lost) / ONE
            return float(lost / (self._orders(facts, days, 0) + damping))
        if kind in CATEGORIES and rest.startswith("mass"):
            return self._mass(facts, days, CATEGORIES.index(kind) + 1) / ONE
        if kind == "violation":
            return float(self._mass(facts, days, 0) / ONE / (self._orders(facts, days, 0) + damping))
        floor = FLOORS[kind]
        if name.endswith("_rate_ever"):
            ever = sum(any(one["severity"] >= floor for one in group) for group in facts.incidents.values())
            return float((ever + 0.5) / (orders + damping))
        largest = (
            max((self._weight(days, one["age"]) for one in group if one["severity"] >= floor), default=0)
            for group in facts.incidents.values()
        )
        mass = sum(largest) / ONE
        return mass if rest.startswith("mass") else float(mass / (self._orders(facts, days, 0) + damping))

    def _mass(self, facts: "_Facts", days: int, category: int) -> int:
        """Add up the largest weight of each incident: severity weight times decay, of one category or of all (0)."""
        weights = [
            0,
            *(self.constants["severity_weights"][name] for name in ("minor", "moderate", "major", "critical")),
        ]
        return sum(
            max(
                (
                    weights[one["severity"]] * self._weight(days, one["age"])
                    for one in group
                    if category in (0, one["category"])
                ),
                default=0,
            )
            for group in facts.incidents.values()
        )


class _Facts:
    """A seller's facts at one time. `known`: reported by then; decisions count even if reported later."""

    def __init__(self, known: Sequence[Row], rows: Sequence[Row], now: int) -> None:
        today, happened = now // DAY, [row for row in known if row["occur_time"] < now]
        latest: dict[tuple[int, str], Row] = {}
        for row in (row for row in known if row["kind"] == EXPOSURE and row["exposure_day"] < today):
            key = (row["exposure_day"], row["product_category"] or "")
            if key not in latest or (row["revision"] or 0) > (latest[key]["revision"] or 0):
                latest[key] = row
        self.sold = [
            (today - day, row["settled_orders"] or 0, row["service_failures"] or 0) for (day, _), row in latest.items()
        ]
        identities = sorted(
            (row for row in happened if row["kind"] == IDENTITY), key=lambda r: (r["occur_time"], r["sequence"])
        )
        self.level = (identities[-1]["identity_level"] or 0) if identities else 0
        starts = [day for day, _ in latest] + [row["occur_time"] // DAY for row in identities]
        self.tenure = today - min(starts, default=today)
        self.inspected = defaultdict(list)
        self.lost = []
        for row in happened:
            age = today - row["occur_time"] // DAY
            if row["kind"] == INSPECTION and row["source"] in INSPECTORS:
                self.inspected[row["status"]].append(age)
            if row["kind"] == DISPUTE and row["status"] == 1:
                self.lost.append(age)
        self.incidents = _count_incidents(happened, rows, today)


def _count_incidents(happened: Sequence[Row], rows: Sequence[Row], today: int) -> dict[str, list[dict[str, int]]]:
    incidents: dict[str, list[dict[str, int]]] = defaultdict(list)
    decisions: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: r["sequence"]):
        if row["kind"] == STATUS and row["status"]:
            decisions[row["violation"]].append(row)
    for row in (row for row in happened if row["kind"] == VIOLATION):
        said = [row, *decisions[row["violation"]]]
        if said[-1]["status"] in COUNTED:
            severity = [one["severity"] for one in said if one["severity"]][-1]
            age = today - row["occur_time"] // DAY
            incidents[row["incident"]].append({"category": row["category"], "severity": severity, "age": age})
    return incidents


_LINES = ("split_feature", "threshold", "left_child", "right_child", "leaf_value")
