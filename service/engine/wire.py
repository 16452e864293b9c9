"""Fields of a serialized message."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import repeat

MAX_FIELDS = 10_100
"""Of a request: a full batch, and a hundred others."""


def walk_fields(data: bytes | memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield each field's number, and its value's begin and end; end at malformed bytes.

    A group, which no message of ours has, counts as endless fields.
    """
    place = 0
    with suppress(IndexError):
        while place < len(data):
            tag, place = _read_varint(data, place)
            begin = place
            match tag & 7:
                case 0:
                    _, place = _read_varint(data, place)
                case 1:
                    place += 8
                case 5:
                    place += 4
                case 2:
                    size, begin = _read_varint(data, place)
                    place = begin + size
                case 3:
                    yield from repeat((tag >> 3, begin, begin))
                case _:
                    return
            yield tag >> 3, begin, place


def _read_varint(data: bytes | memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80 or shift > 63:
            return value, place
        shift += 7
