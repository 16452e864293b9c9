"""What a training is given, and what it gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scoring.arrays import Floats, Ints
from scoring.model.artifact import Artifact
from scoring.policy import Policy
from training.fitting.slope import Slope
from training.observation.export import LedgerTable
from training.observation.snapshots import Snapshot
from training.pipeline.steps import Kept
from training.study.definition import Study


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of the snapshot that the shell reads again from the ledger.

    `x[i]` is seller `sellers[i]` at the beginning of day `days[i]`, by the study's features.
    """

    sellers: Sequence[str]
    days: Sequence[int]
    x: Floats
    study: Study


@dataclass(frozen=True, slots=True)
class Shell:
    """What only the shell can do; None: it was not asked to.

    `parity`: reads a sample again over gRPC; how many of its rows have other bits. `latency`: milliseconds of a single
    score by the first model as {"p50", "p99"}, and over those of the second one, timed in turn with it, as {"p50_ratio",
    "p99_ratio"}. `looks`: the file in which looks at test windows are logged. `now`: the shell's clock, in microseconds.
    """

    parity: Callable[[Sample], int] | None = None
    latency: Callable[[Artifact, Artifact], Mapping[str, float]] | None = None
    looks: Path | None = None
    now: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """One training. `recalibrate`: the champion's trees stay, only the intercept of its scale is fitted anew.

    `verify`: train twice and compare. `trials`: sets of parameters to search, 0 for those of the study. `slope`: of the
    exposure, once it is known, which the study then states too; None without a reference exposure.
    """

    table: LedgerTable
    study: Study
    policy: Policy
    champion: Artifact | None = None
    recalibrate: bool = False
    verify: bool = True
    trials: int = 0
    slope: Slope | None = None
    kept: Kept = field(default_factory=lambda: Kept(None))
    shell: Shell = field(default_factory=Shell)


@dataclass(frozen=True, slots=True)
class Planned:
    """What a training would be made of: what the checks found, and the line that each step came to."""

    evaluation: Mapping[str, Any]
    lines: Mapping[str, str]
    train_rows: int
    test_rows: int


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model: the artifact as named bytes, its gates, its out-of-time evaluation, and its test rows.

    `seconds` by step, `apart` what was timed apart from them, `lines` what each step came to. Of the test rows, shape (n,):
    by model `test_scores`, what it ranks by as it is served, and `test_log_odds` over each row's own exposure; of the
    candidate `test_points` as served, and `test_p_bad` over each row's own exposure.
    """

    parts: dict[str, bytes]
    gates: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    seconds: Mapping[str, float]
    apart: Mapping[str, float]
    lines: Mapping[str, str]
    test: Snapshot
    test_scores: Mapping[str, Floats]
    test_points: Ints
    test_p_bad: Floats
    test_log_odds: Mapping[str, Floats]

    @property
    def passed(self) -> bool:
        """Whether every hard gate is passed."""
        return bool(self.gates["passed"])
