"""The certificate: an exact proof that a page is monotone in every feature that has a direction.

Points are a sum of rows of tables of whole points, so comparing each row with the next proves it.
"""

from collections.abc import Mapping
from hashlib import sha256

import numpy as np

from scoring.base.errors import ArtifactRefused
from scoring.model.page import Page, page_model_text

ALGORITHM = "tables@1"


def certify(page: Page, directions: Mapping[str, int]) -> dict[str, object]:
    """Prove that a page is monotone; return the certificate as JSON values.

    `directions`: by feature key, in input order: more of a feature never lowers points (+1) or never raises them (-1),
    or is free (0). Raise ArtifactRefused naming the first other table.
    """
    keys, signs = list(directions), list(directions.values())
    for table in page.tables:
        for axis, column in enumerate(table.features):
            worst = int((signs[column] * np.diff(table.points, axis=axis)).min(initial=0))
            if worst < 0:
                raise ArtifactRefused(
                    f"the model is not monotone: the table of {keys[column]} moves by {-worst} points the wrong way;"
                    " train again"
                )
    return {
        "algorithm": ALGORITHM,
        "model_sha256": sha256(page_model_text(page.tables, len(signs)).encode()).hexdigest(),
        "trees": len(page.tables),
        "rows": page.rows,
        "directions": dict(directions),
    }
