"""Compute the model's inputs from the rows that a server reads.

Training computes them from columns of an export. The gate `parity` demands equal bits.
"""

from typing import TYPE_CHECKING

from scoring.base.arrays import Floats
from scoring.base.time import DAY
from scoring.features.columns import FactTable
from scoring.features.fold import Folder
from scoring.features.resolved import attributes_of, resolve_as_reported
from scoring.features.table import matrix
from service.bootstrap import open_ledger
from service.settings import Settings

if TYPE_CHECKING:
    from training.pipeline.job import TrainingSample
    from training.study.definition import Study


def count_differing_rows(settings: Settings, marketplace: str, sample: "TrainingSample") -> int:
    """Return how many of training's rows differ in any bit from what a server reads for that seller and day."""
    differing = 0
    with open_ledger(settings) as ledger:
        cut = ledger.cut()
        for seller, day, x in zip(sample.sellers, sample.days, sample.x, strict=True):
            table, _ = ledger.facts.table(marketplace, [seller], cut)
            differing += _compute_inputs(table, seller, day, sample.study).tobytes() != x.tobytes()
    return differing


def _compute_inputs(table: FactTable, seller: str, day: int, study: "Study") -> Floats:
    facts = resolve_as_reported([seller], table, day * DAY).view().facts
    attributes = attributes_of(table.rows, facts.identity_row.tolist())
    inputs: Floats = matrix(Folder(study.constants).fold(facts), study.features, attributes)[0]
    return inputs
