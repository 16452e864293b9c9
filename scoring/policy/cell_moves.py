from collections.abc import Iterator
from typing import NamedTuple

from scoring.policy.space import Cell, Space, find_last_value


class CellMove(NamedTuple):
    before: Cell
    after: Cell
    where: str
    orders: int | None
    tenure_days: int
    earlier: tuple[int, int] | None
    """(days ago, points) at a day-end, if one matters."""


def find_cell_moves(space: Space) -> Iterator[CellMove]:
    """Yield sellers whom thin file or clear days of two policies move to another cell."""
    for cell in space.cells():
        if cell.tier is None and cell.points is None:
            yield from _find_moves_by_thin_file(space, cell)
        elif cell.tier is None:
            yield from _find_moves_by_clear_days(space, cell)


def _find_moves_by_thin_file(space: Space, unrated: Cell) -> Iterator[CellMove]:
    """Yield moves of sellers whom one policy leaves unrated, and the other rates."""
    least_days = space.situation(0, unrated).tenure_days
    for number, policy in enumerate(space.policies):
        other = space.policies[1 - number]
        tenure = max(least_days, other.thin_file_days)
        if tenure > find_last_value(space.tenures, least_days) or not policy.is_thin(other.thin_file_orders, tenure):
            continue
        where = (
            f"fewer than {policy.thin_file_orders:,} settled orders or {policy.thin_file_days:,} days of tenure, at least"
            f" {other.thin_file_orders:,} and {other.thin_file_days:,}, no confirmed violation"
        )
        for points in space.points[1:]:
            rated = unrated._replace(points=points)
            before, after = (unrated, rated) if number == 0 else (rated, unrated)
            yield CellMove(before, after, where, other.thin_file_orders, tenure, None)


def _find_moves_by_clear_days(space: Space, cell: Cell) -> Iterator[CellMove]:
    days = [policy.clear_days for policy in space.policies]
    if days[0] == days[1] or cell.points is None:
        return
    for points in space.points[1:]:
        if points is not None and points < cell.points:
            both = cell, cell._replace(points=points)
            before, after = both if days[0] < days[1] else both[::-1]
            where = f"{space.describe_points(points)} at a day-end {min(days) + 1:,} to {max(days):,} days ago"
            yield CellMove(before, after, where, None, space.situation(0, cell).tenure_days, (min(days) + 1, points))
