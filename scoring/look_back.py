"""The tiers of one seller at the midnights before now, by the knowledge of now."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from scoring.arrays import Bools, Ints
from scoring.enums import RATED_TIERS, Tier
from scoring.features.columns import EntryColumns, FactRow
from scoring.features.facts import Visible, find_visible, first_days
from scoring.features.table import matrix
from scoring.features.views import view_often
from scoring.features.violations import raise_severities, sort_violations
from scoring.model.artifact import Artifact
from scoring.policy.policy import Policy
from scoring.score import MAX_CELLS
from scoring.time import DAY

LOOK_BACK_DAYS = 180
"""Day-ends that are looked at for the beginning of a measure by tier."""

FIRST_DAYS = 32
"""Day-ends that are looked at first, then all others: most sellers' terms are either new or old."""

NO_TIER = 0


class LookBack:
    """The tiers at the last midnights, each found when it is first asked for."""

    def __init__(
        self,
        rows: Sequence[FactRow],
        observe_time: int,
        artifact: Artifact | None,
        policy: Policy,
        columns: EntryColumns,
        check: Callable[[], None],
    ) -> None:
        """Hold what the tiers follow from; `check` is called between parts of the work and may raise.

        `columns`: of `rows`, after `apply_changes`.
        """
        self._rows, self._observe_time, self._policy, self._check = rows, observe_time, policy, check
        self._artifact, self._columns = artifact, columns
        self._visible: Visible | None = None
        self._points = self._standing = self._override = np.zeros(0, dtype=np.int64)
        self._is_rated = self._exists = self._is_fixed = np.zeros(0, dtype=bool)
        self._tiers: list[int] = []

    def tier_at(self, back: int) -> int:
        """Return the number of the tier at the midnight `back` days before today's, at most LOOK_BACK_DAYS; or NO_TIER."""
        if self._artifact is None:
            return NO_TIER
        while len(self._tiers) <= back:
            self._look(self._artifact)
        return self._tiers[back]

    def _look(self, artifact: Artifact) -> None:
        """Look at some more midnights, in bounded memory."""
        self._check()
        window, seen = max(self._policy.clear_days, 1), len(self._points)
        left = LOOK_BACK_DAYS + window - seen
        count = max(1, min(left if seen else FIRST_DAYS, left, MAX_CELLS // max(len(self._rows), 1)))
        days = self._observe_time // DAY - np.arange(seen, seen + count)
        is_guilty = self._add_facts(days)
        from_day = max(seen - window + 1, 0)
        is_open = (
            np.convolve(~self._is_fixed[from_day:], np.ones(window, dtype=np.int64))[seen - from_day :][:count] > 0
        )
        points, is_thin = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=bool)
        if is_open.any():  # else no tier rests on the points of these days
            points[is_open], is_thin[is_open] = self._fold(artifact, days[is_open])
        self._points = np.append(self._points, points)
        self._is_rated = np.append(self._is_rated, is_guilty | ~is_thin)
        first, end = len(self._tiers), len(self._points) - window + 1
        if end > first:
            lowest = np.lib.stride_tricks.sliding_window_view(self._points, window)[first:].min(axis=1)
            tiers = self._policy.tiers_with_standing(lowest, self._standing[first:end])
            tiers = np.where(self._is_rated[first:end], tiers, int(Tier.UNRATED))
            tiers = np.where(self._override[first:end] > 0, self._override[first:end], tiers)
            self._tiers += np.where(self._exists[first:end], tiers, NO_TIER).tolist()

    def _add_facts(self, days: Ints) -> Bools:
        """Add what is known of some midnights without the model; return at which of them a violation counts.

        A tier that no points can change is fixed: a person set it, or the standing allows the lowest alone.
        """
        if self._visible is None:
            now = np.array([self._observe_time], dtype=np.int64)
            self._visible = find_visible(self._columns, now, reported_before=self._observe_time)
        visible, policy, count = self._visible, self._policy, len(days)
        judged, midnights = visible.judged, days[:, None]
        stood = judged.reports.occur_time[judged.stands] // DAY
        began = min(int(first_days(1, visible.sold, visible.identities)[0]), *stood.tolist(), *[int(days[0])])
        exists: Bools = days > began

        override = np.zeros(count, dtype=np.int64)
        o = visible.overrides
        for time, until, tier in zip(o.occur_time.tolist(), o.until.tolist(), o.status.tolist(), strict=True):
            override = np.where(days * DAY > time, np.where(days * DAY < until, tier, 0), override)  # the last one wins

        violations, kept = sort_violations(judged.reports, judged.counts)
        is_seen = violations.day < midnights
        is_guilty: Bools = np.logical_or.reduce(is_seen, axis=1)
        standing = np.zeros(count, dtype=np.int64)
        is_lowest: Bools = np.zeros(count, dtype=bool)
        if policy.standing is not None:
            units = np.where(is_seen, judged.units[kept], 0)
            severity = raise_severities(violations, judged.severity[kept], units, judged.is_reduced[kept])
            case, place = np.nonzero(is_seen)
            severity = np.broadcast_to(severity, is_seen.shape)[case, place]
            points, first = policy.standing.by_incident(
                replace(violations.take(place), case=case, severity=severity), days
            )
            np.add.at(standing, case[first], points)
            best = policy.standing.bound(np.full(count, int(RATED_TIERS[-1])), standing)
            is_lowest = is_guilty & (best == int(RATED_TIERS[0]))
        self._exists, self._override = np.append(self._exists, exists), np.append(self._override, override)
        self._standing = np.append(self._standing, standing)
        self._is_fixed = np.append(self._is_fixed, is_lowest | (override > 0) | ~exists)
        return is_guilty

    def _fold(self, artifact: Artifact, days: Ints) -> tuple[Ints, Bools]:
        """Return the points at some midnights, and at which of them the file was thin."""
        # The first view is of now, whose knowledge all have; the last one holds open allegations upheld.
        times = [self._observe_time, *(days * DAY).tolist(), self._observe_time]
        views = view_often(self._columns, times)
        sums = artifact.folder.fold_views(views)
        attributes = [
            (self._rows[row].attributes or {}) if row >= 0 else {} for row in views.identity_row.ravel().tolist()
        ]
        points = artifact.points(matrix(sums, artifact.features, attributes))
        is_thin = (sums.total_orders < self._policy.thin_file_orders) | (sums.tenure_days < self._policy.thin_file_days)
        return points[1:-1], is_thin[1:-1]
