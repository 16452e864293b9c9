from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from training.market.parameters import (
    BAD_FAITH,
    CLASSES,
    HAZARD_SEASON,
    SOURCES,
    TYPES,
    VOLUME_DAYS,
    VOLUME_SEASON,
    VOLUME_WEEKDAY,
)

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


def tilted_harm(harm: Iterable[float], tilt: float) -> Floats:
    """Return shares of harm after shifting them towards worse harm by `tilt`: float64 [H].

    share_k is proportional to harm_k x tilt^k. For (0.10, 0.40, 0.42, 0.08) and 1.8 the share of `high` is 1.3608 /
    2.64736 = 0.514022.
    """
    raw = np.array(list(harm), dtype=np.float64)
    raw = raw * tilt ** np.arange(len(raw), dtype=np.float64)
    return np.asarray(raw / raw.sum())


def build_tables() -> Tables:
    """Turn the market's parameters into arrays. Raise KeyError for an undeclared source."""
    type_names = tuple(t.name for t in TYPES)
    source_names = tuple(s.name for s in SOURCES)
    source_at = {name: i for i, name in enumerate(source_names)}
    source_share = np.zeros((len(type_names), len(source_names)))
    false_source = np.zeros_like(source_share)
    for v, violation_type in enumerate(TYPES):
        for name, share in violation_type.sources:
            source_share[v, source_at[name]] = share
    for type_name, pairs in BAD_FAITH.sources:
        for name, share in pairs:
            false_source[type_names.index(type_name), source_at[name]] = share
    false_types = dict(BAD_FAITH.types)
    return Tables(
        type_share=np.array([c.types for c in CLASSES]),
        harm_share=np.array([[tilted_harm(t.harm, c.harm_tilt) for t in TYPES] for c in CLASSES]),
        source_share=source_share,
        false_type=np.array([false_types.get(name, 0.0) for name in type_names]),
        false_harm=np.array(BAD_FAITH.harm),
        false_source=false_source,
        type_names=type_names,
        source_names=source_names,
    )


@dataclass(frozen=True)
class Calendar:
    month: Ints
    """0 for the month of the start."""
    hazard_season: Floats
    volume: Floats

    @property
    def months(self) -> int:
        return int(self.month[-1]) + 1


def build_calendar(
    start: date,
    days: int,
) -> Calendar:
    """Return the month and the factors of hazard and volume of each day. Raises ValueError below one day."""
    if days < 1:
        raise ValueError(f"days is {days}: simulate at least one day")
    dates = [start + timedelta(days=d) for d in range(days)]
    big_days = {(month, day): factor for month, day, factor in VOLUME_DAYS}
    volume = [
        VOLUME_SEASON[d.month - 1] * VOLUME_WEEKDAY[d.weekday()] * big_days.get((d.month, d.day), 1.0) for d in dates
    ]
    return Calendar(
        month=np.array([(d.year - start.year) * 12 + d.month - start.month for d in dates], dtype=np.int64),
        hazard_season=np.array([HAZARD_SEASON[d.month - 1] for d in dates]),
        volume=np.array(volume),
    )


def draw_delays(rng: np.random.Generator, median_days: Floats, sigma: Floats) -> Ints:
    """Draw one delay in whole days for each element: int64 [n].

    Capped at 10,000 days, so that every day is a date.
    """
    days = np.floor(median_days * np.exp(sigma * rng.standard_normal(len(median_days))))
    return np.minimum(days, 10_000.0).astype(np.int64)


def draw_index(rng: np.random.Generator, shares: Floats) -> Ints:
    """Draw a column index for each row of `shares` [n, K], by the row's probabilities: int64 [n]."""
    picked = (rng.random((len(shares), 1)) >= np.cumsum(shares, axis=1)).sum(axis=1)
    return np.asarray(np.minimum(picked, shares.shape[1] - 1), dtype=np.int64)
