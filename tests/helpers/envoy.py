import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.waiting import wait_until

ROOT = Path(__file__).parents[2]
ENVOY = shutil.which("envoy", path=str(Path(sys.executable).parent))


@contextmanager
def envoy_before(target: str, folder: Path, answers: Callable[[str], bool]) -> Iterator[str]:
    address = configure_envoy(target, folder)
    with running_envoy(address, folder, answers):
        yield address


def configure_envoy(target: str, folder: Path, *given: tuple[str, str]) -> str:
    descriptors, port = folder / "descriptors.binpb", free_port()
    subprocess.run([sys.executable, "-m", "sellertrust.descriptors", descriptors], check=True, cwd=ROOT / "proto")
    text = (ROOT / "deploy/envoy/envoy.yaml").read_text()
    for old, new in (
        ("/etc/sellertrust/descriptors.binpb", str(descriptors)),
        ("port_value: 8081", f"port_value: {port}"),
        ("port_value: 9901", f"port_value: {free_port()}"),
        ("port_value: 50051", f"port_value: {target.rpartition(':')[2]}"),
        ("port_value: 50052", f"port_value: {free_port()}"),
        *given,
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "envoy.yaml").write_text(text)
    return f"127.0.0.1:{port}"


@contextmanager
def running_envoy(address: str, folder: Path, answers: Callable[[str], bool]) -> Iterator[None]:
    command = [str(ENVOY), "-c", str(folder / "envoy.yaml"), "--concurrency", "1", "--disable-hot-restart"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as envoy:
        try:
            wait_until(lambda: answers(address) or envoy.poll() is not None)
            assert envoy.poll() is None, (folder / "log").read_text()
            yield
        finally:
            envoy.terminate()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
