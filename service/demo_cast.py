"""The invented sellers in the demo, its badge page and the documents' examples.

The demo's market ends on a fixed day, and its ledger's clock starts at NOW whenever the ledger is opened. So answers
are the same on every day.
"""

from datetime import UTC, date, datetime
from typing import NamedTuple

MARKETPLACE = "demo"
NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
FIRST_DAY = date(2024, 7, 1)
"""The first simulated day; the last is the day before NOW."""


class Member(NamedTuple):
    seller: str
    shop_name: str
    licence_number: str
    """The verified identifier in authorities' files."""
    joined: date
    orders: int
    every_days: int
    """Days from one day with orders to the next."""
    failing_every: int
    """One in this many orders is late."""
    item: str
    item_zh: str
    price_minor: int
    """In euro cents."""


GOOD = Member("larch-lamps", "Larch Lamps", "BR-30417-L", date(2023, 5, 2), 6, 1, 150, "Reading lamp", "阅读灯", 4_990)
NEWCOMER = Member(
    "pebble-press", "Pebble Press", "BR-98120-P", date(2026, 6, 12), 1, 3, 150, "Letter paper", "信纸", 1_250
)
OFFENDER = Member(
    "tarnbrook-parts",
    "Tarnbrook Parts",
    "BR-55203-T",
    date(2024, 9, 16),
    20,
    1,
    150,
    "Airbag module",
    "安全气囊模块",
    12_900,
)
ACCUSED = Member(
    "fennick-garage", "Fennick Garage", "BR-41866-F", date(2023, 11, 6), 5, 1, 150, "Brake pads", "刹车片", 5_490
)
"""Wrongly accused: it had listed the recalled batch number by mistake."""
OTHER = Member("orrin-spares", "Orrin Spares", "BR-47790-O", date(2024, 3, 4), 4, 1, 150, "Wiper set", "雨刷", 2_350)
"""Another seller of the recalled batch, rightly hit."""

CAST = (GOOD, NEWCOMER, OFFENDER, ACCUSED, OTHER)
