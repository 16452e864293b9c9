"""Badges over HTTP: requests a second, beside an empty Starlette of the same connections and the same bytes.

`badge_per_s`, `bare_per_s`: requests a second of kept badges, and of an application that returns the same body for any
path, each in a process of its own, 32 at a time on 32 connections, by h2load over HTTP/1.1; `badge_over_bare`: the median of
their ratios, round by round; `badge_304_per_s`: with the ETag that the reader has; `badge_away_over_here`: the same badges
with the server gone, over those with it. Half a minute on an idle core.
"""

import http.client
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.service.processes import COMMAND
from tests.service.shells import shell_of
from tests.service.web.serving import filled_server

Say = Callable[[str], None]
ROUNDS, REQUESTS, CONNECTIONS = 7, 6_000, 32
PATH = "/badge/acme/good.svg"


def run(say: Say) -> dict[str, float]:
    """All figures; none without h2load, which Debian's nghttp2-client brings."""
    if shutil.which("h2load") is None:
        say("skipped: h2load is missing; apt-get install nghttp2-client")
        return {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            filled_server(folder) as running,
            badge_server(folder, running.address) as badges,
            _bare(folder, badges) as bare,
        ):
            rates = _rates(badges, bare)
            running.server.stop()
            away = [_load(badges) for _ in range(ROUNDS)]
    ratios = [ours / theirs for ours, theirs, _ in rates]
    figures = {
        "badge_per_s": round(statistics.median(ours for ours, _, _ in rates)),
        "bare_per_s": round(statistics.median(theirs for _, theirs, _ in rates)),
        "badge_over_bare": round(statistics.median(ratios), 3),
        "badge_304_per_s": round(statistics.median(unchanged for _, _, unchanged in rates)),
        "badge_away_over_here": round(statistics.median(away) / statistics.median(ours for ours, _, _ in rates), 3),
    }
    say(", ".join(f"{name} {value}" for name, value in figures.items()))
    return figures


def _rates(badges: str, bare: str) -> list[tuple[float, float, float]]:
    """Requests a second of badges, of bare responses and of 304s, in interleaved rounds."""
    etag = _get(badges).getheader("etag") or ""
    return [(_load(badges), _load(bare), _load(badges, ("-H", f"if-none-match: {etag}"))) for _ in range(ROUNDS)]


def _load(address: str, options: tuple[str, ...] = ()) -> float:
    """Requests a second over HTTP/1.1, all of which must succeed."""
    command = ["h2load", "--h1", "-n", str(REQUESTS), "-c", str(CONNECTIONS), *options, f"http://{address}{PATH}"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"{REQUESTS} succeeded" in out, out
    found = re.search(r"finished in .*, ([\d.]+) req/s", out)
    assert found is not None
    return float(found[1])


def _get(address: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("GET", PATH)
    return connection.getresponse()


@contextmanager
def badge_server(folder: Path, target: str) -> Iterator[str]:
    """A badge server in a process of its own, over the server at `target`; its address."""
    ready = folder / "badges"
    command = [*COMMAND, "badge", "serve", "--address", "127.0.0.1:0", "--ready-file", str(ready)]
    with _process(command, ready, shell_of(folder / "data", target=target).environment) as address:
        yield address


@contextmanager
def _bare(folder: Path, badges: str) -> Iterator[str]:
    """The same body from an application of one function."""
    ready, body = folder / "bare", folder / "body"
    body.write_bytes(_get(badges).read())
    command = [sys.executable, "-m", "tests.bench._bare_web", str(ready), str(body)]
    with _process(command, ready, shell_of(folder / "data").environment) as address:
        yield address


@contextmanager
def _process(command: list[str], ready: Path, environment: dict[str, str]) -> Iterator[str]:
    with subprocess.Popen(command, env=environment) as process:
        try:
            while not ready.exists():
                assert process.poll() is None
                time.sleep(0.02)
            yield ready.read_text().strip()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
