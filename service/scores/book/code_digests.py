"""Digests of the code and the contract behind an answer."""

import inspect
from functools import cache
from hashlib import sha256
from pathlib import Path

import scoring
from sellertrust.v1 import trust_score_service_pb2
from service.contract import scores
from service.ledger.queries import facts
from service.scores import scorer


@cache
def core_digest() -> str:
    root = Path(inspect.getfile(scoring)).parent
    sources = [*sorted(root.rglob("*.py")), *(Path(inspect.getfile(module)) for module in (facts, scorer))]
    digest = sha256()
    for source in sources:
        name = source.relative_to(root.parent) if root in source.parents else source.name
        digest.update(f"{name} {sha256(source.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


@cache
def contract_digest() -> str:
    """Return the SHA-256, in hex, of the contract's TrustScore and of the code that fills it."""
    file = trust_score_service_pb2.DESCRIPTOR
    parts = [file.serialized_pb, *(other.serialized_pb for other in file.dependencies)]
    return sha256(b"".join([*parts, Path(inspect.getfile(scores)).read_bytes()])).hexdigest()
