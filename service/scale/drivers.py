from functools import partial

from service.scale.local import run_locally
from service.scale.rescoring import Driver


def find_driver(processes: int, master: str | None) -> Driver:
    """Return the driver for processes of this machine, or for a Spark master.

    Raises ModuleNotFoundError if pyspark is missing.
    """
    if master is None:
        return lambda lines, memory_bytes: run_locally(lines, processes, memory_bytes)
    from service.scale.spark import run_on_spark

    return partial(run_on_spark, master)
