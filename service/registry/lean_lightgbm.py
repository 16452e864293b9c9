"""LightGBM without its optional imports, for processes that score and never train."""

import sys

_OPTIONAL = ("dask", "graphviz", "matplotlib", "pandas", "pyarrow", "sklearn")


def leave_out_optional() -> None:
    """Keep LightGBM, if not yet imported, from importing packages that models leave unused.

    The import then takes 0.25 s instead of 1 s. A later import of these packages in this process raises
    ModuleNotFoundError.
    """
    for name in _OPTIONAL:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # None: as if it were not installed
