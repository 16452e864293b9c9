"""Assumptions of a loss certificate: what no ledger and no policy knows, stated by the marketplace with its sources."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scoring.base.errors import CertificateRefused
from scoring.policy.measures import PPM
from scoring.policy.parts import Part

MAX_DAYS = 366
MAX_MINOR = 10**15
MAX_RUNNERS = 1_000_000

_CURRENCY = re.compile("[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Valid assumptions. Money in minor units of `currency`, shares in parts per million."""

    currency: str
    stop_days: int
    """Days after the promised arrival of the first order of a run that is not kept, by which at the latest neither orders
    are taken nor money is paid out: of the slowest product category, an upper tolerance bound of cases and no mean.
    """
    confirm_days: int
    """Days from a stop that may end by itself, such as a caution, to the confirmation, at most."""
    carrier_days: int
    """Days after capture before which no carrier confirms the buyer's address; 0 where the scan of a parcel is enough."""
    wash_ppm: int
    """Cost of a sale to oneself, as a share of its value that does not come back: at least this, in the cheapest product
    category.
    """
    identity_minor: int
    """Cost of a name that passes admission: at least this."""
    aged_account_minor: int
    """Price of an account with a history, beside its share: at least this."""
    aged_account_ppm: int
    """Price of an account with a history, as a share of what it settled: at least this."""
    runners: int
    """Number of sellers that run on one day, at most."""
    overturned_ppm: int
    """Share of confirmed violations that are overturned later: how often the stop is wrong."""
    data: Mapping[str, Any]
    """What the file states, sources included."""


def parse_assumptions(data: Mapping[str, Any]) -> Assumptions:
    """Parse the data of a TOML file into assumptions.

    CertificateRefused names every part that is missing, wrong or unknown.
    """
    root = Part(data, whole="assumptions")
    stop, confirm = (_sourced(root, name) for name in ("stop", "confirm"))
    carrier = _sourced(root, "carrier") if "carrier" in root else None
    wash, identity, aged, runners, overturned = (
        _sourced(root, name) for name in ("wash", "identity", "aged_account", "runners", "overturned")
    )
    found = Assumptions(
        currency=root.code("currency", _CURRENCY, "the ISO 4217 code of all amounts, such as EUR"),
        stop_days=max([stop.number("days", 1, MAX_DAYS), *_by_category(stop, "days", 1, MAX_DAYS)]),
        confirm_days=confirm.number("days", 0, MAX_DAYS),
        carrier_days=carrier.number("days", 0, MAX_DAYS) if carrier is not None else 0,
        wash_ppm=min([wash.number("ppm", 0, PPM), *_by_category(wash, "ppm", 0, PPM)]),
        identity_minor=identity.number("minor", 0, MAX_MINOR),
        aged_account_minor=aged.number("minor", 0, MAX_MINOR),
        aged_account_ppm=aged.number("ppm", 0, PPM),
        runners=runners.number("count", 1, MAX_RUNNERS),
        overturned_ppm=overturned.number("ppm", 0, PPM),
        data=data,
    )
    root.refuse_what_is_left()
    if root.errors:
        raise CertificateRefused("the assumptions do not hold together: " + "; ".join(root.errors))
    return found


def _sourced(root: Part, name: str) -> Part:
    """Return a part, which must state its source: where the number comes from."""
    part = root.part(name)
    part.text("source", 1)
    return part


def _by_category(part: Part, name: str, least: int, most: int) -> list[int]:
    """Return the numbers that differ by product category; a certificate takes the worst of all, whatever is sold."""
    if "by_product_category" not in part:
        return []
    rows = part.part("by_product_category")
    return [rows.part(str(category)).number(name, least, most) for category in rows.data]
