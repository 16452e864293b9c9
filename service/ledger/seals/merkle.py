"""Merkle hashing of RFC 6962: leaves and nodes have different prefixes."""

from collections.abc import Sequence
from hashlib import sha256


def leaf_hash(data: bytes) -> bytes:
    """Return SHA-256(0x00 || data). The empty leaf gives 6e340b9c..., RFC 6962's test vector."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root of RFC 6962's tree over leaf hashes. An unpaired last node moves up as it is."""
    if not leaves:
        return sha256(b"").digest()
    level = list(leaves)
    while len(level) > 1:
        level = _pair_nodes(level)
    return level[0]


def merkle_path(leaves: Sequence[bytes], index: int) -> tuple[tuple[bool, bytes], ...]:
    """Return the nodes that lead from a leaf (by index) to the root: whether each is on the right, and its hash."""
    level, path = list(leaves), []
    while len(level) > 1:
        other = index ^ 1
        if other < len(level):
            path.append((other > index, level[other]))
        level = _pair_nodes(level)
        index //= 2
    return tuple(path)


def _pair_nodes(level: list[bytes]) -> list[bytes]:
    paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return [*paired, level[-1]] if len(level) % 2 else paired
