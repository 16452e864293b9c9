"""Fuzzed requests: sound ones with fields changed by their types, others cut and garbled, by several identities.

They go through the handlers that gRPC calls, on a real server over a real ledger, without sockets: some thousands a second.
What each identity may ever do is said here by hand, and looked up in the request itself.
"""

import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2

from sellertrust.v1.entry_pb2 import SOURCE_BRAND
from tests.callers import Authority, TokenIssuer, grant, write_grants
from tests.servers import MARKET, Running, running_server
from tests.service.access.matrix import CALLS

TEXTS = [
    "",
    "a b",
    "../..",
    "%s%n",
    "\x00",
    "*",
    "acme",
    "other",
    "s-1",
    "s-2",
    "v-1",
    "customs",
    "brand-1",
    "b1-",
    "x" * 300,
]
TEXTS += [f"marketplaces/{one}" for one in ("acme", "other", "", "acme/sellers/s-2", "acme/sellers/s-1/violations/v")]
TEXTS += [
    "marketplaces/acme/violations/v-1",
    "marketplaces/other/violations/v-1",
    "models/champion",
    "marketplaces/acme\n",
]
NUMBERS = [0, 1, 2, 3, 9, -1, 2**31 - 1, -(2**31)]
READS = {"ListEntries", "GetViolation", "ListViolations", "GetNotifier", "ListNotifiers", "ListReviewQueue"}
_REFUSED = {code_pb2.PERMISSION_DENIED, code_pb2.UNAUTHENTICATED, code_pb2.INVALID_ARGUMENT}


class _Aborted(Exception):
    """How the context of a call ends it."""


class _Context:
    """A call of one identity, as gRPC shows it to a handler."""

    def __init__(self, pem: bytes | None, token: str | None) -> None:
        self._properties = {"transport_security_type": [b"ssl"]} | ({} if pem is None else {"x509_pem_cert": [pem]})
        self._metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        self.code = code_pb2.OK

    def auth_context(self) -> Any:
        return self._properties

    def invocation_metadata(self) -> Any:
        return self._metadata

    def peer(self) -> str:
        return "ipv4:192.0.2.1:1"

    def peer_identities(self) -> None:
        return None

    def time_remaining(self) -> float:
        return 1.0

    def is_active(self) -> bool:
        return True

    def add_callback(self, _: object) -> bool:
        return True

    def abort_with_status(self, status: Any) -> None:
        self.code = status.code.value[0]
        raise _Aborted


def fuzz(folder: Path, tries: int, say: Callable[[str], object], seed: int = 17) -> dict[str, float]:
    """Send so many requests; how many there were, and what of them must never be."""
    chance = random.Random(seed)
    authority, issuer = Authority(folder), TokenIssuer(folder)
    path = folder / "grants.toml"
    write_grants(path, _grants(issuer))
    identities = _identities(authority, issuer)
    counts: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    with running_server(folder, grants=path, log_level="error", **authority.server_settings()) as running:
        handlers = _handlers(running)
        while counts["tries"] < tries:
            if counts["tries"] % 50_000 == 0:
                say(f"fuzz {counts['tries']:,} of {tries:,}")
            call, request = chance.choice([*CALLS.items()])
            method = call.split(" ")[0]
            if method not in handlers:
                continue
            identity = chance.choice([*identities])
            data = _mutated(request, chance)
            context = _Context(*identities[identity])
            counts["tries"] += 1
            try:
                handlers[method](data, context)
            except _Aborted:
                pass
            except Exception as error:  # noqa: BLE001 (a crash is what is looked for)
                counts["crashes"] += 1
                say(f"crash of {method}: {error!r}")
            codes[code_pb2.Code.Name(context.code)] += 1
            if context.code not in _REFUSED and not _may(identity, method, type(request), data):
                counts["allowed_wrongly"] += 1
                say(f"{identity} got {context.code} of {method} by {data[:200]!r}")
    say(f"fuzz codes: {dict(codes)}")
    shown = ("tries", "crashes", "allowed_wrongly")
    figures = {f"fuzz.{name}": float(counts[name]) for name in shown}
    return figures | {f"fuzz.{name.lower()}": float(codes[name]) for name in ("INTERNAL", "UNKNOWN", "OK")}


def _grants(issuer: TokenIssuer) -> str:
    """The grants file: who may what, narrow enough that most requests are refused."""
    return (
        issuer.table()
        + grant("dns:reader.example", ["read_ledger"])
        + grant("dns:checkout.example", ["read_scores"], sellers=["s-1"])
        + grant(
            "dns:brand.example",
            ["append"],
            kinds=["violation"],
            sources=["brand"],
            notifiers=["brand-1"],
            entry_ids=["b1-"],
        )
        + grant(
            "jwt:https://login.example#*",
            ["read_ledger", "decide", "models"],
            marketplaces=["*"],
            entry_ids=["*"],
            actions=["*"],
        )
    )


def _identities(authority: Authority, issuer: TokenIssuer) -> dict[str, tuple[bytes | None, str | None]]:
    """Who calls, by name: certificate and token."""
    names = {
        name: authority.certificate(dns=[f"{name}.example"]) for name in ("reader", "checkout", "brand", "stranger")
    }
    identities: dict[str, tuple[bytes | None, str | None]] = {
        name: (shown.certificate.read_bytes(), None) for name, shown in names.items()
    }
    return identities | {
        "nobody": (None, None),
        "token": (None, issuer.token()),
        "garbled token": (None, issuer.token()[:-9]),
    }


def _handlers(running: Running) -> dict[str, Callable[[bytes, Any], bytes]]:
    """The handlers of the calls of one request, by `Service/Method`, as the server has them."""
    found = running.server.handlers.items()
    return {name: handler.unary_unary for name, handler in found if handler.unary_unary}


def _mutated(request: Message, chance: random.Random) -> bytes:
    """A request with some fields changed by their types; one in four garbled besides."""
    copy = type(request)()
    copy.CopyFrom(request)
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        _change(copy, chance)
    try:
        data = bytearray(copy.SerializeToString())
    except ValueError:
        data = bytearray()
    if data and chance.random() < 0.25:
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(data))
            match chance.randrange(3):
                case 0:
                    data[place] = chance.randrange(256)
                case 1:
                    del data[place:]
                    break
                case _:
                    data[place:place] = chance.randbytes(3)
            if not data:
                break
    return bytes(data)


def _change(message: Message, chance: random.Random) -> None:
    """Change one field of a message, or of one within it."""
    field = chance.choice(message.DESCRIPTOR.fields)
    if field.is_repeated:
        held = getattr(message, field.name)
        if field.message_type is not None and len(held) and not field.message_type.GetOptions().map_entry:
            return _change(chance.choice(held), chance)
        if field.type == FieldDescriptor.TYPE_STRING:
            held.append(_text(chance))
        return None
    if field.message_type is not None:
        return _change(getattr(message, field.name), chance)
    value = _value(field, chance)
    try:
        setattr(message, field.name, value)
    except (ValueError, TypeError):
        return None
    return None


def _value(field: FieldDescriptor, chance: random.Random) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text(chance)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return chance.random() < 0.5
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return chance.choice([0.0, 0.5, float("nan"), float("inf"), -1.0])
    return chance.choice(NUMBERS)


def _text(chance: random.Random) -> str:
    return chance.choice(TEXTS)


def _may(identity: str, method: str, kind: type[Message], data: bytes) -> bool:
    """Whether an identity may ever get past the gate with a request, by a reading of its own."""
    try:
        request: Any = kind.FromString(data)
    except DecodeError:
        return False
    name = method.rpartition("/")[2]
    match identity:
        case "reader" | "token":
            asked = getattr(request, "parent", "") or getattr(request, "name", "")
            return name in READS and bool(
                re.match(rf"marketplaces/{MARKET}(/|$)", asked)
            )  # the token's issuer speaks for it
        case "checkout":
            seller = f"marketplaces/{MARKET}/sellers/s-1"
            if name == "BatchGetTrustScores":
                return request.parent == f"marketplaces/{MARKET}" and seller in request.sellers
            return name == "GetTrustScore" and request.seller == seller
        case "brand":
            return (
                name == "AppendEntries"
                and request.parent == f"marketplaces/{MARKET}"
                and all(map(_is_brands, request.entries))
            )
    return False


def _is_brands(entry: Any) -> bool:
    if entry.WhichOneof("fact") != "violation" or not entry.entry_id.startswith("b1-"):
        return False
    return bool(entry.violation.source == SOURCE_BRAND and entry.violation.notifier == "brand-1")
