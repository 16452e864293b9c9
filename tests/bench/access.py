"""Only the right caller: the whole matrix, fuzzed requests, timing, rotation under load, the gate's cost of a call."""

import os
import statistics
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from sellertrust.client import SellertrustCallError
from tests.bench._access_place import Place
from tests.bench._fuzz import fuzz
from tests.bench._real_data import Say
from tests.bench._token_flood import kept_beside_flood
from tests.bench._told_apart import told_apart
from tests.helpers.matrix import cells
from tests.helpers.owner_edits import edits
from tests.helpers.servers import MARKET, Running, running_server

TRIES = int(os.environ.get("FUZZ_TRIES", "1000000"))
SEED = int(os.environ.get("FUZZ_SEED", "17"))
ROTATIONS = 5


def run(say: Say, only: str = "") -> dict[str, float]:
    """Return the figures of one part, or all; `FUZZ_TRIES` shortens the fuzzing, `FUZZ_SEED` reseeds it."""
    figures: dict[str, float] = {}
    for part, measure in PARTS.items():
        if only not in {"", part}:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = measure(Path(folder), say)
        for name, value in found.items():
            say(f"  {name:30} {value}")
        figures |= found
    return figures


def _table(folder: Path, say: Say) -> dict[str, float]:
    found = list(cells(folder, say))
    wrong = [cell for cell in found if cell.wanted != cell.found]
    for cell in wrong[:20]:
        say(f"wrong: {cell}")
    return {"table.cells": float(len(found)), "table.wrong": float(len(wrong))}


def _edited(folder: Path, say: Say) -> dict[str, float]:
    found = list(edits(folder))
    unfound = sorted({edit.of for edit in found if not edit.is_found})
    say(f"not named: {', '.join(unfound)}")
    tables = {edit.of for edit in found if edit.is_table}
    return {
        "verify.tables": float(len({of.partition(":")[0].partition(".")[0] for of in tables})),
        "verify.edits": float(len(found)),
        "verify.unfound": float(len(unfound)),
    }


def _fuzzed(folder: Path, say: Say) -> dict[str, float]:
    return fuzz(folder, TRIES, say, SEED)


def _costs(folder: Path, say: Say) -> dict[str, float]:
    place = Place(folder)
    asking, token = place.authority.server_settings(), place.issuer.token_file()
    silent = {name: path for name, path in asking.items() if name != "tls_client_ca"}
    shown = place.authority.certificate(dns=["a.example"]).options()
    ways: dict[str, tuple[dict[str, Path], dict[str, Any]]] = {
        "mtls": (asking, shown),
        "mtls_jwt": (asking, shown | {"token": token}),
        "jwt": (silent, {"tls": place.authority.ca, "token": token}),
    }
    figures = {}
    for name, (tls, options) in ways.items():
        settings: dict[str, Any] = {"grants": place.grants, "log_level": "error", **tls}
        with running_server(folder, **settings) as running, running.client(**options) as client:
            times = _timed(running)
            for number in range(1_100):
                if number == 100:
                    times.clear()
                with suppress(SellertrustCallError):
                    client.get_trust_score(MARKET, "s-1")
        figures[f"auth_us.{name}"] = round(statistics.median(times) * 1e6, 2)
    return figures


def _timed(running: Running) -> list[float]:
    gate = running.gate
    times: list[float] = []
    identify, require = gate.identify, gate.require

    def timed_identify(context: Any) -> Any:
        started = time.perf_counter()
        caller = identify(context)
        times.append(time.perf_counter() - started)
        return caller

    def timed_require(*arguments: Any) -> Any:
        started = time.perf_counter()
        visible = require(*arguments)
        times[-1] += time.perf_counter() - started
        return visible

    gate.identify, gate.require = timed_identify, timed_require  # type: ignore[method-assign]
    return times


def _rotation(folder: Path, say: Say) -> dict[str, float]:
    place = Place(folder)
    token = place.issuer.token_file()
    shown = place.authority.certificate(dns=["a.example"])
    done, failed = [0], [0]
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            try:
                [*client.list_entries(MARKET, "s-1")]
            except SellertrustCallError as error:
                failed[0] += 1
                say(f"failed: {error}")
            done[0] += 1

    settings = {"grants": place.grants, "log_level": "error", **place.authority.server_settings()}
    with running_server(folder, **settings) as running, running.client(**shown.options(), token=token) as client:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(2, 2 + ROTATIONS):
            say(f"rotation {number - 1} of {ROTATIONS}")
            _rotate(place, number, token, shown)
        is_over.set()
        for thread in threads:
            thread.join()
    return {"rotation.calls": float(done[0]), "rotation.failed": float(failed[0])}


def _rotate(place: Place, number: int, token: Path, shown: Any) -> None:
    place.issuer.keys[f"k{number}"] = ec.generate_private_key(ec.SECP256R1())
    place.issuer.publish()
    place.write("dns:a.example", "jwt:https://login.example#*", *(f"dns:x{n}.example" for n in range(number)))
    time.sleep(2.5)
    _replace(token, place.issuer.token(key=f"k{number}"))
    renewed = place.authority.certificate(dns=["a.example"])
    _replace(shown.key, renewed.key.read_text())
    _replace(shown.certificate, renewed.certificate.read_text())
    time.sleep(2.5)
    place.issuer.publish(f"k{number}")


def _replace(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


PARTS = {
    "table": _table,
    "auth": _costs,
    "timing": told_apart,
    "rotation": _rotation,
    "flood": kept_beside_flood,
    "fuzz": _fuzzed,
    "edits": _edited,
}
