from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, NamedTuple

from scoring.base.money import show_amount
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.policy.policy import Policy
from scoring.policy.space import Cell, Space, find_last_value


class MovedCell(NamedTuple):
    before: Cell
    after: Cell
    where: str
    orders: int | None
    tenure_days: int
    earlier: tuple[int, int] | None
    """(days ago, points) at a day-end, if one matters."""


def find_moved(space: Space) -> Iterator[MovedCell]:
    """Yield sellers whom thin file or clear days of two policies move to another cell."""
    for cell in space.cells():
        if cell.tier is None and cell.points is None:
            yield from _find_thin(space, cell)
        elif cell.tier is None:
            yield from _find_lowered(space, cell)


def _find_thin(space: Space, cell: Cell) -> Iterator[MovedCell]:
    known_days = space.situation(0, cell).tenure_days
    for number, policy in enumerate(space.policies):
        other = space.policies[1 - number]
        tenure = max(known_days, other.thin_file_days)
        if tenure > find_last_value(space.tenures, known_days) or not policy.is_thin(other.thin_file_orders, tenure):
            continue
        where = (
            f"fewer than {policy.thin_file_orders:,} settled orders or {policy.thin_file_days:,} days of tenure, at least"
            f" {other.thin_file_orders:,} and {other.thin_file_days:,}, no confirmed violation"
        )
        for points in space.points[1:]:
            both = cell, cell._replace(points=points)
            before, after = both if number == 0 else both[::-1]
            yield MovedCell(before, after, where, other.thin_file_orders, tenure, None)


def _find_lowered(space: Space, cell: Cell) -> Iterator[MovedCell]:
    days = [policy.clear_days for policy in space.policies]
    if days[0] == days[1] or cell.points is None:
        return
    for points in space.points[1:]:
        if points is not None and points < cell.points:
            both = cell, cell._replace(points=points)
            before, after = both if days[0] < days[1] else both[::-1]
            where = f"{space.describe_points(points)} at a day-end {min(days) + 1:,} to {max(days):,} days ago"
            yield MovedCell(before, after, where, None, space.situation(0, cell).tenure_days, (min(days) + 1, points))


def list_part_changes(before: Policy, after: Policy) -> list[str]:
    old, new = (dict(_list_values(policy)) for policy in (before, after))
    return [
        f"{path} {old.get(path, 'none')} -> {new.get(path, 'none')}"
        for path in dict.fromkeys((*old, *new))
        if old.get(path) != new.get(path)
    ]


def _list_values(policy: Policy) -> Iterator[tuple[str, str]]:
    currency = policy.rule_book.currency
    yield "clear_days", f"{policy.clear_days:,}"
    yield "notice_days", f"{policy.notice_days:,}"
    for name, least in policy.bands:
        yield f"cut_offs.bands[{name}].from", f"{least:,}"
    yield "thin_file.settled_orders", f"{policy.thin_file_orders:,}"
    yield "thin_file.tenure_days", f"{policy.thin_file_days:,}"
    if policy.standing is not None:
        types = {
            key: policy.standing.types[number]
            for key, number in TYPE_NUMBERS.items()
            if number in policy.standing.types
        }
        table = replace(policy.standing, at_most={}, types={})
        yield from _flatten("standing", table, currency)
        yield from _flatten("standing.types", types, currency)
    yield from _flatten("trade", policy.trade, currency)
    yield from _flatten("caution", policy.caution, currency)
    yield "currency", currency or "none"


def _flatten(path: str, value: Any, currency: str) -> Iterator[tuple[str, str]]:
    if is_dataclass(value):
        if kind := getattr(value, "kind", None):
            yield path, kind.name.lower()
        for one in fields(value):
            yield from _flatten(f"{path}.{one.name}", getattr(value, one.name), currency)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _flatten(f"{path}.{_show(key)}", one, currency)
    elif isinstance(value, tuple):
        for index, one in enumerate(value):
            yield from _flatten(
                f"{path}[{getattr(one, 'id', None) or _show(getattr(one, 'kind', index))}]", one, currency
            )
    elif isinstance(value, frozenset):
        yield path, ", ".join(sorted(map(_show, value)))
    elif value is not None:
        yield path, show_amount(value, currency) if path.endswith("_minor") else _show(value)


def _show(value: object) -> str:
    if isinstance(value, Enum):
        return value.name.lower()
    return f"{value:,}" if type(value) is int else str(value).lower() if isinstance(value, bool) else str(value)
