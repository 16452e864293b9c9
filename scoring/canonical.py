"""The one text of a value as JSON, for digests."""

import json


def canonical_json(value: object) -> bytes:
    """JSON with sorted keys and no blanks: equal values have equal bytes, and floats come back to the same bits."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
