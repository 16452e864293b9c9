"""JSON: one text for equal values, for digests; and the only reader of JSON from outside."""

import json
from typing import Any, NoReturn

JsonObject = dict[str, Any]
"""An object of JSON or a table of TOML."""


def canonical_json(value: object) -> bytes:
    """Return a value as JSON in UTF-8, with sorted keys and no blanks: always the same bytes.

    1 and 1.0 differ; floats keep every bit. Raise ValueError for NaN and infinities, TypeError for other types.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def parse_json(data: str | bytes) -> Any:
    """Parse JSON from outside; raise ValueError, also for NaN, infinities and duplicate keys."""
    return json.loads(data, object_pairs_hook=_refuse_doubled, parse_constant=_refuse_constant)


def _refuse_doubled(pairs: list[tuple[str, Any]]) -> JsonObject:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {max(keys, key=keys.count)!r} stands twice in an object; state it once")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
