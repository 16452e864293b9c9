import math

from scoring.base.canonical import JsonObject
from scoring.base.frozen import frozen
from training.evaluation.case import CHAMPION
from training.evaluation.equal_volume import CANDIDATE, MIN_BAD

ALPHA = 0.05
"""Chance, after Holm's correction, that any of a gate's questions raises a false alarm."""


@frozen
class Measurements:
    """Measurements outside the evaluation; None: not measured."""

    parity_rows: int = 0
    parity_mismatches: int | None = None
    """Rows of `parity_rows` whose features differ in any bit."""
    digests: tuple[str, ...] = ()
    """From trainings of the same study, data and seed. At least two are needed."""


@frozen
class GateEvidence:
    evaluation: JsonObject
    measured: Measurements
    segment_rows: int

    @property
    def has_champion(self) -> bool:
        """Return whether the candidate was compared with a champion of the same label."""
        of_another_label = self.evaluation.get("champion", {}).get("other_label")
        return f"{CANDIDATE}-{CHAMPION}" in self.evaluation["judged"]["difference"] and not of_another_label

    @property
    def has_few_bad(self) -> bool:
        """Return whether bad test rows are too few for a refusal."""
        return int(self.evaluation["test"]["bad"]) < MIN_BAD

    @property
    def reference(self) -> str:
        """Return the model to compare with: the champion, else "logistic"."""
        return CHAMPION if self.has_champion else "logistic"


@frozen
class GateFinding:
    number: float | None
    """A larger number is worse; None if unknown."""
    text: str
    spread: float | None = None
    """Half the width of the 95 % interval of the number, or of its logarithm if it `is_ratio`; None if it is exact."""
    is_ratio: bool = False
    """The number is compared by its logarithm."""
    of_many: bool = False
    """One of many that is proven to be off; it asks for no signature within the limit."""
    by_person: bool = False
    """A failure, or a missing number, asks for a signature."""
    passes: str = ""
    """The condition for passing, as a sentence with `{limit}`; empty if the text needs none."""
    remedy: str = ""

    def verdict(self, limit: float, bad: int) -> "GateVerdict":
        """Judge the number by its limit, as far as `bad` bad test rows can show it.

        Near the limit it is undecided: below it by as much as the spread exceeds half of the limit, above it a quarter.
        Worked, for a limit of 0.03 with 50 bad rows and a spread of 0.03: losses from 0.015 to 0.0525 are undecided. A
        loss of 0.02 needs 50 x (0.03 / 0.025)^2 = 72 bad rows.
        """
        if self.number is None or not math.isfinite(self.number):
            return GateVerdict(ok=None, signed=self.by_person)
        fault, allowed = (math.log(self.number), math.log(limit)) if self.is_ratio else (self.number, limit)
        spread = self.spread or 0.0
        if fault <= max(allowed - max(spread - allowed / 2, 0.0), 0.0):
            return GateVerdict(ok=True)
        if fault > allowed + max(spread - allowed / 4, 0.0):
            return GateVerdict(ok=None, signed=True) if self.by_person else GateVerdict(ok=False)
        if self.of_many and fault <= allowed:
            return GateVerdict(ok=True)
        spread_ratio = spread / (allowed / 2 + allowed - fault if fault <= allowed else allowed / 4 + fault - allowed)
        return GateVerdict(
            ok=None, signed=True, needed=math.ceil(bad * spread_ratio**2) if math.isfinite(spread_ratio) else None
        )


@frozen
class GateVerdict:
    ok: bool | None
    """None: undecided, or not measured."""
    signed: bool = False
    """A person decides."""
    needed: int | None = None
    """Bad test rows that would decide; None if unknown, or if decided."""

    @property
    def rank(self) -> int:
        """Return 2 if it passes, 1 if a person decides, 0 if it fails or was not measured."""
        return 2 if self.ok else 1 if self.signed else 0


def segments_of(evidence: GateEvidence) -> list[tuple[str, JsonObject]]:
    """Return (kind, figures) of every segment of the evaluation, without kinds of one segment: ("country", {...})."""
    return [(kind, row) for kind, rows in evidence.evaluation["segments"].items() if len(rows) > 1 for row in rows]


def half_width(interval: JsonObject) -> float:
    """Infinite if an end is None."""
    if interval["low"] is None or interval["high"] is None:
        return math.inf
    return float(interval["high"] - interval["low"]) / 2


def interval_text(interval: JsonObject) -> str:
    """Return text like " (95 % interval 0.790 to 0.834)"; empty if an end is unknown."""
    if interval["low"] is None or interval["high"] is None:
        return ""
    return f" (95 % interval {interval['low']:.3f} to {interval['high']:.3f})"
