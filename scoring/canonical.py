"""Canonical JSON: one text for equal values, for digests."""

import json


def canonical_json(value: object) -> bytes:
    """Return a value as JSON in UTF-8, with sorted keys and no blanks.

    The same value always has the same bytes (1 and 1.0 differ), and floats come back to the same bits. Raises ValueError
    for NaN and infinities, TypeError for what JSON does not have.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
