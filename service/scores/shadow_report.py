from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scoring.base.canonical import parse_json
from scoring.model.scale import MAX_POINTS
from service.scores.shadow import file_of

MAX_SHOWN = 10
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


@dataclass(slots=True)
class ShadowReport:
    """Points of the shadow minus points of the champion, and tiers."""

    compared: int = 0
    dropped: int = 0
    failed: int = 0
    damaged: int = 0
    differences: Any = field(default_factory=lambda: np.zeros(2 * MAX_POINTS + 1, dtype=np.int64))
    """`differences[d + MAX_POINTS]`: answers that differ by d points."""
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Answers by (champion's tier, shadow's tier)."""
    champions: Counter[str] = field(default_factory=Counter)
    sellers: dict[str, tuple[int, int]] = field(default_factory=dict)
    """(champion's points, shadow's points) at the largest difference of each seller."""
    first: int | None = None
    last: int | None = None

    def add(self, line: dict[str, Any]) -> None:
        """Add one line of the file. A line without a seller has the dropped and failed requests."""
        if "seller" not in line:
            self.dropped += int(line["dropped"])
            self.failed += int(line["failed"])
            return
        before, after = map(int, line["points"])
        champion, shadow = map(str, line["tier"])
        moment = int(line["observe_time"])
        self.differences[after - before + MAX_POINTS] += 1
        self.compared += 1
        self.moves[champion, shadow] += 1
        self.champions[str(line["champion"])] += 1
        self.first = moment if self.first is None else min(self.first, moment)
        self.last = moment if self.last is None else max(self.last, moment)
        self._show(str(line["seller"]), before, after)

    def _show(self, seller: str, before: int, after: int) -> None:
        old = self.sellers.get(seller)
        if old is not None and abs(old[1] - old[0]) >= abs(after - before):
            return
        self.sellers[seller] = (before, after)
        if len(self.sellers) > MAX_SHOWN:
            least = min(self.sellers, key=lambda s: (abs(self.sellers[s][1] - self.sellers[s][0]), s))
            del self.sellers[least]

    def as_dict(self) -> dict[str, Any]:
        """Return counts, percentiles of the differences and tier moves as JSON values; None before the first
        comparison.
        """
        n = self.compared
        values = np.arange(-MAX_POINTS, MAX_POINTS + 1)
        ranks = np.cumsum(self.differences)
        percentiles = {
            f"p{p}": int(values[np.searchsorted(ranks, max(1, int(np.ceil(n * p / 100))))]) if n else None
            for p in PERCENTILES
        }
        moved = sum(count for (a, b), count in self.moves.items() if a != b)
        return {
            "compared": n,
            "dropped_requests": self.dropped,
            "failed_requests": self.failed,
            "damaged_lines": self.damaged,
            "champions": dict(self.champions.most_common()),
            "first_observe_time": self.first,
            "last_observe_time": self.last,
            "mean_difference": round(float(values @ self.differences) / n, 3) if n else None,
            "mean_absolute_difference": round(float(np.abs(values) @ self.differences) / n, 3) if n else None,
            **percentiles,
            "share_of_other_points": round(1 - int(self.differences[MAX_POINTS]) / n, 5) if n else None,
            "share_of_other_tier": round(moved / n, 5) if n else None,
            "tiers": [{"champion": a, "shadow": b, "answers": count} for (a, b), count in sorted(self.moves.items())],
            "most_different": [
                {"seller": seller, "champion": before, "shadow": after, "difference": after - before}
                for seller, (before, after) in sorted(
                    self.sellers.items(), key=lambda item: (-abs(item[1][1] - item[1][0]), item[0])
                )
            ],
        }


def report_of(folder: Path, digest: str) -> ShadowReport:
    """Summarize all comparisons of a shadow model, older file first. Unreadable lines count as damaged."""
    found = ShadowReport()
    path = file_of(folder, digest)
    for line in _lines(path.with_suffix(".1.jsonl"), path):
        try:
            found.add(parse_json(line))
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            found.damaged += 1
    return found


def _lines(*paths: Path) -> Iterator[bytes]:
    for path in paths:
        if path.exists():
            with path.open("rb") as file:
                yield from file
