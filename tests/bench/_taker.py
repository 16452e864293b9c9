"""A server of its own: `python -m tests.bench._taker FOLDER` serves the registry there and looks whenever it is told to.

It prints its address, then for every line of stdin one JSON object: what a look at the registry came to.
"""

import json
import sys
from pathlib import Path

import lightgbm

from scoring.entries.entry import Entry
from scoring.entries.kinds.account import IdentityVerified
from scoring.entries.kinds.trade import ExposureStated
from scoring.enums import IdentityLevel
from scoring.errors import SellertrustError
from scoring.time import DAY, day_of
from service.api.logs import make_log
from service.api.server import Server
from service.bootstrap import build_scorer
from service.ledger.clock.server_clock import wall_clock
from service.ledger.store import Ledger
from service.registry.registry import Registry
from tests.scoring.worlds import policy
from tests.servers import MARKET, settings_of

SELLERS = tuple(f"s{n}" for n in range(5))


def main() -> None:
    """Ends with its stdin."""
    folder = Path(sys.argv[1])
    read = [0]
    booster = lightgbm.Booster

    def counted(model_str: str) -> lightgbm.Booster:
        read[0] += 1
        return booster(model_str=model_str)

    lightgbm.Booster = counted
    log = make_log("json", "error")
    with Ledger.open(f"sqlite:///{folder}/ledger.db", create=True) as ledger:
        fill(ledger)
        scorer = build_scorer(ledger, policy(), Registry(folder / "registry"))
        with Server(settings_of(data_dir=folder), ledger, scorer, log=log) as server:
            print(server.address, flush=True)
            for _ in sys.stdin:
                before, refused = read[0], ""
                try:
                    scorer.champion.refresh()
                except SellertrustError as error:
                    refused = error.message
                said = {"model": scorer.champion.digest, "refused": refused, "read": read[0] - before}
                print(json.dumps(said), flush=True)


def fill(ledger: Ledger) -> None:
    """Five sellers with a year of history, and none of them alike; the same again adds nothing."""
    today = day_of(wall_clock())
    entries = [
        Entry(f"i{n}", seller, IdentityVerified(IdentityLevel.BASIC), (today - 300) * DAY)
        for n, seller in enumerate(SELLERS)
    ]
    entries += [
        Entry(f"x{n}", seller, ExposureStated(today - 30, 100 * (n + 1), late=3 * n))
        for n, seller in enumerate(SELLERS)
    ]
    if not ledger.last()[0]:
        ledger.append(MARKET, entries)


if __name__ == "__main__":
    main()
