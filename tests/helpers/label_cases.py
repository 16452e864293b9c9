from scoring.base.enums import InspectionMethod, InspectionResult, Source
from scoring.base.time import DAY, parse_day
from scoring.entries.entry import Entry
from scoring.entries.kinds.trade import InspectionDone
from tests.helpers.builders import exposure, identity, violation

OBSERVE = parse_day("2025-01-01")
WINDOW, MATURITY = 180, 45
END = OBSERVE + WINDOW
TRUTH = END + MATURITY


def standing(seller: str, *, orders: int = 1000) -> list[Entry]:
    joined, sold = (OBSERVE - 100) * DAY, END - 5
    return [
        identity(f"i-{seller}", seller, occur_time=joined),
        exposure(sold, seller, settled_orders=orders),
    ]


def breach(entry_id: str, moment: int, *, reported: int | None = None, **fields: object) -> Entry:
    given = {"source": Source.CUSTOMS, "final": True, "identifier_verified": True} | fields
    return violation(entry_id, "s", occur_time=moment, report_time=moment if reported is None else reported, **given)  # type: ignore[arg-type]


def inspection(entry_id: str, seller: str, day: int, **stated: object) -> Entry:
    noon = day * DAY + DAY // 2
    fact = InspectionDone(
        InspectionResult.PASSED,
        InspectionMethod.SITE_VISIT,
        Source.MARKET_REGULATOR,
        **stated,  # type: ignore[arg-type]
    )
    return Entry(entry_id, seller, fact, noon, noon)
