"""The scored test rows of a training as a table, so that anybody can compare another model on the same rows."""

from pathlib import Path

import numpy as np
import polars as pl

from scoring.errors import ConfigurationWrong
from training.observation.export import LedgerTable
from training.pipeline.job import Trained

WRITERS = {".csv": "write_csv", ".parquet": "write_parquet"}
"""The method that writes a table, by the ending of the file's name."""


def scored_rows(table: LedgerTable, trained: Trained) -> pl.DataFrame:
    """Return a table with a row for each test row: seller, day, outcome, points and scores.

    In the order of (observation point, seller). `seller`, `observe_day`, `bad` (0 or 1), `weight`; `orders_before` and
    `orders_in_window`, settled; `points`, as served (over the reference exposure, every context at its reference);
    `p_bad` over the row's own exposure, to be known as bad at the maturity; and of every model `score_NAME`, what it
    ranks by as it is served, where higher is worse: of the candidate, `score_lightgbm`, the log-odds over the reference
    exposure, of which `points` are the rounded and clipped form.
    """
    test = trained.test
    columns: dict[str, object] = {
        "seller": [table.sellers[code] for code in test.seller.tolist()],
        "observe_day": pl.Series(test.day.astype(np.int32)).cast(pl.Date),
        "bad": test.bad.astype(np.int8),
        "weight": test.weight,
        "orders_before": test.orders.astype(np.int64),
        "orders_in_window": test.window_orders.astype(np.int64),
        "points": trained.test_points.astype(np.int64),
        "p_bad": trained.test_p_bad,
    }
    scores = {f"score_{name}": score for name, score in trained.test_scores.items()}
    return pl.DataFrame({**columns, **scores})


def check_rows_file(file: Path) -> None:
    """Refuse, by ConfigurationWrong, a file to which `write_rows` cannot write.

    Its name must end in .csv or .parquet, and its folder must exist.
    """
    if file.suffix.lower() not in WRITERS:
        raise ConfigurationWrong(f"{file} must end in {' or '.join(WRITERS)}, which says how rows are written")
    if not file.parent.is_dir():
        raise ConfigurationWrong(f"rows cannot be written to {file}: there is no folder {file.parent}")


def write_rows(table: LedgerTable, trained: Trained, file: Path) -> int:
    """Write the scored test rows as CSV or Parquet, by the file's ending; return their number.

    ConfigurationWrong if the file cannot be written.
    """
    check_rows_file(file)
    rows = scored_rows(table, trained)
    try:
        getattr(rows, WRITERS[file.suffix.lower()])(file)
    except OSError as error:
        raise ConfigurationWrong(f"rows cannot be written to {file}: {error.strerror or error}") from None
    return len(rows)
