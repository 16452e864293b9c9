"""The training pipeline: `run(Job(table, study, policy))`."""

from training.pipeline.job import Job, Planned, Sample, Shell, Trained
from training.pipeline.run import plan, run
from training.pipeline.steps import NAMES, Kept

__all__ = ["NAMES", "Job", "Kept", "Planned", "Sample", "Shell", "Trained", "plan", "run"]
