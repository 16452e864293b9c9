"""The tiers of sellers at past midnights, by the knowledge of now."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from scoring.base.arrays import Bools, Ints
from scoring.base.enums import RATED_TIERS, Tier
from scoring.base.time import DAY
from scoring.features.columns import EntryColumns, FactTable
from scoring.features.facts import Visible, find_visible, first_days
from scoring.features.fold import Sums
from scoring.features.table import matrix
from scoring.features.views import view_often
from scoring.features.violations import raise_severities, sort_violations
from scoring.model.artifact import Artifact
from scoring.policy.policy import Policy
from scoring.scores.score import MAX_CELLS

LOOK_BACK_DAYS = 180
"""Day-ends searched for the begin of a measure by tier."""

FIRST_DAYS = 32
"""Day-ends searched first: most sellers' terms are either new or old."""

NO_TIER = 0


class LookBack:
    """Tiers at the last midnights, computed on first use for all sellers at once."""

    def __init__(
        self,
        table: FactTable,
        observe_time: int,
        artifact: Artifact | None,
        policy: Policy,
        columns: EntryColumns,
        check: Callable[[], None],
    ) -> None:
        """Take `columns` of `table` after `apply_changes`; `check` may raise between parts."""
        self._table, self._observe_time, self._policy, self._check = table, observe_time, policy, check
        self._artifact, self._columns = artifact, columns
        self._visible: Visible | None = None
        cases = columns.cases
        self._points = self._standing = self._override = np.zeros((0, cases), dtype=np.int64)
        self._is_rated = self._exists = self._is_fixed = np.zeros((0, cases), dtype=bool)
        self._tiers: list[list[int]] = []

    def tier_at(self, case: int, back: int) -> int:
        """Return the seller's tier at the midnight `back` days ago, or NO_TIER."""
        if self._artifact is None:
            return NO_TIER
        while len(self._tiers) <= back:
            self._look(self._artifact)
        return self._tiers[back][case]

    def tier_since(self, case: int, tiers: frozenset[Tier], is_thin: bool, imposed: int | None) -> int | None:
        """Return since when the seller's tier was one of `tiers` without a break; None: before the days looked back.

        To the day: the first such midnight, or today's if it was none then; but since an override was `imposed`, if
        that began it. `is_thin`: only a violation makes it rated, so UNRATED's rules hold too, and did so on each
        earlier day without an override.
        """
        today = self._observe_time // DAY
        for back in range(LOOK_BACK_DAYS + 1):
            tier = self.tier_at(case, back)
            was_thin = is_thin and tier != NO_TIER and not self._override[back, case]
            if tier not in tiers and not (was_thin and Tier.UNRATED in tiers):
                midnight = (today - max(back - 1, 0)) * DAY
                began = (midnight - DAY, midnight) if back else (midnight, self._observe_time)
                return imposed if imposed is not None and began[0] <= imposed <= began[1] else midnight
        return None

    def _look(self, artifact: Artifact) -> None:
        self._check()
        window, seen = max(self._policy.clear_days, 1), len(self._points)
        left = LOOK_BACK_DAYS + window - seen
        count = max(1, min(left if seen else FIRST_DAYS, left, MAX_CELLS // max(len(self._table), 1)))
        days = self._observe_time // DAY - np.arange(seen, seen + count)
        is_guilty = self._add_facts(days)
        points, is_thin = np.zeros(is_guilty.shape, dtype=np.int64), np.zeros(is_guilty.shape, dtype=bool)
        is_open = self._rest_on_points(window)[seen:].any(axis=1)
        if is_open.any():
            sums, identity_row = self._fold(artifact, days[is_open])
            shape = (-1, is_guilty.shape[1])
            is_thin[is_open] = self._policy.is_thin(sums.total_orders, sums.tenure_days).reshape(shape)[1:-1]
            self._is_fixed[seen:] |= is_thin & ~is_guilty
            chosen = np.flatnonzero(np.pad(self._rest_on_points(window)[seen:][is_open], ((1, 1), (0, 0))))
            rows = self._table.rows
            attributes = [(rows[row].attributes or {}) if row >= 0 else {} for row in identity_row[chosen].tolist()]
            found = np.zeros(sums.cases, dtype=np.int64)
            found[chosen] = artifact.points(matrix(sums, artifact.features, attributes, chosen))
            points[is_open] = found.reshape(shape)[1:-1]
        self._points = np.concatenate([self._points, points])
        self._is_rated = np.concatenate([self._is_rated, is_guilty | ~is_thin])
        first, end = len(self._tiers), len(self._points) - window + 1
        if end > first:
            lowest = np.lib.stride_tricks.sliding_window_view(self._points, window, axis=0)[first:].min(axis=-1)
            tiers = self._policy.tiers_with_standing(lowest.ravel(), self._standing[first:end].ravel())
            tiers = np.where(self._is_rated[first:end], tiers.reshape(lowest.shape), int(Tier.UNRATED))
            tiers = np.where(self._override[first:end] > 0, self._override[first:end], tiers)
            self._tiers += np.where(self._exists[first:end], tiers, NO_TIER).tolist()

    def _add_facts(self, days: Ints) -> Bools:
        """Fix each tier that no points can change; return whether a violation counts, by midnight and seller."""
        cases = self._columns.cases
        if self._visible is None:
            now = np.full(cases, self._observe_time, dtype=np.int64)
            self._visible = find_visible(
                self._columns, now, reported_before=self._observe_time, sales=self._table.sales
            )
        visible, policy, shape = self._visible, self._policy, (len(days), cases)
        judged, midnights = visible.judged, days[:, None]
        began = np.minimum(first_days(cases, visible.sold, visible.identities), days[0])
        np.minimum.at(began, judged.reports.case[judged.stands], judged.reports.occur_time[judged.stands] // DAY)
        exists: Bools = midnights > began

        override = np.zeros(shape, dtype=np.int64)
        o = visible.overrides
        named = (o.case, o.occur_time, o.until, o.status)
        for case, time, until, tier in zip(*(column.tolist() for column in named), strict=True):
            stated = np.where(days * DAY < until, tier, 0)
            override[:, case] = np.where(days * DAY > time, stated, override[:, case])

        violations, kept = sort_violations(judged.reports, judged.counts)
        is_seen = violations.day < midnights
        day, place = np.nonzero(is_seen)
        is_guilty: Bools = np.zeros(shape, dtype=bool)
        is_guilty[day, violations.case[place]] = True
        standing = np.zeros(shape, dtype=np.int64)
        is_lowest: Bools = np.zeros(shape, dtype=bool)
        if policy.standing is not None:
            units = np.where(is_seen, judged.units[kept], 0)
            severity = raise_severities(violations, judged.severity[kept], units, judged.is_reduced[kept])
            severity, of_day = np.broadcast_to(severity, is_seen.shape)[day, place], day * cases
            seen = violations.take(place)
            points, first = policy.standing.by_incident(
                replace(seen, case=of_day + seen.case, severity=severity), np.repeat(days, cases)
            )
            np.add.at(standing, (day[first], seen.case[first]), points)
            top = np.full(standing.size, int(RATED_TIERS[-1]))
            best = policy.standing.bound(top, standing.ravel()).reshape(shape)
            is_lowest = is_guilty & (best == int(RATED_TIERS[0]))
        self._exists = np.concatenate([self._exists, exists])
        self._override = np.concatenate([self._override, override])
        self._standing = np.concatenate([self._standing, standing])
        self._is_fixed = np.concatenate([self._is_fixed, is_lowest | (override > 0) | ~exists])
        return is_guilty

    def _rest_on_points(self, window: int) -> Bools:
        fixed_so_far = np.cumsum(np.pad(self._is_fixed, ((window, 0), (0, 0)), constant_values=True), axis=0)
        return np.asarray(fixed_so_far[window:] - fixed_so_far[:-window] < window)

    def _fold(self, artifact: Artifact, days: Ints) -> tuple[Sums, Ints]:
        # The first view is now; the last one has allegations upheld.
        times = [self._observe_time, *(days * DAY).tolist(), self._observe_time]
        views = view_often(self._columns, times, self._table.sales)
        return artifact.folder.fold_views(views), views.identity_row.ravel()
