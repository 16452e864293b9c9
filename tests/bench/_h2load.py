import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.callers import Shown

PACKAGES = {"h2load": "nghttp2-client", "nghttpx": "nghttp2-proxy"}

START_SECONDS = 10.0


def require_programs() -> None:
    for program, package in PACKAGES.items():
        if shutil.which(program) is None:
            raise FileNotFoundError(f"{program} is missing: apt-get install {package}")


def write_body(path: Path, message: bytes) -> Path:
    path.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    return path


def h2load(address: str, method: str, body: Path, *, count: int, at_a_time: int, connections: int = 1) -> float:
    """Return calls a second; raise unless all have the HTTP status 200."""
    headers = ("-H", "content-type: application/grpc", "-H", "te: trailers")
    load = ("-c", str(connections), "-m", str(at_a_time), "-d", str(body))
    return _run(count, *load, *headers, f"http://{address}/{method}")


def h2load_http1(address: str, *, count: int, connections: int) -> float:
    return _run(count, "--h1", "-c", str(connections), f"http://{address}")


def h2load_for(seconds: float, address: str, method: str, body: Path, *arguments: str) -> None:
    headers = ("-H", "content-type: application/grpc", "-H", "te: trailers")
    command = ["h2load", "-D", f"{seconds:g}", *arguments, *headers, "-d", str(body), f"http://{address}/{method}"]
    subprocess.run(command, capture_output=True, check=True)


def _run(count: int, *arguments: str) -> float:
    command = ["h2load", "-n", str(count), *arguments]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if f"{count} succeeded" not in out:
        raise RuntimeError(out)
    found = re.search(r"finished in .*, ([\d.]+) req/s", out)
    if found is None:
        raise RuntimeError(out)
    return float(found[1])


@contextmanager
def showing(target: str, shown: Shown, folder: Path) -> Iterator[str]:
    options = (
        f"--cacert={shown.tls}",
        f"--client-cert-file={shown.certificate}",
        f"--client-private-key-file={shown.key}",
    )
    with _proxy(target, ";no-tls", "tls;proto=h2;sni=localhost", folder, *options) as address:
        yield address


@contextmanager
def meshed(target: str, shown: Shown, folder: Path) -> Iterator[str]:
    with _proxy(target, "", "proto=h2", folder, str(shown.key), str(shown.certificate)) as address:
        yield address


@contextmanager
def _proxy(target: str, front: str, back: str, folder: Path, *options: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    host, _, target_port = target.rpartition(":")
    command = [
        *("nghttpx", "--conf=/dev/null", "--workers=1", "--no-via", "--errorlog-file=/dev/null"),
        f"--frontend=127.0.0.1,{port}{front}",
        f"--backend={host},{target_port};;{back}",
        *options,
    ]
    with (folder / f"nghttpx-{port}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until = time.monotonic() + START_SECONDS
        while not _is_listening(port):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((folder / f"nghttpx-{port}.log").read_text())
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
