from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from scoring.base.arrays import Floats, Ints
from scoring.base.canonical import JsonObject
from scoring.base.frozen import frozen
from scoring.model.artifact import Artifact
from scoring.policy.policy import Policy
from training.fitting.slope import Slope
from training.observation.export import LedgerTable
from training.observation.snapshots import Snapshot
from training.study.definition import Study


@frozen
class TrainingSample:
    sellers: Sequence[str]
    days: Sequence[int]
    x: Floats
    study: Study


@frozen
class Shell:
    """The shell's services, if requested."""

    parity: Callable[[TrainingSample], int] | None = None
    """Reads a sample again as a server reads it; returns how many rows differ in any bit."""
    looks: Path | None = None
    now: int = 0


@frozen
class Job:
    table: LedgerTable
    study: Study
    policy: Policy
    champion: Artifact | None = None
    recalibrate: bool = False
    """Keep the champion's tables, and fit only the level."""
    verify: bool = True
    slope: Slope | None = None
    """None if bad is a plain count."""
    shell: Shell = field(default_factory=Shell)


@frozen
class PlannedRun:
    evaluation: JsonObject
    lines: Mapping[str, str]


@frozen
class TrainedModel:
    """Arrays of shape (n,)."""

    parts: dict[str, bytes]
    gates: JsonObject
    """From `training.gates.table.judge`."""
    evaluation: JsonObject
    seconds: Mapping[str, float]
    lines: Mapping[str, str]
    test: Snapshot
    test_scores: Mapping[str, Floats]
    """By model, the served ranking."""
    test_points: Ints
    test_p_bad: Floats
    """Over each row's own exposure."""
    test_log_odds: Mapping[str, Floats]
    """By model, over each row's own exposure."""

    @property
    def passed(self) -> bool:
        """Return whether every hard gate is ok; advisory ones may still ask for a signature."""
        return bool(self.gates["passed"])
