"""Canonical JSON: one text for equal values, for digests."""

import json


def canonical_json(value: object) -> bytes:
    """Return a value as JSON with sorted keys and no blanks.

    Equal values have equal bytes, and floats come back to the same bits.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
