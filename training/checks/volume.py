"""Say how much the orders in the window alone know of badness, and what follows from it for the study."""

import numpy as np

from training.checks.check import Check
from training.evaluation.equal_volume import auc_at_equal_volume
from training.observation.snapshots import Snapshot
from training.study.definition import Study

MUCH, SOME = 0.75, 0.55


def check_volume(study: Study, rows: Snapshot) -> Check:
    """Note how the orders in the window rank bad from good within a day, over training rows; it always holds.

    The lower bound of the AUC decides which remedy the text names.
    """
    ones = np.ones(len(rows.bad))
    found = auc_at_equal_volume(rows.window_orders, rows.bad, ones, rows.seller, rows.weight, rows.day).interval()
    value = round(float(np.nan_to_num(found.value, nan=0.5)), 6)
    text = f"orders in the window alone rank with an AUC of {found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
    is_count = not study.is_rate and study.exposure.reference_orders is None and study.bad.volume == "chance"
    if study.at_equal_volume and found.low > MUCH:
        text += ': models are judged at equal volume; if orders follow from badness, state bad.volume = "answer"'
    elif is_count and found.low > SOME:
        text += (
            ": bad is a count that rises with them; state bad.share, or [exposure], so that selling more is not worse"
        )
    return Check("volume", True, value, text, MUCH)
