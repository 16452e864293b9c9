"""A checkout's calls with a token during a flood: of invalid tokens over TLS alone, and of two sorts behind a mesh."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psutil

from sellertrust.client import Client
from tests.bench._access_place import Place
from tests.bench._h2load import meshed
from tests.bench._real_data import Say
from tests.helpers.callers import Shown
from tests.helpers.filled import prepare
from tests.helpers.servers import MARKET
from tests.helpers.shells import serving, shell_of

TURNS, SECONDS = 3, 5.0
CALLS_A_SECOND = 10
IN_FLIGHT = 200
SOON_SECONDS = 0.2
NAME = f"marketplaces/{MARKET}/sellers/s0".encode()
BODY = bytes([10, len(NAME)]) + NAME
FLOODER = "jwt:https://login.example#flooder"
LIMIT = f'[[limits]]\nprincipals = ["{FLOODER}"]\ncalls_per_second = 20\n'

FLOOD = """
import sys, threading, time, uuid
import grpc
address, ca, token = sys.argv[1:]
credentials = grpc.ssl_channel_credentials(open(ca, "rb").read())
name = b"marketplaces/acme/sellers/s0"
began = time.monotonic()
def work():
    channel = grpc.secure_channel(address, credentials, (("grpc.use_local_subchannel_pool", 1),))
    call = channel.unary_unary("/sellertrust.v1.TrustScoreService/GetTrustScore")
    asked = []
    while True:
        while time.process_time() > 0.25 * (time.monotonic() - began) + 1:
            time.sleep(0.01)
        metadata = [("authorization", f"Bearer {token or uuid.uuid4()}")]
        asked.append(call.future(bytes([10, len(name)]) + name, metadata=metadata, timeout=10))
        if len(asked) >= 60:
            asked.pop(0).exception()
for _ in range(40):
    threading.Thread(target=work).start()
"""


@dataclass(frozen=True)
class Flooded:
    """A server under one flood: a figure's name, the flood's token (empty: an invalid one each), and how it is met."""

    name: str
    token: str = ""
    is_meshed: bool = False
    renews: bool = False
    is_shared: bool = False


def kept_beside_flood(folder: Path, say: Say) -> dict[str, float]:
    prepare(folder)
    place = Place(folder)
    place.grants.write_text(LIMIT + place.grants.read_text())
    return {flood.name: _kept(folder, place, flood, say) for flood in list_floods(place)}


def list_floods(place: Place) -> tuple[Flooded, ...]:
    flooder = place.issuer.token("flooder")
    return (
        Flooded("access.token_flood_kept"),
        Flooded("access.mesh_strangers_kept", is_meshed=True),
        Flooded("access.mesh_renewed_kept", is_meshed=True, renews=True),
        Flooded("access.mesh_flood_kept", flooder, is_meshed=True),
        Flooded("access.mesh_connection_kept", flooder, is_shared=True),
    )


def _kept(folder: Path, place: Place, flood: Flooded, say: Say) -> float:
    say(flood.name)
    tls = place.authority.server_settings()
    shown = Shown(place.authority.ca, tls["tls_certificate"], tls["tls_key"])
    seen: dict[str, Any] = {key: tls[key] for key in tls if "client" not in key}
    if flood.is_meshed or flood.is_shared:
        seen = {"tls": "mesh"}
    shell = shell_of(folder, grants=place.grants, log_level="error", **seen)
    soon: dict[bool, list[float]] = {False: [], True: []}
    with ExitStack() as stack:
        address = stack.enter_context(serving(shell, folder))
        _hold_to_one_core()
        if flood.is_meshed:
            address = stack.enter_context(meshed(address, shown, folder))
        ca = None if flood.is_shared else shown.tls
        client = stack.enter_context(Client(address, tls=ca, service_config={}))
        method: Any = client.channel.unary_unary("/sellertrust.v1.TrustScoreService/GetTrustScore")
        ask = partial(method, BODY, timeout=2)
        token = place.issuer.token()
        ask(metadata=_bearer(token), timeout=10)
        for turn in range(2 * TURNS):
            is_flooded = bool(turn % 2)
            beside = _full(method, flood.token) if flood.is_shared else _flood(address, place.authority.ca, flood.token)
            with beside if is_flooded else nullcontext():
                soon[is_flooded].append(_share_soon(ask, lambda: _new_token(place) if flood.renews else token))
            say(f"{'beside the flood' if is_flooded else 'alone'}: {soon[is_flooded][-1]:.1%} within 200 ms")
    return round(sum(soon[True]) / sum(soon[False]), 3)


def _bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def _new_token(place: Place) -> str:
    return place.issuer.token(jti=str(time.monotonic_ns()))


def _hold_to_one_core() -> None:
    server = max(psutil.Process().children(recursive=True), key=lambda process: process.create_time())
    core = min(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{server.pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


@contextmanager
def _flood(address: str, ca: Path, token: str) -> Iterator[None]:
    flood = subprocess.Popen([sys.executable, "-c", FLOOD, address, str(ca), token])
    try:
        time.sleep(2)
        yield
    finally:
        flood.kill()
        flood.wait()


@contextmanager
def _full(method: Any, token: str) -> Iterator[None]:
    shown = _bearer(token)
    asked: list[Any] = []
    is_over = threading.Event()

    def work() -> None:
        while not is_over.wait(0.01):
            asked[:] = [call for call in asked if not call.done()]
            asked.extend(
                method.future(BODY, timeout=10, metadata=shown) for _ in range(min(20, IN_FLIGHT - len(asked)))
            )

    flooder = threading.Thread(target=work)
    flooder.start()
    try:
        time.sleep(2)
        yield
    finally:
        is_over.set()
        flooder.join()
        for call in asked:
            call.cancel()


def _share_soon(ask: Callable[..., object], find_token: Callable[[], str]) -> float:
    soon = tries = 0
    began = time.monotonic()
    while time.monotonic() - began < SECONDS:
        shown = _bearer(find_token())
        asked = time.monotonic()
        tries += 1
        with suppress(grpc.RpcError):
            ask(metadata=shown)
            soon += time.monotonic() - asked <= SOON_SECONDS
        time.sleep(max(0.0, asked + 1 / CALLS_A_SECOND - time.monotonic()))
    return soon / tries
