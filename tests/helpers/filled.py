from pathlib import Path

from scoring.base.enums import Harm, IdentityLevel, Source
from scoring.base.time import DAY, day_of
from scoring.entries.entry import Entry
from scoring.entries.kinds.account import IdentityVerified
from scoring.entries.kinds.conduct import ViolationReported
from scoring.entries.kinds.trade import ExposureStated
from service.ledger.clock.server_clock import wall_clock
from service.ledger.store import Ledger
from service.registry.registry import Registry
from tests.helpers.models import publish
from tests.helpers.servers import MARKET

SELLERS = 200


def fill(ledger: Ledger, sellers: int = SELLERS) -> None:
    today = day_of(wall_clock())
    entries = []
    for number in range(sellers):
        seller = f"s{number}"
        entries.append(Entry(f"i{number}", seller, IdentityVerified(IdentityLevel.BUSINESS), (today - 400) * DAY))
        entries += [
            Entry(f"x{number}-{month}", seller, ExposureStated(today - 30 * month, 100 + number))
            for month in range(1, 13)
        ]
        entries += [
            Entry(
                f"v{number}-{index}",
                seller,
                ViolationReported("counterfeit_goods", Harm.HIGH, Source.BRAND),
                (today - 20 - index) * DAY,
            )
            for index in range(3)
        ]
    for begin in range(0, len(entries), 1_000):
        ledger.append(MARKET, entries[begin : begin + 1_000])


def prepare(folder: Path, url: str = "") -> None:
    publish(Registry(folder / "registry"))
    with Ledger.open(url or f"sqlite:///{folder}/ledger.db", create=True) as ledger:
        fill(ledger)
