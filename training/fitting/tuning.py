"""The search for parameters (Optuna): inside the training periods alone, whole sellers and later points held out.

A trial is fitted on the earlier training points without a fold of the sellers, and judged by log-loss on that fold at the
latest training point. So neither a seller nor a time is on both sides, and the test period is never seen. A trial that is
worse than the median after a fold is given up.

Trials that are over are kept in a file, so that an interrupted search goes on: a trial that was interrupted leaves nothing
there. What is tried next follows from the seed and the trials before it alone, so both searches end with the same parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState

from scoring.errors import ConfigurationWrong
from training.fitting.fit import fit_curves, offset
from training.observation.snapshots import Snapshot, join
from training.study.definition import Study

FOLDS = 3
"""Folds of sellers."""
MIN_BAD = 10
"""Bad rows per fold that the latest training point must have."""


@dataclass(frozen=True, slots=True)
class TuningResult:
    """What a search for parameters found."""

    study: Study
    """The study with the parameters that were found."""
    trials: int
    """Number of trials in all."""
    pruned: int
    """Number of trials that were given up early."""
    best: float
    """Mean log-loss of the found parameters on what was held out."""
    default: float
    """Mean log-loss of the study's own parameters on what was held out."""

    @property
    def summary(self) -> str:
        """Summarise the search in one line: trials, pruned ones, held-out log-loss after and before."""
        return (
            f"{self.trials} trials ({self.pruned} pruned): held-out log-loss {self.best:.5f}, {self.default:.5f} before"
        )


def tune(
    parts: list[Snapshot], study: Study, trials: int, file: Path | None, done: Callable[[int, int], None]
) -> TuningResult:
    """Search `trials` sets of parameters by held-out log-loss; return the best one.

    The first trial is the study's own parameters, so the result is never worse on what was held out: the sellers of each
    fold at the latest point, by a model of the other folds. Trials in `file`, of an interrupted search of the same study,
    count among them; without a file nothing is kept. `parts`: the snapshots of the training points, in order. `done` gets
    the number of trials that are over, and `trials`. ConfigurationWrong if there are fewer than two points, if the latest
    has fewer than MIN_BAD x FOLDS bad rows, or if the file is of an earlier release.
    """
    if len(parts) < 2 or parts[-1].bad.sum() < MIN_BAD * FOLDS:
        raise ConfigurationWrong(
            f"a search for parameters needs two training points or more, and {MIN_BAD * FOLDS} bad sellers at the latest"
            " one: state more of them in observation, or train without --tune"
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kept = optuna.create_study(study_name=study.digest, storage=_storage(file), load_if_exists=True)
    search = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=4))
    # The first trial is the study as it is, without a parameter: nothing worse is ever chosen.
    search.add_trials(sorted((trial for trial in kept.trials if trial.state in _OVER), key=lambda t: bool(t.params)))
    if search.trials and search.trials[0].params:
        raise ConfigurationWrong("what an interrupted search left behind is of an earlier release; train with --fresh")
    earlier, latest = join(parts[:-1]), parts[-1]
    for number in range(len(search.trials), trials):
        done(number, trials)
        search.sampler = optuna.samplers.TPESampler(seed=study.model.seed + number)
        trial = search.ask()
        kept.add_trial(_try(search, trial, study if number == 0 else _candidate(trial, study), earlier, latest))
    done(trials, trials)
    default, best = _value(search.trials[0]), search.best_trial
    found = study if best.number == 0 else _candidate(optuna.trial.FixedTrial(best.params), study)
    pruned = sum(trial.state is TrialState.PRUNED for trial in search.trials)
    return TuningResult(found, len(search.trials), pruned, _value(best), default)


_OVER = (TrialState.COMPLETE, TrialState.PRUNED)
"""States of trials that are over."""


def _try(
    search: optuna.Study, trial: optuna.Trial, candidate: Study, earlier: Snapshot, latest: Snapshot
) -> optuna.trial.FrozenTrial:
    """Try a candidate fold by fold, until it is over or worse than the median of the others.

    The first trial is never given up.
    """
    losses: list[float] = []
    for fold in range(FOLDS):
        losses.append(_held_out(earlier, latest, candidate, fold))
        trial.report(float(np.mean(losses)), fold)
        if trial.number and fold < FOLDS - 1 and trial.should_prune():
            return search.tell(trial, state=TrialState.PRUNED)
    return search.tell(trial, float(np.mean(losses)))


def _storage(file: Path | None) -> Any:
    """Return storage of trials in the file, or in memory without one."""
    if file is None:
        return InMemoryStorage()
    file.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(file), lock_obj=JournalFileOpenLock(str(file))))


def _value(trial: optuna.trial.FrozenTrial) -> float:
    """Return the log-loss of a trial, NaN without one."""
    return float("nan") if trial.value is None else float(trial.value)


def _candidate(trial: Any, study: Study) -> Study:
    """Return the study with a trial's parameters."""
    found = {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.12, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 4, 48, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 20, 400, log=True),
        "lambda_l2": trial.suggest_float("lambda_l2", 0.5, 100.0, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 1.0),
    }
    rounds = trial.suggest_int("rounds", 60, 500, log=True)
    return replace(study, model=replace(study.model, parameters={**study.model.parameters, **found}, rounds=rounds))


def _held_out(earlier: Snapshot, latest: Snapshot, study: Study, fold: int) -> float:
    """Return the mean log-loss over the fold's sellers at the latest point.

    The model was fitted without these sellers and without that point.
    """
    test = latest.take(latest.seller % FOLDS == fold)
    raw = fit_curves(earlier.take(earlier.seller % FOLDS != fold), study).raw(test.x) + offset(test, study)
    signed = np.where(test.bad > 0, -raw, raw)
    return float(np.average(np.logaddexp(0.0, signed), weights=test.weight))
