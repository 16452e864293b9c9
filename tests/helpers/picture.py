"""Draw the README's picture.

The badge server is beside the server of SELLERTRUST_TARGET.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

from service.demo_cast import GOOD, MARKETPLACE, OFFENDER

_STYLE = """
    text { font-family: system-ui, sans-serif; font-size: 14px; fill: #1f2328; white-space: pre }
    .shop { fill: #57606a; font-size: 13px }
    .price { text-anchor: end }
    .code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 11px }
    rect { fill: #fff; stroke: #d0d7de; rx: 8px }
    .dark { display: none }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .shop { fill: #b1bac4 }
      rect { fill: #151b23; stroke: #3d444d }
      .dark { display: inline }
      .light { display: none }
    }
"""


def draw(badges: str, explanation: list[str]) -> str:
    height = 26 + 18 * len(explanation)
    drawn = [
        f'<rect x="1" y="1" width="252" height="{height}"/>',
        f'<rect x="263" y="1" width="646" height="{height}"/>',
    ]
    for row, member in enumerate((GOOD, OFFENDER)):
        top = 34 + 92 * row
        drawn.append(f'<text x="18" y="{top}">{member.item}</text>')
        drawn.append(f'<text class="price" x="236" y="{top}">{member.price_minor / 100:.2f} EUR</text>')
        drawn.append(f'<text class="shop" x="18" y="{top + 22}">{member.shop_name}</text>')
        drawn += (_badge(badges, member.seller, theme, top + 30) for theme in ("light", "dark"))
    for row, line in enumerate(explanation):
        drawn.append(f'<text class="code" x="276" y="{26 + 18 * row}">{escape(line)}</text>')
    body = "\n  ".join(drawn)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 910 {height + 2}">'
    return f"{head}\n  <style>{_STYLE}  </style>\n  {body}\n</svg>\n"


def _badge(badges: str, seller: str, theme: str, top: int) -> str:
    with urlopen(f"http://{badges}/badge/{MARKETPLACE}/{seller}.svg?lang=en&theme={theme}", timeout=30) as answer:
        svg = answer.read().decode()
    width, height = (re.search(rf'\b{side}="(\d+)', svg)[1] for side in ("width", "height"))  # type: ignore[index]
    place = f'class="{theme}" x="18" y="{top}" width="{width}" height="{height}"'
    return f'<image {place} href="data:image/svg+xml,{quote(svg)}"/>'


@contextmanager
def _badge_server() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder, "ready")
        main = "from service.cli import main; main()"
        command = [sys.executable, "-c", main, "badge", "serve", "--address", "127.0.0.1:0", "--ready-file", str(ready)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
            while not ready.exists() and server.poll() is None:
                time.sleep(0.02)
            yield ready.read_text().strip()
            server.terminate()


if __name__ == "__main__":
    with _badge_server() as address:
        head, *lines = (line.rstrip() for line in sys.stdin if line.strip())
        first = next(number for number, line in enumerate(lines) if line.startswith("  base "))
        print(draw(address, [head, *(line[2:] for line in lines[first:])]), end="")
