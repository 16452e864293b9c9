"""What a training needs, and what it returns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scoring.arrays import Floats, Ints
from scoring.model.artifact import Artifact
from scoring.policy.policy import Policy
from training.fitting.slope import Slope
from training.observation.export import LedgerTable
from training.observation.snapshots import Snapshot
from training.pipeline.steps import Kept
from training.study.definition import Study


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of the snapshot that the shell reads again from the ledger."""

    sellers: Sequence[str]
    """The seller of each row."""
    days: Sequence[int]
    """The observation day of each row, at whose beginning the seller is observed."""
    x: Floats
    """The features of each row, by the study's features."""
    study: Study


@dataclass(frozen=True, slots=True)
class Shell:
    """What only the shell can do. None: it was not requested."""

    parity: Callable[[Sample], int] | None = None
    """Reads a sample again over gRPC, and returns how many of its rows have other bits."""
    looks: Path | None = None
    """The file in which looks at test windows are logged."""
    now: int = 0
    """The shell's clock, in microseconds."""


@dataclass(frozen=True, slots=True)
class Job:
    """One training."""

    table: LedgerTable
    """The ledger's export."""
    study: Study
    policy: Policy
    champion: Artifact | None = None
    """The model to compare with; None: there is none."""
    recalibrate: bool = False
    """Whether the champion's trees stay, and only the intercept of its scale is fitted anew."""
    verify: bool = True
    """Whether to train twice and compare."""
    slope: Slope | None = None
    """The slope of exposure, once it is known, which the study then states too; None without a reference exposure."""
    kept: Kept = field(default_factory=lambda: Kept(None))
    """What an interrupted run of the same training left behind."""
    shell: Shell = field(default_factory=Shell)


@dataclass(frozen=True, slots=True)
class Planned:
    """What a training would be made of."""

    evaluation: Mapping[str, Any]
    """What the checks found, as JSON values."""
    lines: Mapping[str, str]
    """The line that each step came to, by its name."""
    train_rows: int
    test_rows: int


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model, and its test rows, n of them. Arrays of shape (n,)."""

    parts: dict[str, bytes]
    """The artifact, as bytes by the name of the part."""
    gates: Mapping[str, Any]
    """The verdict of the gates (`training.gates.table.judge`)."""
    evaluation: Mapping[str, Any]
    """The out-of-time evaluation."""
    seconds: Mapping[str, float]
    """Seconds by step."""
    apart: Mapping[str, float]
    """Seconds of what was timed apart from the steps."""
    lines: Mapping[str, str]
    """The line that each step came to."""
    test: Snapshot
    """The test rows."""
    test_scores: Mapping[str, Floats]
    """By model, what it ranks by as it is served."""
    test_points: Ints
    """The candidate's points as served."""
    test_p_bad: Floats
    """The candidate's chance of bad over each row's own exposure."""
    test_log_odds: Mapping[str, Floats]
    """By model, the log-odds of bad over each row's own exposure."""

    @property
    def passed(self) -> bool:
        """Return whether every hard gate of the model is passed."""
        return bool(self.gates["passed"])
