"""The step between the checks and the training that searches for parameters, if it is requested."""

from dataclasses import dataclass, replace

from training.fitting.tuning import tune
from training.pipeline.job import Job
from training.pipeline.observing import Observed
from training.pipeline.steps import Step


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The job with the parameters that were found."""

    job: Job
    summary: str
    """The line that the step shows."""


def search(step: Step, job: Job, observed: Observed) -> SearchResult:
    """Search `job.trials` sets of parameters; return the job with the best one, and a summary.

    Each is tried on the training points alone, never on the test rows. Trials are kept in `trials.jsonl` of `job.kept`, and
    those of an interrupted search are used again. `step` shows the progress.
    """
    file = job.kept.path("trials.jsonl")
    tuned = tune(observed.parts, job.study, job.trials, file, step)
    return SearchResult(replace(job, study=tuned.study), tuned.summary)
