"""The Spark driver: one partition a line. Only line numbers go out and receipts come back; files do the rest.

Spark cuts rows that pass through it by batches and bytes, so entries and answers go by files.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import SparkSession

from scoring.base.errors import ConfigurationWrong, ProcessEnded, SellertrustError
from service.scale.local import TaskLine

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ARCHIVE = "SELLERTRUST_SPARK_ARCHIVE"
"""A packed environment (venv-pack, conda-pack) that workers unpack, for machines without sellertrust."""

MAX_FAILURES = 4


def run_on_spark(master: str, lines: Sequence[TaskLine], memory_bytes: int) -> Iterator[int]:
    """Run lines on `local[N]`, `spark://HOST:PORT` or `sc://HOST:PORT`; yield how many are done, when all are.

    Every worker needs sellertrust, and the runs' places. Raises ConfigurationWrong with a task's error, or if the
    master cannot be reached; ProcessEnded if tasks failed again and again.
    """
    if not lines:
        return
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    session = _open_session(master, memory_bytes)
    try:
        for number, receipt in enumerate(_plan(session, lines).collect(), 1):  # an iterator would run line by line
            if receipt.problem:
                raise ConfigurationWrong(receipt.problem)
            yield number
    except SellertrustError:
        raise
    except Exception as error:  # noqa: BLE001 (Spark's errors have no common class)
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ProcessEnded(f"tasks failed on {master} again and again: {text}; repeat the command to go on") from None
    finally:
        session.stop()


def _open_session(master: str, memory_bytes: int) -> SparkSession:
    builder = SparkSession.builder.appName("sellertrust")
    if master.startswith("sc://"):
        return builder.remote(master).getOrCreate()
    if master.startswith("local[") and "," not in master:
        master = master.replace("]", f",{MAX_FAILURES}]")  # else a local master tries each task once
    settings = {
        "spark.task.maxFailures": str(MAX_FAILURES),
        "spark.executor.memoryOverhead": str(memory_bytes),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
    }
    if archive := os.environ.get(ARCHIVE):
        settings["spark.archives"] = f"{archive}#environment"
        os.environ["PYSPARK_PYTHON"] = "environment/bin/python"
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        return builder.master(master).getOrCreate()
    except Exception as error:  # noqa: BLE001 (as above)
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigurationWrong(f"no Spark at {master}: {text}; it needs Java 17 or newer") from None


def _plan(session: SparkSession, lines: Sequence[TaskLine]) -> "DataFrame":
    given = [tuple(line) for line in lines]

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield pa.RecordBatch.from_pylist([_run(*given[number])], schema=_RECEIPT)

    return session.range(0, len(given), 1, len(given)).mapInArrow(run, "line bigint, problem string")


def _run(place: str, line: int) -> dict[str, Any]:
    """Run the task at a line of the run at a folder or URL, in a worker.

    An error that a repetition cannot mend is returned, not tried again.
    """
    from service.scale.task import run_task

    try:
        run_task(place, line)
    except SellertrustError as error:
        return {"line": line, "problem": f"line {line} of {Path(place).name}: {error.message}"}
    return {"line": line, "problem": ""}


_RECEIPT = pa.schema([("line", pa.int64()), ("problem", pa.string())])
