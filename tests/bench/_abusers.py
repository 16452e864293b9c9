import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from sellertrust.client import Client, SellertrustCallError
from tests.bench._real_data import Say
from tests.helpers.callers import Authority, TokenIssuer, grant, write_grants
from tests.helpers.servers import MARKET, Running, running_server

TURNS = 5


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder, self.authority, self.issuer = folder, Authority(folder), TokenIssuer(folder)
        self.grants = folder / "grants.toml"
        self.write("dns:a.example", "jwt:https://login.example#*")

    def write(self, *principals: str, limits: str = "") -> None:
        every = {name: ["*"] for name in ("kinds", "sources", "notifiers", "entry_ids")}
        rights = ["append", "read_ledger", "read_scores"]
        write_grants(self.grants, self.issuer.table(), *(grant(one, rights, **every) for one in principals), limits)

    def client(self, running: Running, **options: Any) -> Client:
        return running.client(**self.authority.certificate(dns=["a.example"]).options(), **options)


ABUSER = """
import sys, threading, uuid
import grpc
from sellertrust.client import Client
address, ca, certificate, key, kind = sys.argv[1:]
def work():
    with Client(address, tls=ca, certificate=certificate, key=key, service_config="{}") as client:
        call = client.channel.unary_unary("/sellertrust.v1.LedgerService/GetViolation")
        name = b"marketplaces/acme/violations/v"
        while True:
            shown = [("authorization", f"Bearer {uuid.uuid4()}")] if kind == "bad_tokens" else []
            try:
                call(bytes([10, len(name)]) + name, metadata=shown, timeout=10)
            except grpc.RpcError:
                pass
for _ in range(8):
    threading.Thread(target=work).start()
"""

ABUSERS = {"beside_over_alone": "abuser", "bad_tokens": "abuser", "no_grant": "stranger"}


def abused(folder: Path, say: Say) -> dict[str, float]:
    place = Place(folder)
    limits = '[[limits]]\nprincipals = ["dns:abuser.example"]\ncalls_per_second = 20\n'
    place.write("dns:a.example", "dns:abuser.example", limits=limits)
    settings = {"grants": place.grants, "log_level": "error", **place.authority.server_settings()}
    figures: dict[str, float] = {}
    with running_server(folder, **settings) as running, place.client(running) as victim:
        for name, label in ABUSERS.items():
            shown = place.authority.certificate(dns=[f"{label}.example"])
            arguments = [running.address, str(shown.tls), str(shown.certificate), str(shown.key), name]
            rates: dict[bool, list[float]] = {False: [], True: []}
            for turn in range(2 * TURNS):
                is_abused = bool(turn % 2)
                abuser = subprocess.Popen([sys.executable, "-c", ABUSER, *arguments]) if is_abused else None
                try:
                    time.sleep(2 if is_abused else 0)
                    rates[is_abused].append(_calls_a_second(victim))
                finally:
                    if abuser is not None:
                        abuser.kill()
                        abuser.wait()
            alone = statistics.median(rates[False])
            say(f"{name}: {statistics.median(rates[True]):.0f} calls a second beside, {alone:.0f} alone")
            figures[f"victim.{name}"] = round(statistics.median(rates[True]) / alone, 3)
    return figures | {"victim.alone": round(alone, 1)}


def _calls_a_second(client: Client, seconds: float = 3.0) -> float:
    done, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        with suppress(SellertrustCallError):
            client.get_violation(MARKET, "v")
        done += 1
    return done / seconds
