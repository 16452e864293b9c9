"""A checkout's calls with a token during a flood of calls with invalid tokens, over TLS alone."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import psutil

from sellertrust.client import Client, SellertrustCallError
from tests.bench._access_place import Place
from tests.bench._real_data import Say
from tests.helpers.filled import prepare
from tests.helpers.servers import MARKET
from tests.helpers.shells import serving, shell_of

TURNS, SECONDS = 3, 5.0
CALLS_A_SECOND = 10
SOON_SECONDS = 0.2

FLOOD = """
import sys, threading, time, uuid
import grpc
address, ca = sys.argv[1:]
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
        metadata = [("authorization", f"Bearer {uuid.uuid4()}")]
        asked.append(call.future(bytes([10, len(name)]) + name, metadata=metadata, timeout=10))
        if len(asked) >= 60:
            asked.pop(0).exception()
for _ in range(40):
    threading.Thread(target=work).start()
"""


def kept_beside_flood(folder: Path, say: Say) -> dict[str, float]:
    prepare(folder)
    place = Place(folder)
    tls = {name: path for name, path in place.authority.server_settings().items() if name != "tls_client_ca"}
    shell = shell_of(folder, grants=place.grants, log_level="error", **tls)
    options = {"tls": place.authority.ca, "token": place.issuer.token_file(), "service_config": {}}
    soon: dict[bool, list[float]] = {False: [], True: []}
    with serving(shell, folder) as address, Client(address, **options) as client:
        _hold_to_one_core()
        client.get_trust_score(MARKET, "s0", deadline_seconds=10)
        for turn in range(2 * TURNS):
            is_flooded = bool(turn % 2)
            with _flood(address, place.authority.ca) if is_flooded else nullcontext():
                soon[is_flooded].append(_share_soon(client))
            say(f"{'beside the flood' if is_flooded else 'alone'}: {soon[is_flooded][-1]:.1%} within 200 ms")
    return {"access.token_flood_kept": round(sum(soon[True]) / sum(soon[False]), 3)}


def _hold_to_one_core() -> None:
    server = max(psutil.Process().children(recursive=True), key=lambda process: process.create_time())
    core = min(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{server.pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


@contextmanager
def _flood(address: str, ca: Path) -> Iterator[None]:
    flood = subprocess.Popen([sys.executable, "-c", FLOOD, address, str(ca)])
    try:
        time.sleep(2)
        yield
    finally:
        flood.kill()
        flood.wait()


def _share_soon(client: Client) -> float:
    soon = tries = 0
    began = time.monotonic()
    while time.monotonic() - began < SECONDS:
        asked = time.monotonic()
        tries += 1
        with suppress(SellertrustCallError):
            client.get_trust_score(MARKET, "s0", deadline_seconds=2)
            soon += time.monotonic() - asked <= SOON_SECONDS
        time.sleep(max(0.0, asked + 1 / CALLS_A_SECOND - time.monotonic()))
    return soon / tries
