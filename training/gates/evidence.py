"""What gates are judged by: the evaluation, what was measured, and how sure a number is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.evaluation.case import CANDIDATE, CHAMPION

ALPHA = 0.05
"""After Holm's correction: the chance that any of a gate's questions raises a false alarm."""

ERRORS = 2 * 1.959964
"""Standard errors in a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured outside the evaluation; None was not measured.

    `certificate_breaches`: splits that move the wrong way. `parity_mismatches` of `parity_rows` whose features over gRPC
    differ from training's in any bit. `golden_mismatches` of `golden_rows` replayed. Milliseconds of one score, and what
    they are of those of the reference model (`training.pipeline.judging`), timed in turn with it. Bytes of the model's text,
    and its trees. `digests`: of trainings of the same study, data and seed, two at least.
    """

    certificate_breaches: int | None = None
    parity_rows: int = 0
    parity_mismatches: int | None = None
    golden_rows: int = 0
    golden_mismatches: int | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    latency_p50_ratio: float | None = None
    latency_p99_ratio: float | None = None
    model_bytes: int | None = None
    trees: int | None = None
    digests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What gates look at: the evaluation's JSON, what was measured, and rows from which a segment is judged."""

    evaluation: Mapping[str, Any]
    measured: Measured
    segment_rows: int

    @property
    def reference(self) -> str | None:
        """The model that the candidate must not fall behind: the champion, without one logistic regression."""
        return next(
            (name for name in (CHAMPION, "logistic") if f"{CANDIDATE}-{name}" in self.evaluation["paired"]), None
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """A gate's number, None if there is none, and what it says in a sentence.

    `spread`: half the width of the number's 95 % interval, of its logarithm if it `is_ratio`; None where the number is no
    estimate, or is one only where a test has proven it.
    """

    number: float | None
    text: str
    spread: float | None = None
    is_ratio: bool = False

    def verdict(self, limit: float, bad: int) -> "Verdict":
        """Whether the number keeps within its limit, as far as so many bad test rows can tell.

        A fault as large as the limit must be told from none: where the spread is within the limit, the number decides.
        Where it is wider, only an interval that lies wholly on one side of the limit decides, and all else is left open.
        Worked: a loss of 0.01 give or take 0.06 from 50 bad rows, at most 0.03: open, and 50 x (0.06 / 0.03)^2 = 200 bad
        rows are needed; a loss of 0.1 give or take 0.06 fails.
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
    """What a number says of a gate: None where it says nothing. `needed`: bad test rows with which it would."""

    ok: bool | None
    needed: int | None = None
