"""Compute the model's inputs from the rows that a server reads.

Training computes them from columns of an export. The gate `parity` demands equal bits.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scoring.base.arrays import Floats
from scoring.base.time import DAY
from scoring.features.columns import FactRow, columns_of
from scoring.features.facts import resolve
from scoring.features.fold import Folder
from scoring.features.table import matrix
from service.bootstrap import open_ledger
from service.settings import Settings

if TYPE_CHECKING:
    from training.pipeline.job import Sample
    from training.study.definition import Study


def count_differing_rows(settings: Settings, marketplace: str, sample: "Sample") -> int:
    differing = 0
    with open_ledger(settings) as ledger:
        last = ledger.cut().sequence
        for seller, day, x in zip(sample.sellers, sample.days, sample.x, strict=True):
            rows = ledger.facts.rows(marketplace, [seller], last)
            differing += _inputs_of(rows, seller, day, sample.study).tobytes() != x.tobytes()
    return differing


def _inputs_of(rows: Sequence[FactRow], seller: str, day: int, study: "Study") -> Floats:
    """Compute one seller's inputs, shape (features,), at the beginning of `day`, from all its `rows` reported by then."""
    facts = resolve(columns_of(rows, [seller]), np.array([day * DAY], dtype=np.int64), as_reported=True)
    place = int(facts.identity_row[0])
    attributes = (rows[place].attributes or {}) if place >= 0 else {}
    found: Floats = matrix(Folder(study.constants).fold(facts), study.features, [attributes])[0]
    return found
