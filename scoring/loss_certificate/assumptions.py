import re

from scoring.base.canonical import JsonObject
from scoring.base.errors import CertificateRefused
from scoring.base.frozen import frozen
from scoring.base.parts import Part
from scoring.entries.kinds.common import MAX_VALUE_MINOR
from scoring.policy.measures import PPM

MAX_DAYS = 366
MAX_RUNNERS = 1_000_000

_CURRENCY = re.compile("[A-Z]{3}")


@frozen
class Assumptions:
    """Money in minor units of `currency`, shares in parts per million."""

    currency: str
    stop_days: int
    """Most days from the promised arrival of a run's first unkept order to the stop of orders and payouts: an upper
    tolerance bound of the slowest product category.
    """
    confirm_days: int
    """Most days from a stop that may end by itself to the confirmation."""
    carrier_days: int
    """Days after capture before which no carrier confirms the address; 0 if a scan is enough."""
    wash_ppm: int
    """Least lost share of a sale to oneself, in the cheapest product category."""
    identity_minor: int
    """Least cost of a name that passes admission."""
    aged_account_minor: int
    """Least price of an account with a history, without its share of its settled value."""
    aged_account_ppm: int
    runners: int
    """Sellers that begin a run on one day, at most."""
    overturned_ppm: int
    """Share of confirmed violations that are overturned later."""
    data: JsonObject


def parse_assumptions(data: JsonObject) -> Assumptions:
    """Parse a TOML file's data; raise CertificateRefused naming every missing, wrong or unknown part."""
    root = Part(data, whole="assumptions")
    stop, confirm = (_read_sourced_part(root, name) for name in ("stop", "confirm"))
    carrier = _read_sourced_part(root, "carrier") if "carrier" in root else None
    wash, identity, aged, runners, overturned = (
        _read_sourced_part(root, name) for name in ("wash", "identity", "aged_account", "runners", "overturned")
    )
    assumptions = Assumptions(
        currency=root.code("currency", _CURRENCY, "the ISO 4217 code of all amounts, such as EUR"),
        stop_days=max([stop.number("days", 1, MAX_DAYS), *_list_numbers_by_category(stop, "days", 1, MAX_DAYS)]),
        confirm_days=confirm.number("days", 0, MAX_DAYS),
        carrier_days=carrier.number("days", 0, MAX_DAYS) if carrier is not None else 0,
        wash_ppm=min([wash.number("ppm", 0, PPM), *_list_numbers_by_category(wash, "ppm", 0, PPM)]),
        identity_minor=identity.number("minor", 0, MAX_VALUE_MINOR),
        aged_account_minor=aged.number("minor", 0, MAX_VALUE_MINOR),
        aged_account_ppm=aged.number("ppm", 0, PPM),
        runners=runners.number("count", 1, MAX_RUNNERS),
        overturned_ppm=overturned.number("ppm", 0, PPM),
        data=data,
    )
    root.refuse_what_is_left()
    if root.errors:
        raise CertificateRefused("the assumptions are unsound: " + "; ".join(root.errors))
    return assumptions


def _read_sourced_part(root: Part, name: str) -> Part:
    part = root.part(name)
    part.text("source", 1)
    return part


def _list_numbers_by_category(part: Part, name: str, least: int, most: int) -> list[int]:
    if "by_product_category" not in part:
        return []
    rows = part.part("by_product_category")
    return [rows.part(str(category)).number(name, least, most) for category in rows.data]
