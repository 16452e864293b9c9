"""LightGBM's parameters that a study may set: all except parameters that training sets or that break its promises.

LightGBM silently drops one of two names for the same parameter, so a study must write the first name.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache

from scoring.base.parts import Part

OURS: Mapping[str, str] = {
    "objective": "objective_type app application loss",
    "monotone_constraints": "mc monotone_constraint monotonic_cst",
    "monotone_constraints_method": "monotone_constraining_method mc_method",
    "monotone_penalty": "monotone_splits_penalty ms_penalty mc_penalty",
    "deterministic": "",
    "force_row_wise": "",
    "force_col_wise": "",
    "verbosity": "verbose",
    "seed": "random_seed random_state",
    "num_threads": "num_thread nthread nthreads n_jobs",
    "num_iterations": "num_boost_round num_iteration n_iter num_tree num_trees num_round num_rounds nrounds n_estimators"
    " max_iter",
    "device_type": "device",
}
"""Parameters that training sets itself, with LightGBM's other names for each."""

BREAKING: Mapping[str, str] = {
    "early_stopping_round": "early_stopping_rounds early_stopping n_iter_no_change",
    "forcedsplits_filename": "fs forced_splits_filename forced_splits_file forced_splits",
    "forcedbins_filename": "",
    "input_model": "model_input model_in",
    "linear_tree": "linear_trees",
    "path_smooth": "",
}
"""Parameters that need other rows, read other files, or make trees that cannot be proven monotone; with their other
names.
"""

DEFAULTED: Mapping[str, str] = {
    "learning_rate": "shrinkage_rate eta",
    "num_leaves": "num_leaf max_leaves max_leaf max_leaf_nodes",
    "min_data_in_leaf": "min_data_per_leaf min_data min_child_samples min_samples_leaf",
    "lambda_l2": "reg_lambda lambda l2_regularization",
    "bagging_fraction": "sub_row subsample bagging",
    "bagging_freq": "subsample_freq",
    "feature_fraction": "sub_feature colsample_bytree",
    "extra_trees": "extra_tree",
    "boosting": "boosting_type boost",
}
"""Parameters that a study may set, over the defaults, with their other names."""


def refuse_wrong_parameters(part: Part) -> None:
    """Note an error for each wrong value in a study's `model.parameters`."""
    part.skip_others()
    given, ours, breaking = set(part.data), _names(OURS), _names(BREAKING)
    if theirs := sorted(given & ours):
        part.refuse(
            "",
            f"may not set {', '.join(theirs)}: the certificate rests on what training sets; trees and seed are model.rounds"
            " and model.seed",
        )
    if unproven := sorted(given & breaking):
        part.refuse(
            "",
            f"may not set {', '.join(unproven)}: training has no rows to stop early by, reads no other file, and takes no"
            " trees that cannot be proven monotone; leave it out",
        )
    for name in sorted(given - _known()):
        near = get_close_matches(name, sorted(_known() - ours - breaking), 1)
        part.refuse(name, "is no parameter of LightGBM" + (f"; did you mean {near[0]}?" if near else ""))
    for name, others in DEFAULTED.items():
        for other in given.intersection(others.split()):
            part.refuse("", f"must write {name} for {other}")
    if part.data.get("boosting", "gbdt") != "gbdt":
        part.refuse("boosting", "may only be gbdt: other trees do not add up to log-odds")
    for name, value in part.data.items():
        if not all(isinstance(item, str | int | float) for item in (value if isinstance(value, list) else [value])):
            part.refuse(name, "must be a number, a text, true or false, or a list of such")


@cache
def _known() -> frozenset[str]:
    """Return every name under which LightGBM knows a parameter; LightGBM silently accepts unknown names."""
    from lightgbm.basic import _ConfigAliases

    aliases = _ConfigAliases._get_all_param_aliases()
    return (
        frozenset(aliases) | {name for others in aliases.values() for name in others} | _names(OURS) | _names(BREAKING)
    )


def _names(table: Mapping[str, str]) -> set[str]:
    return {name for first, others in table.items() for name in (first, *others.split())}
