"""The reference checkout, `examples/checkout`: buyers and payouts survive a frozen database and a killed server."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from examples.checkout.shop import Shop
from sellertrust.client import Client
from service.policy.policy_file import SHIPPED_POLICY
from tests.helpers.hanging_postgresql import hanging_postgresql
from tests.helpers.shells import MARKET, Shell, serving, shell_of

pytestmark = pytest.mark.long

NOW = datetime.now(UTC)
TODAY = NOW.date()
LATER = TODAY + timedelta(days=8)
"""The general policy pays seven days after the delivery."""


@contextmanager
def shop_of(shell: Shell, folder: Path) -> Iterator[Shop]:
    with (
        serving(shell, folder) as address,
        Client(address) as client,
        closing(Shop(folder / "shop.db", client, MARKET)) as shop,
    ):
        yield shop


def _sell_while_the_server_is_killed(shell: Shell, folder: Path) -> tuple[list[str], list[tuple[str, int]]] | None:
    seen = None
    with suppress(AssertionError), shop_of(shell, folder) as shop:  # a killed server does not end with 0
        for process in psutil.Process().children(recursive=True):
            if "serve" in process.cmdline():
                os.kill(process.pid, signal.SIGKILL)
        badges = shop.show_badges(["lamps"])
        shop.place("o-5", "lamps", 100, TODAY)
        seen = badges, shop.settle(LATER)
    return seen


def test_no_outage_blocks_a_buyer_or_pays_a_cent_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hanging_postgresql() as postgresql:
        shell = shell_of(tmp_path, database_url=postgresql.urls["tcp"], policy=SHIPPED_POLICY)
        with shop_of(shell, tmp_path) as shop:
            shop.welcome("lamps", NOW - timedelta(minutes=5))
            for name, captured in (("o-1", 12_900), ("o-2", 4_000), ("o-3", 7_000)):
                shop.place(name, "lamps", captured, TODAY)
            shop.deliver("o-1", NOW - timedelta(minutes=1))
            shop.refund("o-2", 4_000)
            assert shop.settle(TODAY) == []

            with postgresql.hanging():
                assert shop.show_badges(["lamps", "unheard-of"]) == ["none", "none"]
                shop.place("o-4", "lamps", 100, TODAY)
                assert shop.settle(LATER) == []
            assert "lamps waits" in capsys.readouterr().out

        seen = _sell_while_the_server_is_killed(shell, tmp_path)
        assert seen == (["none"], [])
        assert "lamps waits" in capsys.readouterr().out

        with shop_of(shell, tmp_path) as shop:
            assert shop.settle(LATER) == [("o-1", 12_900)]
            assert shop.settle(LATER) == []
            with pytest.raises(ValueError, match="does not hold"):
                shop.refund("o-1", 1)
            assert shop.list_balances() == {
                "o-1": (12_900, 0, 12_900),
                "o-2": (4_000, 4_000, 0),
                "o-3": (7_000, 0, 0),
                "o-4": (100, 0, 0),
                "o-5": (100, 0, 0),
            }


def test_the_story_of_the_example_runs() -> None:
    done = subprocess.run([sys.executable, "examples/checkout/shop.py"], capture_output=True, text=True, check=True)
    assert "day 7: o-1 is paid 129.00 EUR" in done.stdout
