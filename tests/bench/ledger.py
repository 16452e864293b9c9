"""The ledger: appends beside the database's own limit, histories at 10 million entries, the campaign of 2014, verify.

Sizes are set by environment variables, for a quick run:

    BENCH_LEDGER_PARTS          throughput,history,campaign    what to run
    BENCH_LEDGER_ROUNDS         11                             rounds of throughput, at least 5
    BENCH_LEDGER_ROUND_ROWS     20000                          entries a round, a multiple of 10,000
    BENCH_LEDGER_ROWS           10000000                       the larger ledger of the histories; the other is a tenth
    BENCH_LEDGER_CAMPAIGN_ROWS  5000000                        violations of the campaign that are really appended
    BENCH_LEDGER_VERIFY_ROWS    1000000                        of these, when the ledger is verified
"""

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from service.cli.progress import StepProgress
from tests.bench._campaign import campaign
from tests.bench._history import history
from tests.bench._real_data import Say
from tests.bench._throughput import throughput


def run(say: Say) -> dict[str, float]:
    """Figures of the parts that are asked for, on both databases, which wait for the disk."""
    figures: dict[str, float] = {}

    def show(name: str, value: float) -> None:
        figures[name] = value
        say(f"  {name:44} {value:,}")

    parts = os.environ.get("BENCH_LEDGER_PARTS", "throughput,history,campaign").split(",")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        progress = stack.enter_context(StepProgress()) if sys.stderr.isatty() else _unseen
        if "throughput" in parts:
            say(
                "throughput: 70 % violations, 20 % exposure days, 10 % decisions; one writer, no call while another runs"
            )
            throughput(folder, _size("ROUNDS", 11), _size("ROUND_ROWS", 20_000), show, progress)
        if "history" in parts:
            say("history: sellers of 30 and 1,000 entries spread over the whole ledger, warm")
            history(folder, _size("ROWS", 10_000_000), show, progress)
        if "campaign" in parts:
            say("campaign: violations by 10,000 through Ledger.append, 1,000,000 sellers in no order")
            campaign(folder, _size("CAMPAIGN_ROWS", 5_000_000), _size("VERIFY_ROWS", 1_000_000), show, progress)
    return figures


def _size(name: str, default: int) -> int:
    return int(os.environ.get(f"BENCH_LEDGER_{name}", default))


def _unseen(step: str, done: int, total: int) -> None:
    """Progress where there is no terminal."""
