from functools import partial

from scoring.base.errors import ConfigurationWrong
from service.scale.local import run_locally
from service.scale.rescoring import Driver


def find_driver(processes: int, master: str | None) -> Driver:
    """Return the driver for processes of this machine, or for a Spark master.

    Raises ConfigurationWrong if pyspark is missing.
    """
    if master is None:
        return lambda lines, memory_bytes: run_locally(lines, processes, memory_bytes)
    try:
        from service.scale.spark import run_on_spark
    except ImportError as error:
        raise ConfigurationWrong(
            f"the package {error.name} is missing, which --master needs: pip install 'sellertrust[spark]'"
        ) from None
    return partial(run_on_spark, master)
