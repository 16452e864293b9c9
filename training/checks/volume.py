"""Check that bad does not rise with volume alone, which the fixed direction of exposure forbids."""

from training.checks.check import Check
from training.evaluation.resampling import bootstrap_auc
from training.observation.snapshots import Snapshot
from training.study.definition import Study

MAX_BY_VOLUME = 0.55

RESAMPLES = 200


def check_bad_by_volume(study: Study, rows: Snapshot) -> Check:
    """Check that the 95 % interval of past orders' AUC, over training rows, does not lie wholly above MAX_BY_VOLUME.

    The check passes untested if bad is a rate or over reference orders, or if no feature of exposure has a fixed
    direction.
    """
    name = "count_label"
    if study.exposure.reference_orders is not None or study.is_rate:
        return Check(name, True, 0.0, "bad is defined over orders, so that selling more is not worse")
    fixed = [f.key for f in study.features if f.key.startswith("exposure@") and f.direction]
    if not fixed:
        return Check(
            name, True, 0.0, "bad is a count, and no direction of exposure forbids to learn how it goes with volume"
        )
    found = bootstrap_auc({"orders": rows.orders}, rows.bad, rows.seller, study.model.seed, RESAMPLES, rows.weight)[
        "orders"
    ]
    ranks = f"past orders alone rank with an AUC of {found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
    if not found.low > MAX_BY_VOLUME:
        return Check(name, True, round(found.value, 6), f"bad is a count, and hardly rises: {ranks}", MAX_BY_VOLUME)
    return Check(
        name,
        False,
        round(found.value, 6),
        f"bad is a count that rises with volume: {ranks}, and the fixed direction of {fixed[0]} forbids to learn it;"
        " state [exposure] with reference_orders, so that selling more is not worse by itself, or (for a model that is never"
        ' champion) exposure = "free" in [directions]',
        MAX_BY_VOLUME,
    )
