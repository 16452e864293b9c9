"""A process that verifies the ledger at a URL: `python -m tests.bench._verify URL` prints entries, seconds and memory."""

import json
import re
import sys
import time
from pathlib import Path

from service.ledger.store import Ledger


def main() -> None:
    """`peak_kb`: by how much the verification raised the memory that the process holds (Linux)."""
    with Ledger.open(sys.argv[1]) as ledger:
        ledger.checkpoint()  # the connection's own memory is not the verification's
        before, started = _memory_kb("VmRSS"), time.perf_counter()
        verified = ledger.verify([], lambda done, total: None)
        seconds, peak = time.perf_counter() - started, max(_memory_kb("VmHWM") - before, 0)
    mismatch = verified.mismatch and verified.mismatch.problem
    print(json.dumps({"entries": verified.entries, "seconds": seconds, "peak_kb": peak, "mismatch": mismatch}))


def _memory_kb(name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


if __name__ == "__main__":
    main()
