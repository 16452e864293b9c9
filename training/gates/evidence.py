"""The evidence that gates judge by: the evaluation, what was measured beside it, and how certain a number is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.evaluation.case import CANDIDATE, CHAMPION

ALPHA = 0.05
"""After Holm's correction: the chance that any of a gate's questions raises a false alarm."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured outside the evaluation; None: not measured."""

    certificate_breaches: int | None = None
    """Rows of tables that move a constrained feature the wrong way."""
    parity_rows: int = 0
    """Rows whose features were read again over gRPC."""
    parity_mismatches: int | None = None
    """Those of `parity_rows` whose features over gRPC differ from training's in any bit."""
    golden_rows: int = 0
    """Golden rows that were scored again by the packed model."""
    golden_mismatches: int | None = None
    """Those of `golden_rows` whose score came out different."""
    digests: tuple[str, ...] = ()
    """Digests of trainings of the same study, data and seed, two at least; fewer prove nothing."""


@dataclass(frozen=True, slots=True)
class GateEvidence:
    """What a gate looks at."""

    evaluation: Mapping[str, Any]
    """The evaluation of the model, as JSON values."""
    measured: Measured
    """What was measured outside the evaluation."""
    segment_rows: int
    """The least number of rows from which a segment is judged."""

    @property
    def has_champion(self) -> bool:
        """Return whether there is a champion to judge by.

        Of the same label, since figures of another one prove nothing.
        """
        of_another_label = self.evaluation.get("champion", {}).get("other_label")
        return f"{CANDIDATE}-{CHAMPION}" in self.evaluation["paired"] and not of_another_label

    @property
    def reference(self) -> str | None:
        """Return the name of the model that the candidate must not fall behind.

        The champion, else the logistic regression; None if the evaluation compares the candidate with neither.
        """
        if self.has_champion:
            return CHAMPION
        return "logistic" if f"{CANDIDATE}-logistic" in self.evaluation["paired"] else None


@dataclass(frozen=True, slots=True)
class GateFinding:
    """A gate's number, and the sentence that states it."""

    number: float | None
    """The larger, the worse; None if there is none."""
    text: str
    """What was found, in a sentence."""
    spread: float | None = None
    """Half the width of the number's 95 % interval, of its logarithm if it `is_ratio`.

    None where the number is no estimate, or is one only where a test has proven it.
    """
    is_ratio: bool = False
    """Whether the number is a ratio, compared by its logarithm."""
    passes: str = ""
    """What passes, as a sentence with `{limit}` for the gate's limit; empty where the text needs none."""

    def verdict(self, limit: float, bad: int) -> "Verdict":
        """Judge the number by its limit, as far as `bad` bad test rows can show it; None: left open.

        A fault as large as the limit must be distinguished from none: where the spread is within the limit, the number
        decides. Where it is wider, only an interval that lies wholly on one side of the limit decides, and all else is
        left open (None). A number that is missing or not finite, or an endless spread, is left open too. Worked: a loss
        of 0.01 give or take 0.06 from 50 bad rows, at most 0.03: open, and 50 x (0.06 / 0.03)^2 = 200 bad rows are
        needed; a loss of 0.1 give or take 0.06 fails.
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
    """Whether a number passes its gate."""

    ok: bool | None
    """Whether it keeps within its limit; None: the number does not decide it."""
    needed: int | None = None
    """Bad test rows with which the number would decide; None where that is not known or not needed."""


def segments(evidence: GateEvidence) -> list[tuple[str, Mapping[str, Any]]]:
    """Return a list of (kind, figures) of every segment of the evaluation.

    A kind of one segment is left out: it is the whole, which other gates judge.
    """
    return [(kind, row) for kind, rows in evidence.evaluation["segments"].items() if len(rows) > 1 for row in rows]


def half_width(interval: Mapping[str, Any]) -> float:
    """Return half the width of an interval; infinity where there is none."""
    if interval["low"] is None or interval["high"] is None:
        return math.inf
    return float(interval["high"] - interval["low"]) / 2


def interval_text(interval: Mapping[str, Any], digits: int = 3) -> str:
    """Return a 95 % interval as text in brackets; empty where there is none."""
    if interval["low"] is None or interval["high"] is None:
        return ""
    return f" (95 % interval {interval['low']:.{digits}f} to {interval['high']:.{digits}f})"
