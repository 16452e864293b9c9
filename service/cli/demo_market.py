import gzip
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from service.demo_cast import ACCUSED, CAST, FIRST_DAY, NOW, OFFENDER, OTHER, Member

DAYS = (NOW.date() - FIRST_DAY).days
SEED = 2014
PRODUCT, BATCH = "04000000002014", "AB-2014"
SEIZED_UNITS = 120
NOTICE, RECALL = "N-2026-0114", "R-2026-0031"

_DISPUTED = f"v-{OFFENDER.seller}"
_HISTORY = {
    "violations": f"""\
{_DISPUTED},{OFFENDER.seller},i-{OFFENDER.seller},2025-11-03T09:12:00Z,2025-11-05T16:40:00Z,\
not_as_described,low,buyer,buyer-00420,false,false,l-airbag
""",
    "decisions": f"""\
d-{OFFENDER.seller},{_DISPUTED},{OFFENDER.seller},2025-11-12T10:30:00Z,confirm,staff-02,evidence-sufficient
""",
}
"""Lines that follow those of the simulated sellers."""

_FILES = {
    "sellers.csv": "seller_id,shop_name,licence_number,level,verified_on,country\n"
    + "".join(f"{m.seller},{m.shop_name},{m.licence_number},business,{m.joined},DE\n" for m in CAST),
    "listings.csv": f"""\
listing,seller_id,product,batch,supplier,listed_on
listing-{ACCUSED.seller},{ACCUSED.seller},{PRODUCT},{BATCH},supplier-airbags,2026-05-31
listing-{OTHER.seller},{OTHER.seller},{PRODUCT},{BATCH},supplier-airbags,2026-06-05
""",
    "customs.csv": f"""\
record,notice,item,dated,licence,trader,goods,risk,units,value_minor,brand,right,final,ground
seizure,{NOTICE},1,2026-06-29,{OFFENDER.licence_number},Tarnbrook Parts Ltd,airbags,danger,{SEIZED_UNITS},\
{SEIZED_UNITS * OFFENDER.price_minor},brand-axon,TM-360,yes,seizure article 17
""",
    "quality_inspection.csv": f"""\
record,report,dated,licence,shop,product,batch,method,drawn_ppm,result,defect,units,final,ground
recall,{RECALL},2026-06-30,,,{PRODUCT},{BATCH},,,,danger,,yes,general product safety
""",
}
"""NOW is 30 June 2026."""


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
    exposure = "".join(line for member in CAST for line in _write_exposure_lines(member))
    for name, lines in (_HISTORY | {"exposure": exposure}).items():
        # A second member of a gzip file reads as a continuation of the first.
        with gzip.open(folder / f"{name}.csv.gz", "at", compresslevel=1) as file:
            file.write(lines)
    for name, table in _FILES.items():
        (folder / name).write_text(table)


def _write_exposure_lines(member: Member) -> Iterator[str]:
    first = max(member.joined + timedelta(days=1), FIRST_DAY)
    for number, days in enumerate(range(0, (NOW.date() - first).days, member.every_days), start=1):
        failed_orders = (
            number * member.orders // member.failing_every - (number - 1) * member.orders // member.failing_every
        )
        value = member.orders * member.price_minor
        day = first + timedelta(days=days)
        yield f"{member.seller},{day},{member.orders},{member.orders},{value},EUR,{failed_orders},0,0,0\n"
