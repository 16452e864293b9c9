from pathlib import Path

import numpy as np
import polars as pl

from scoring.base.errors import ConfigurationWrong, invalid
from training.observation.export import LedgerTable, naming_system_errors
from training.observation.snapshots import Snapshot, join_snapshots
from training.pipeline.job import Job, TrainedModel
from training.pipeline.observing import observe
from training.pipeline.steps import Step, show_nothing

WRITERS = {".csv": "write_csv", ".parquet": "write_parquet"}


def scored_rows(table: LedgerTable, trained: TrainedModel) -> pl.DataFrame:
    """Return a table with one row per test row, sorted by (observation point, seller).

    `points` are as served (reference exposure and context). `p_bad` is over the row's own exposure, known at the
    maturity. `score_NAME` is a model's served ranking, higher is worse.
    """
    columns = _describe_rows(table, trained.test)
    orders = {
        "orders_before": trained.test.orders.astype(np.int64),
        "orders_in_window": columns.pop("orders_in_window"),
    }
    answers = {"points": trained.test_points.astype(np.int64), "p_bad": trained.test_p_bad}
    scores = {f"score_{name}": score for name, score in trained.test_scores.items()}
    return pl.DataFrame({**columns, **orders, **answers, **scores})


def _describe_rows(table: LedgerTable, rows: Snapshot) -> dict[str, object]:
    return {
        "seller": [table.sellers[code] for code in rows.seller.tolist()],
        "observe_day": pl.Series(rows.day.astype(np.int32)).cast(pl.Date),
        "bad": rows.bad.astype(np.int8),
        "weight": rows.weight,
        "orders_in_window": rows.window_orders.astype(np.int64),
    }


def design_matrix(job: Job) -> pl.DataFrame:
    """Return what the model learns from and is judged by, one row per seller and point, training before test.

    Each feature of the study is a column by its key, with the actual context.
    """
    observed = observe(Step("snapshot", show_nothing), job)
    rows = join_snapshots([observed.rows, observed.test])
    split = {"split": np.repeat(["train", "test"], [len(observed.rows.bad), len(observed.test.bad)])}
    inputs = {feature.key: rows.x[:, k] for k, feature in enumerate(job.study.features)}
    return pl.DataFrame({**split, **_describe_rows(job.table, rows), **inputs})


def check_rows_file(file: Path, option: str = "--rows") -> None:
    """Raise InvalidInput unless the file ends in .csv or .parquet and its folder exists."""
    if file.suffix.lower() not in WRITERS:
        raise invalid(option, f"{file} must end in {' or '.join(WRITERS)}, which says how rows are written")
    if not file.parent.is_dir():
        raise invalid(option, f"{file} cannot be written: there is no folder {file.parent}")


def write_rows(rows: pl.DataFrame, file: Path) -> int:
    """Write rows to a file that `check_rows_file` accepts; return their number. ConfigurationWrong if that fails."""
    try:
        with naming_system_errors(file):
            getattr(rows, WRITERS[file.suffix.lower()])(file)
    except OSError as error:
        raise ConfigurationWrong(f"rows cannot be written to {file}: {error.strerror or error}") from None
    return len(rows)
