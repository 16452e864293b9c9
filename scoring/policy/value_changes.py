from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from scoring.base.enums import WordEnum
from scoring.base.money import show_amount
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.policy.policy import Policy


def list_value_changes(before: Policy, after: Policy) -> list[str]:
    old, new = (dict(_list_stated_values(policy)) for policy in (before, after))
    return [
        f"{path} {old.get(path, 'none')} -> {new.get(path, 'none')}"
        for path in dict.fromkeys((*old, *new))
        if old.get(path) != new.get(path)
    ]


def _list_stated_values(policy: Policy) -> Iterator[tuple[str, str]]:
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
        yield from _list_values_within("standing", table, currency)
        yield from _list_values_within("standing.types", types, currency)
    yield from _list_values_within("trade", policy.trade, currency)
    yield from _list_values_within("caution", policy.caution, currency)
    yield "currency", currency or "none"


def _list_values_within(path: str, value: Any, currency: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each value of a part."""
    if is_dataclass(value):
        if kind := getattr(value, "kind", None):
            yield path, kind.word
        for one in fields(value):
            yield from _list_values_within(f"{path}.{one.name}", getattr(value, one.name), currency)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _list_values_within(f"{path}.{_show_value(key)}", one, currency)
    elif isinstance(value, tuple):
        for index, one in enumerate(value):
            yield from _list_values_within(
                f"{path}[{getattr(one, 'id', None) or _show_value(getattr(one, 'kind', index))}]", one, currency
            )
    elif isinstance(value, frozenset):
        yield path, ", ".join(sorted(map(_show_value, value)))
    elif value is not None:
        yield path, show_amount(value, currency) if path.endswith("_minor") else _show_value(value)


def _show_value(value: object) -> str:
    if isinstance(value, WordEnum):
        return value.word
    return f"{value:,}" if type(value) is int else str(value).lower() if isinstance(value, bool) else str(value)
