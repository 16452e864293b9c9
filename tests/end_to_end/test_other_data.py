import csv
import gzip
import io
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.shells import ROOT, shell_of

STUDIES = ROOT / "training" / "studies"
START = datetime(2020, 1, 1)  # noqa: DTZ001 - the files state no offset
DAYS = 1000
Rows = list[Sequence[object]]


def text_of(rows: Rows) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def sellers_of(rng: np.random.Generator, count: int) -> list[float]:
    """Return each seller's chance of failure: mostly low, at times high."""
    return np.where(rng.random(count) < 0.3, 0.25, 0.02).tolist()


def orders(folder: Path, rng: np.random.Generator) -> None:
    items: Rows = [
        ("order_id", "order_item_id", "product_id", "seller_id", "shipping_limit_date", "price", "freight_value")
    ]
    placed: Rows = [
        ("order_id", "customer_id", "order_status", "order_delivered_customer_date", "order_estimated_delivery_date")
    ]
    reviews: Rows = [
        (
            "review_id",
            "order_id",
            "review_score",
            "review_comment_message",
            "review_creation_date",
            "review_answer_timestamp",
        )
    ]
    for seller, chance in enumerate(sellers_of(rng, 150)):
        for number in range(int(rng.integers(20, 60))):
            order, promised = f"{seller:04x}{number:04x}", START + timedelta(days=int(rng.integers(0, DAYS)))
            days = rng.uniform(0.2, 15) if rng.random() < chance else -rng.uniform(1, 10)
            delivered = (promised + timedelta(days=float(days))).replace(microsecond=0)
            if rng.random() < 0.05:
                placed.append((order, "c", "canceled", "", promised))
            else:
                placed.append((order, "c", "delivered", delivered, promised))
                stars = int(rng.integers(1, 3)) if days > 0 else 5
                reviews.append(
                    (
                        f"r{order}",
                        order,
                        stars,
                        "so\nso",
                        delivered.date().isoformat() + " 00:00:00",
                        str(delivered + timedelta(days=2)),
                    )
                )
            items += [(order, k, "p", f"s{seller:03d}", promised, "58.90", "13.29") for k in range(1 + number % 2)]
    for name, rows in (("order_items", items), ("orders", placed), ("order_reviews", reviews)):
        (folder / f"olist_{name}_dataset.csv").write_text(text_of(rows))


def ratings(folder: Path, rng: np.random.Generator) -> None:
    rows: Rows = []
    begin = datetime(2020, 1, 1).timestamp()  # noqa: DTZ001 - any offset will do
    for trader, chance in enumerate(sellers_of(rng, 300)):
        for rater in rng.choice(5000, int(rng.integers(8, 40)), replace=False).tolist():
            rating = int(rng.choice([-10, -5, -1])) if rng.random() < chance else int(rng.integers(1, 11))
            rows.append((10_000 + rater, trader, rating, f"{begin + rng.uniform(0, DAYS) * 86_400:.5f}"))
    with gzip.open(folder / "soc-sign-bitcoinotc.csv.gz", "wt", newline="") as out:
        out.write(text_of(rows))


def inspections(folder: Path, rng: np.random.Generator) -> None:
    rows: Rows = [("CAMIS", "DBA", "INSPECTION DATE", "ACTION", "VIOLATION CODE", "CRITICAL FLAG", "SCORE", "GRADE")]
    begin, fine, closed = date(2020, 1, 1), "Violations were cited.", "Establishment Closed by DOHMH."
    for place, chance in enumerate(sellers_of(rng, 300)):
        camis = 30_000_000 + place
        for day in sorted(rng.choice(DAYS, 16, replace=False).tolist()):
            seen = (begin + timedelta(days=day)).strftime("%m/%d/%Y")
            points = int(rng.integers(28, 60)) if rng.random() < chance else int(rng.integers(0, 20))
            action = closed if points > 50 else fine
            if points < 3:
                rows.append((camis, "CAFE", seen, "No violations were recorded", "", "Not Applicable", points, "A"))
            rows += [(camis, "CAFE", seen, action, f"0{k}A", "Critical", points, "") for k in range(points // 7)]
        rows.append((camis, "CAFE", "01/01/1900", "", "", "Not Applicable", "", ""))
    (folder / "DOHMH_New_York_City_Restaurant_Inspection_Results.csv").write_text(text_of(rows))


def counts(said: str) -> tuple[int, int, int]:
    """Return the counts of entries appended, already there, and repeated; none is rejected."""
    found = re.search(
        r"([\d,]+) entries appended to \w+, ([\d,]+) were there already(?:, ([\d,]+) repeated in this import)?", said
    )
    assert found, said
    appended, there, repeated = (int((found[place] or "0").replace(",", "")) for place in (1, 2, 3))
    return appended, there, repeated


@pytest.mark.long
@pytest.mark.parametrize(
    ("study", "make"), [("olist", orders), ("bitcoin_otc", ratings), ("nyc_restaurants", inspections)]
)
def test_other_data_is_imported_and_trained_on(
    tmp_path: Path, study: str, make: Callable[[Path, np.random.Generator], None]
) -> None:
    make(tmp_path, np.random.default_rng(4))
    shell = shell_of(tmp_path / "home")
    importing = (
        "ledger",
        "import",
        STUDIES / f"{study}.mapping.toml",
        "--data",
        tmp_path,
        "--rejects",
        tmp_path / "rejects",
    )
    appended, there, repeated = counts(shell(*importing)[1])
    assert (appended > 1000, there) == (True, 0)
    assert counts(shell(*importing)[1]) == (0, appended + repeated, 0)
    trained = shell.trained(STUDIES / f"{study}.toml")
    assert trained["auc"]["value"] > 0.7
    assert trained["alias"] in ("champion", "challenger")
    assert not {"certificate", "parity", "reproducible"} & set(trained["failed_hard"])


def test_a_joined_file_that_is_missing_is_named_before_an_import(tmp_path: Path) -> None:
    orders(tmp_path, np.random.default_rng(4))
    (tmp_path / "olist_orders_dataset.csv").unlink()
    said = shell_of(tmp_path / "home").error(2, "ledger", "import", STUDIES / "olist.mapping.toml", "--data", tmp_path)
    assert "lacks olist_orders_dataset.csv, which the mapping names" in said
