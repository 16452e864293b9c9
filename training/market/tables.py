from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PARAMETERS: Mapping[str, Any] = tomllib.loads(Path(__file__).with_name("parameters.toml").read_text(encoding="utf-8"))
BAD_FAITH: Mapping[str, Any] = PARAMETERS["bad_faith"]


def column(table: str, name: str) -> NDArray[Any]:
    """Return a field of each row of a table: `column("classes", "harm_tilt")` is 0.6, 1.0 and 1.8."""
    return np.array([row[name] for row in PARAMETERS[table]])


Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Tables:
    """C classes, V violation types, H harms, S sources."""

    type_share: Floats
    """[C, V]."""
    harm_share: Floats
    """[C, V, H]."""
    source_share: Floats
    """[V, S]."""
    false_type: Floats
    """For complaints in bad faith: [V]."""
    false_harm: Floats
    """For complaints in bad faith: [H]."""
    false_source: Floats
    """For complaints in bad faith: [V, S]."""
    type_names: tuple[str, ...]
    source_names: tuple[str, ...]


def tilted_harm(harm: Floats, tilt: float) -> Floats:
    """Return shares of harm after shifting them towards worse harm by `tilt`, in proportion to harm_k x tilt^k.

    For (0.10, 0.40, 0.42, 0.08) and 1.8 the share of `high` is 1.3608 / 2.64736 = 0.514022.
    """
    raw = harm * tilt ** np.arange(len(harm), dtype=np.float64)
    return np.asarray(raw / raw.sum())


def build_tables() -> Tables:
    """Turn the market's parameters into arrays. Raise ValueError for an undeclared source."""
    types, sources = ([row["name"] for row in PARAMETERS[table]] for table in ("types", "sources"))

    def share_by_source(shares_by_type: Mapping[str, Mapping[str, float]]) -> Floats:
        shares_of_all = np.zeros((len(types), len(sources)))
        for type_name, shares in shares_by_type.items():
            for source, share in shares.items():
                shares_of_all[types.index(type_name), sources.index(source)] = share
        return shares_of_all

    harms = column("types", "harm")
    return Tables(
        type_share=column("classes", "types"),
        harm_share=np.array([[tilted_harm(harm, tilt) for harm in harms] for tilt in column("classes", "harm_tilt")]),
        source_share=share_by_source({row["name"]: row["sources"] for row in PARAMETERS["types"]}),
        false_type=np.array([BAD_FAITH["types"].get(name, 0.0) for name in types]),
        false_harm=np.array(BAD_FAITH["harm"]),
        false_source=share_by_source(BAD_FAITH["sources"]),
        type_names=tuple(types),
        source_names=tuple(sources),
    )


@dataclass(frozen=True)
class Calendar:
    month: Ints
    """0 for the month of the start."""
    hazard_season: Floats
    volume: Floats

    @property
    def months(self) -> int:
        """Return the number of calendar months that the days touch."""
        return int(self.month[-1]) + 1


def build_calendar(start: date, days: int) -> Calendar:
    """Return the month and the factors of hazard and volume of each day; ValueError below one day."""
    if days < 1:
        raise ValueError(f"days is {days}: simulate at least one day")
    dates = [start + timedelta(days=d) for d in range(days)]
    parameters = PARAMETERS["volume"]
    big_days = {(month, day): factor for month, day, factor in parameters["days"]}
    volume = [
        parameters["season"][d.month - 1] * parameters["weekday"][d.weekday()] * big_days.get((d.month, d.day), 1.0)
        for d in dates
    ]
    return Calendar(
        month=np.array([(d.year - start.year) * 12 + d.month - start.month for d in dates], dtype=np.int64),
        hazard_season=np.array([PARAMETERS["hazard_season"][d.month - 1] for d in dates]),
        volume=np.array(volume),
    )


def draw_delays(rng: np.random.Generator, delays: Floats) -> Ints:
    """Draw a delay in whole days for each row of `delays` [n, 2], a median in days and a sigma; at most 10,000."""
    median_days, sigma = delays.T
    days: Floats = np.floor(median_days * np.exp(sigma * rng.standard_normal(len(delays))))
    return np.minimum(days, 10_000.0).astype(np.int64)


def draw_index(rng: np.random.Generator, shares: Floats) -> Ints:
    """Draw a column index for each row of `shares` [n, K], by the row's probabilities."""
    picked = (rng.random((len(shares), 1)) >= np.cumsum(shares, axis=1)).sum(axis=1)
    return np.asarray(np.minimum(picked, shares.shape[1] - 1), dtype=np.int64)
