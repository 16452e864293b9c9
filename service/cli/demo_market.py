import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from service.demo_cast import ACCUSED, CAST, FIRST_DAY, NOW, OFFENDER, OTHER, Member

DAYS = (NOW.date() - FIRST_DAY).days
SEED = 2014
PRODUCT, BATCH = "04000000002014", "AB-2014"
SEIZED_UNITS = 120
NOTICE, RECALL = "N-2026-0114", "R-2026-0031"

_YESTERDAY = (NOW - timedelta(days=1)).date()
_EARLIER = [
    (
        *(
            f"v-{OFFENDER.seller}",
            OFFENDER.seller,
            f"i-{OFFENDER.seller}",
            "2025-11-03T09:12:00Z",
            "2025-11-05T16:40:00Z",
        ),
        *("not_as_described", "low", "buyer", "buyer-00420", "false", "false", "l-airbag"),
    )
]
_DECIDED = [
    (
        *(f"d-{OFFENDER.seller}", f"v-{OFFENDER.seller}", OFFENDER.seller, "2025-11-12T10:30:00Z"),
        *("confirm", "staff-02", "evidence-sufficient"),
    )
]
_TABLES: dict[str, list[tuple[object, ...]]] = {
    "sellers.csv": [
        ("seller_id", "shop_name", "licence_number", "level", "verified_on", "country"),
        *((m.seller, m.shop_name, m.licence_number, "business", m.joined, "DE") for m in CAST),
    ],
    "listings.csv": [
        ("listing", "seller_id", "product", "batch", "supplier", "listed_on"),
        *(
            (f"listing-{m.seller}", m.seller, PRODUCT, BATCH, "supplier-airbags", NOW.date() - timedelta(days=days))
            for m, days in ((ACCUSED, 30), (OTHER, 25))
        ),
    ],
    "customs.csv": [
        (
            *("record", "notice", "item", "dated", "licence", "trader", "goods", "risk", "units", "value_minor"),
            *("brand", "right", "final", "ground"),
        ),
        (
            *("seizure", NOTICE, 1, _YESTERDAY, OFFENDER.licence_number, "Tarnbrook Parts Ltd", "airbags", "danger"),
            *(SEIZED_UNITS, SEIZED_UNITS * OFFENDER.price_minor, "brand-axon", "TM-360", "yes", "seizure article 17"),
        ),
    ],
    "quality_inspection.csv": [
        (
            *("record", "report", "dated", "licence", "shop", "product", "batch", "method", "drawn_ppm", "result"),
            *("defect", "units", "final", "ground"),
        ),
        (
            *("recall", RECALL, NOW.date(), "", "", PRODUCT, BATCH, "", "", "", "danger", "", "yes"),
            "general product safety",
        ),
    ],
}


def write_files(sellers: int, folder: Path) -> None:
    """Write the files of a market of `sellers` simulated sellers and the cast.

    Raises ConfigurationWrong without the packages of training.
    """
    import polars as pl

    from training.market.files import write_market
    from training.market.simulate import simulate

    market = simulate(sellers, DAYS, FIRST_DAY, SEED)
    # Each seller states its orders weekly, on its own weekday: 100,000 entries instead of 180,000.
    week = market.exposure.group_by("seller", (pl.col("day") + pl.col("seller")) // 7, maintain_order=True)
    weekly = week.agg(pl.col("day").max().alias("last"), pl.exclude("seller", "day").sum()).drop("day")
    write_market(replace(market, exposure=weekly.rename({"last": "day"})), folder)
    exposure = [row for member in CAST for row in _exposure(member)]
    history: dict[str, Sequence[tuple[object, ...]]]
    history = {"exposure": exposure, "violations": _EARLIER, "decisions": _DECIDED}
    for name, rows in history.items():
        # A second member of a gzip file reads as a continuation of the first.
        with gzip.open(folder / f"{name}.csv.gz", "at", compresslevel=1, newline="") as file:
            csv.writer(file).writerows(rows)
    for name, table in _TABLES.items():
        with (folder / name).open("w", newline="") as out:
            csv.writer(out).writerows(table)


def _exposure(member: Member) -> Iterator[tuple[object, ...]]:
    first = max(member.joined + timedelta(days=1), FIRST_DAY)
    for number, days in enumerate(range(0, (NOW.date() - first).days, member.every_days), start=1):
        late = number * member.orders // member.failing_every - (number - 1) * member.orders // member.failing_every
        value = member.orders * member.price_minor
        yield (
            *(member.seller, first + timedelta(days=days), member.orders, member.orders, value, "EUR"),
            *(late, 0, 0, 0),
        )
