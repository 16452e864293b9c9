"""A shop that shows badges in the cart and pays sellers by the terms in force: `python examples/checkout/shop.py`.

Two rules hold whatever happens to the server. The buyer is never blocked: a cart without an answer shows no badge. A
payout is never wrong: without a fresh answer the money stays where it is, and each cent is paid once.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import sellertrust
from sellertrust.client import Client, Entry, SellertrustCallError, seller_name
from sellertrust.v1.entry_pb2 import IDENTITY_LEVEL_BUSINESS, ExposureStated, IdentityVerified
from sellertrust.v1.measure_service_pb2 import (
    DELIVERY_SOURCE_CARRIER,
    DELIVERY_SOURCE_UNSPECIFIED,
    EvaluatePayoutResponse,
)

CART_SECONDS = 0.2
CURRENCY = "EUR"
UNKNOWN = "unknown"

TABLES = """
CREATE TABLE IF NOT EXISTS orders (
    name TEXT PRIMARY KEY, seller TEXT NOT NULL, captured_day TEXT NOT NULL, captured INTEGER NOT NULL,
    refunded INTEGER NOT NULL DEFAULT 0, delivered_time TEXT
);
CREATE TABLE IF NOT EXISTS payouts (
    name TEXT NOT NULL REFERENCES orders, paid_before INTEGER NOT NULL, amount INTEGER NOT NULL, day TEXT NOT NULL,
    PRIMARY KEY (name, paid_before)  -- a second payout of the same cents is refused, by whom and whenever it is tried
);
"""


class Shop:
    """Orders and payouts in a database of the shop's own. Amounts are in cents."""

    def __init__(self, file: Path, client: Client, marketplace: str) -> None:
        self._database = sqlite3.connect(file, isolation_level=None)
        self._database.executescript(TABLES)
        self._client, self._marketplace = client, marketplace

    def welcome(self, seller: str, time: datetime) -> None:
        """Tell the ledger that a new seller's business was verified. A retry is the same entry."""
        name = seller_name(self._marketplace, seller)
        entry = Entry(
            entry_id=f"verified-{seller}", seller=name, identity=IdentityVerified(level=IDENTITY_LEVEL_BUSINESS)
        )
        entry.occur_time.FromDatetime(time)
        self._client.append_entries(self._marketplace, [entry])

    def show_badges(self, sellers: Sequence[str]) -> list[str]:
        """Return the badge of each seller of a cart within CART_SECONDS. A silent server gives `none`."""
        found = self._client.batch_get_trust_scores(
            self._marketplace, sellers, on_error="unknown", deadline_seconds=CART_SECONDS
        )
        badges = [one.trust_score.badge if one.trust_score else UNKNOWN for one in found]
        return ["none" if badge == UNKNOWN else badge for badge in badges]

    def place(self, name: str, seller: str, captured: int, day: date) -> None:
        """Capture a buyer's money; nobody is asked. A retry changes nothing."""
        self._database.execute(
            "INSERT OR IGNORE INTO orders (name, seller, captured_day, captured) VALUES (?, ?, ?, ?)",
            (name, seller, str(day), captured),
        )

    def deliver(self, name: str, time: datetime) -> None:
        """Record that the carrier handed the order to the buyer. The first statement counts."""
        self._database.execute(
            "UPDATE orders SET delivered_time = ? WHERE name = ? AND delivered_time IS NULL", (time.isoformat(), name)
        )

    def refund(self, name: str, amount: int) -> None:
        """Give the buyer an amount back, at most what was captured and not paid out. Raises ValueError for more."""
        found = self._database.execute(
            "UPDATE orders SET refunded = refunded + ? WHERE name = ? AND captured - refunded - ?"
            " >= (SELECT coalesce(sum(amount), 0) FROM payouts WHERE payouts.name = orders.name)",
            (amount, name, amount),
        )
        if not found.rowcount:
            raise ValueError(f"order {name} does not hold {amount}")

    def settle(self, day: date) -> list[tuple[str, int]]:
        """Pay out what the terms release by a day; return (order, amount) of each payout.

        A seller whose terms cannot be asked for waits for the next settlement, whole.
        """
        paid: list[tuple[str, int]] = []
        for (seller,) in self._database.execute("SELECT DISTINCT seller FROM orders ORDER BY seller").fetchall():
            try:
                due = list(self._find_due(seller, day))
            except SellertrustCallError as error:
                print(f"{seller} waits: {error.reason or error.code.name}")
                continue
            for name, refunded, before, released in due:
                if released > before and self._pay(name, refunded, before, released - before, day):
                    paid.append((name, released - before))
        return paid

    def _find_due(self, seller: str, day: date) -> Iterator[tuple[str, int, int, int]]:
        """Yield (order, refunded, paid before, released by now), oldest first: young orders share one limit."""
        ahead = 0
        for name, captured_day, captured, refunded, delivered_time, before in self._database.execute(
            "SELECT name, captured_day, captured, refunded, delivered_time,"
            " (SELECT coalesce(sum(amount), 0) FROM payouts WHERE payouts.name = orders.name)"
            " FROM orders WHERE seller = ? AND captured_day <= ? ORDER BY captured_day, name",
            (seller, str(day)),
        ).fetchall():
            terms = self._ask_terms(seller, day, captured_day, captured, refunded, delivered_time, ahead)
            ahead += terms.paid_ahead_minor
            yield name, refunded, before, terms.released_minor

    def _ask_terms(
        self,
        seller: str,
        day: date,
        captured_day: str,
        captured: int,
        refunded: int,
        delivered_time: str | None,
        ahead: int,
    ) -> EvaluatePayoutResponse:
        is_delivered = delivered_time is not None and delivered_time[:10] <= str(day)
        return self._client.evaluate_payout(
            self._marketplace,
            seller,
            capture_day=captured_day,
            captured_minor=captured,
            refunded_minor=refunded,
            currency=CURRENCY,
            delivered=is_delivered,
            confirmed_time=datetime.fromisoformat(delivered_time) if delivered_time and is_delivered else None,
            delivery_source=DELIVERY_SOURCE_CARRIER if is_delivered else DELIVERY_SOURCE_UNSPECIFIED,
            others_paid_ahead_minor=ahead,
            day=day,
        )

    def _pay(self, name: str, refunded: int, before: int, amount: int, day: date) -> bool:
        """Record a payout unless the order was refunded or paid meanwhile; return whether it is recorded.

        The bank is told afterwards, under the key (name, before): a crash in between leaves a payout to repeat.
        """
        found = self._database.execute(
            "INSERT OR IGNORE INTO payouts SELECT name, ?, ?, ? FROM orders WHERE name = ? AND refunded = ?",
            (before, amount, str(day), name, refunded),
        )
        return found.rowcount > 0

    def report_sales(self, seller: str, day: date) -> None:
        """Tell the ledger what a seller settled on a day: volume makes a record. A retry is the same entry."""
        orders, value = self._database.execute(
            "SELECT count(*), coalesce(sum(captured), 0) FROM orders WHERE seller = ? AND captured_day = ?",
            (seller, str(day)),
        ).fetchone()
        exposure = ExposureStated(day=str(day), settled_orders=orders, value_minor=value, currency=CURRENCY)
        entry = Entry(
            entry_id=f"sales-{seller}-{day}", seller=seller_name(self._marketplace, seller), exposure=exposure
        )
        self._client.append_entries(self._marketplace, [entry])

    def list_balances(self) -> dict[str, tuple[int, int, int]]:
        """Return (captured, refunded, paid out) of each order."""
        rows = self._database.execute(
            "SELECT name, captured, refunded, (SELECT coalesce(sum(amount), 0) FROM payouts WHERE payouts.name = orders.name)"
            " FROM orders"
        )
        return {name: (captured, refunded, paid) for name, captured, refunded, paid in rows}

    def close(self) -> None:
        """Close the shop's database; the client stays open."""
        self._database.close()


def main() -> None:
    """Play 31 days of a shop, and print its payouts."""
    today = datetime.now(UTC).date()
    with sellertrust.local() as client, closing(Shop(Path(":memory:"), client, "shop")) as shop:
        shop.welcome("lamps", datetime.now(UTC) - timedelta(minutes=1))
        shop.place("o-1", "lamps", 12_900, today)
        shop.place("o-2", "lamps", 4_000, today)
        shop.report_sales("lamps", today)
        print("badges:", shop.show_badges(["lamps", "unheard-of"]))
        shop.deliver("o-1", datetime.now(UTC))
        shop.refund("o-2", 4_000)
        for days in range(31):
            for name, amount in shop.settle(today + timedelta(days=days)):
                print(f"day {days}: {name} is paid {amount / 100:.2f} {CURRENCY}")
        print("captured, refunded, paid:", shop.list_balances())


if __name__ == "__main__":
    main()
