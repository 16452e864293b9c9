import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.evaluation.case import CANDIDATE, CHAMPION

ALPHA = 0.05
"""Chance, after Holm's correction, that any of a gate's questions raises a false alarm."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Measurements outside the evaluation; None: not measured."""

    parity_rows: int = 0
    parity_mismatches: int | None = None
    """Rows of `parity_rows` whose features differ in any bit."""
    digests: tuple[str, ...] = ()
    """From trainings of the same study, data and seed. At least two are needed."""


@dataclass(frozen=True, slots=True)
class GateEvidence:
    evaluation: Mapping[str, Any]
    measured: Measured
    segment_rows: int

    @property
    def has_champion(self) -> bool:
        of_another_label = self.evaluation.get("champion", {}).get("other_label")
        return f"{CANDIDATE}-{CHAMPION}" in self.evaluation["paired"] and not of_another_label

    @property
    def reference(self) -> str:
        """Return the name of the model that the candidate must match: the champion, else the logistic regression."""
        return CHAMPION if self.has_champion else "logistic"


@dataclass(frozen=True, slots=True)
class GateFinding:
    number: float | None
    """A larger number is worse; None if unknown."""
    text: str
    spread: float | None = None
    """Half the width of the 95 % interval of the number, or of its logarithm if it `is_ratio`.

    None if the number is exact, or if only a test can prove it.
    """
    is_ratio: bool = False
    """The number is compared by its logarithm."""
    passes: str = ""
    """The condition for passing, as a sentence with `{limit}`; empty if the text needs none."""

    def verdict(self, limit: float, bad: int) -> "Verdict":
        """Judge the number by its limit, as far as `bad` bad test rows can show it; `ok` None: left open.

        If the spread is wider than the limit, only an interval wholly on one side of the limit decides. A missing or
        infinite number, or an infinite spread, is left open. Worked, for a limit of 0.03: a loss of 0.01 give or take
        0.06 from 50 bad rows is open, and 50 x (0.06 / 0.03)^2 = 200 bad rows are needed. A loss of 0.1 give or take
        0.06 fails.
        """
        if self.number is None or not math.isfinite(self.number) or self.spread == math.inf:
            return Verdict(ok=None)
        fault, room = (math.log(self.number), math.log(limit)) if self.is_ratio else (self.number, limit)
        if self.spread is None or room <= 0 or self.spread <= room or fault + self.spread <= room:
            return Verdict(ok=self.number <= limit)
        if fault - self.spread > room:
            return Verdict(ok=False)
        return Verdict(ok=None, needed=math.ceil(bad * (self.spread / room) ** 2))


@dataclass(frozen=True, slots=True)
class Verdict:
    ok: bool | None
    """None: undecided."""
    needed: int | None = None
    """Bad test rows that would decide; None if unknown, or if decided."""


def segments(evidence: GateEvidence) -> list[tuple[str, Mapping[str, Any]]]:
    """Return (kind, figures) of every segment of the evaluation, without kinds of one segment."""
    return [(kind, row) for kind, rows in evidence.evaluation["segments"].items() if len(rows) > 1 for row in rows]


def half_width(interval: Mapping[str, Any]) -> float:
    if interval["low"] is None or interval["high"] is None:
        return math.inf
    return float(interval["high"] - interval["low"]) / 2


def interval_text(interval: Mapping[str, Any], digits: int = 3) -> str:
    if interval["low"] is None or interval["high"] is None:
        return ""
    return f" (95 % interval {interval['low']:.{digits}f} to {interval['high']:.{digits}f})"
