"""Fuzzed requests by several identities to gRPC's handlers on a real server without sockets: a thousand or more a
second.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2

from tests.bench._fuzz_callers import SOUND, grants_text, identities_of, is_shown_rightly, may
from tests.helpers.callers import Authority, TokenIssuer, write_grants
from tests.helpers.matrix import CALLS
from tests.helpers.servers import MARKET, Running, append_messages_alone, identity, running_server, violation

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
    "m-",
    "m-1",
    "m-2",
    "v-2",
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
MAX_MESSAGES = 3


class _Aborted(Exception):
    """The end of a call by its context."""


class _Context:
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
    chance = random.Random(seed)
    authority, issuer = Authority(folder), TokenIssuer(folder)
    path = folder / "grants.toml"
    write_grants(path, grants_text(issuer))
    identities = identities_of(authority, issuer)
    counts: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    past: Counter[str] = Counter()
    sound = [*CALLS.items(), *SOUND]
    with running_server(folder, grants=path, log_level="error", **authority.server_settings()) as running:
        reported = [violation("v-1", "s-1"), violation("v-2", "s-2"), identity("i-1", "s-1"), identity("i-2", "s-2")]
        append_messages_alone(running.ledger, MARKET, reported)
        passed = _note_passed(running)
        while counts["tries"] < tries:
            if counts["tries"] % 50_000 == 0:
                say(f"fuzz {counts['tries']:,} of {tries:,}")
            call, request = chance.choice(sound)
            method = call.split(" ")[0]
            identity_ = chance.choice([*identities])
            context = _Context(*identities[identity_])
            messages = [_mutated(request, chance) for _ in range(1 if "Stream" not in method else MAX_MESSAGES)]
            counts["tries"] += len(messages)
            passed.clear()
            is_shown = True
            try:
                is_shown = _call(running, method, messages, context, identity_)
            except _Aborted:
                pass
            except Exception as error:  # noqa: BLE001 (a crash is what is looked for)
                counts["crashes"] += 1
                say(f"crash of {method}: {error!r}")
            codes[code_pb2.Code.Name(context.code)] += 1
            past[identity_] += len(passed) > 0
            parent = _parent_of(type(request), messages[0]) if len(messages) > 1 else ""
            let_in = messages[: len(passed)]
            if not all(may(identity_, method, type(request), data, parent) for data in let_in):
                counts["allowed_wrongly"] += 1
                say(f"{identity_} got {context.code} of {method} by {let_in[-1][:200]!r}")
            if not is_shown:
                counts["allowed_wrongly"] += 1
                say(f"{identity_} is shown others' by {method} {messages[0][:200]!r}")
    say(f"fuzz codes: {dict(codes)}; past the gate: {dict(past)}")
    shown = ("tries", "crashes", "allowed_wrongly")
    figures = {f"fuzz.{name}": float(counts[name]) for name in shown}
    return figures | {f"fuzz.{name.lower()}": float(codes[name]) for name in ("INTERNAL", "UNKNOWN", "OK")}


def _note_passed(running: Running) -> list[Message]:
    gate, passed = running.gate, list[Message]()
    require = gate.require

    def noting(caller: Any, method: str, request: Message) -> Any:
        visible = require(caller, method, request)
        passed.append(request)
        return visible

    gate.require = noting  # type: ignore[method-assign]
    return passed


def _call(running: Running, method: str, messages: list[bytes], context: _Context, identity_: str) -> bool:
    handler = cast(Any, running.server.handlers[method])
    kind = _response_type(method)
    responses: Iterator[bytes]
    if handler.unary_unary:
        found = [handler.unary_unary(messages[0], context)]
    elif handler.unary_stream:
        with closing(handler.unary_stream(messages[0], context)) as responses:
            found = [*islice(responses, 1)]
    else:
        with closing(handler.stream_stream(iter(messages), context)) as responses:
            found = [*responses]
    return all(is_shown_rightly(identity_, kind.FromString(one)) for one in found)


def _response_type(method: str) -> type[Message]:
    service, _, name = method.partition("/")
    found = Default().FindServiceByName(f"sellertrust.v1.{service}").FindMethodByName(name)
    return GetMessageClass(found.output_type)


def _parent_of(kind: type[Message], data: bytes) -> str:
    try:
        found: Any = kind.FromString(data)
    except DecodeError:
        return ""
    return str(found.parent)


def _mutated(request: Message, chance: random.Random) -> bytes:
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
    if not message.DESCRIPTOR.fields:
        return None
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
