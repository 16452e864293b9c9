"""LightGBM without what it imports beside itself where that is installed, for processes that score and never train."""

import sys

_OPTIONAL = ("dask", "graphviz", "matplotlib", "pandas", "pyarrow", "sklearn")


def leave_out_optional() -> None:
    """Keep LightGBM, not yet imported, from importing packages that no model needs.

    With the packages of training installed that takes 0.25 s instead of 1. Whoever imports one of them afterwards in this
    process gets a ModuleNotFoundError.
    """
    for name in _OPTIONAL:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # None: as if it were not installed
