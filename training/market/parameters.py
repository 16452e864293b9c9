"""The parameters of the simulated marketplace, as `parameters.toml` states them."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PARAMETERS: Mapping[str, Any] = tomllib.loads(Path(__file__).with_name("parameters.toml").read_text(encoding="utf-8"))
BAD_FAITH: Mapping[str, Any] = PARAMETERS["bad_faith"]


def column(table: str, name: str) -> NDArray[Any]:
    """Return a field of each row of a table: `column("classes", "harm_tilt")` is 0.6, 1.0 and 1.8."""
    return np.array([row[name] for row in PARAMETERS[table]])
