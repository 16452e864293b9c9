from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from scoring.base.money import format_amount
from sellertrust.v1.entry_pb2 import Harm, Source, Tier, ViolationStatus

FOLDER = Path(__file__).parent
STYLESHEET = (FOLDER / "site.css").read_bytes()
SCRIPT = (FOLDER / "site.js").read_bytes()

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none';"
    " base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cache-Control": "no-store",
}
"""Of every page. `same-origin` keeps the header Origin of our own forms."""


def render(template: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any) -> Response:
    """Return a page; every value is escaped."""
    html = templates().get_template(template).render(values)
    return Response(html, status, HEADERS | dict(headers or {}), "text/html")


def redirect(path: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status_code=303, headers=HEADERS | dict(headers or {}) | {"Location": path})


@cache
def templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(
            [FOLDER / "templates", FOLDER.parent / "desk" / "templates", FOLDER.parent / "public" / "templates"]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        word=word,
        day=day,
        moment=moment,
        money=money,
        number=number,
        signed=signed,
        short=short_id,
        id=last,
        source=Source.Name,
        harm=Harm.Name,
        status=ViolationStatus.Name,
        tier=Tier.Name,
    )
    return made


def word(text: str) -> str:
    """Return an enumeration's name or a code in words: `word("VIOLATION_STATUS_UNDER_REVIEW") == "Under review"`."""
    for prefix in (
        "VIOLATION_STATUS_",
        "MEASURE_KIND_",
        "CAUTION_SIGNAL_",
        "SCORE_STATE_",
        "PROPOSAL_STATE_",
        "REPLAY_STATE_",
    ):
        text = text.removeprefix(prefix)
    for prefix in ("SEVERITY_", "CATEGORY_", "SOURCE_", "ACTION_", "TIER_", "HARM_", "INGREDIENT_", "POLICY_ACTION_"):
        text = text.removeprefix(prefix)
    words = text.replace("_", " ").replace("~", " ").lower().capitalize()
    return "Intellectual property" if words == "Ip" else words


def time_of(value: Timestamp | datetime) -> datetime:
    return value.ToDatetime(UTC) if isinstance(value, Timestamp) else value.astimezone(UTC)


def day(value: Timestamp | datetime) -> str:
    time = time_of(value)
    return f"{time.day} {time:%b %Y}"


def moment(value: Timestamp | datetime) -> str:
    return f"{day(value)}, {time_of(value):%H:%M} UTC"


def money(minor: int, currency: str) -> str:
    return format_amount(minor, currency) if currency else number(minor)


def number(value: int) -> str:
    return f"{value:,}".replace("-", "\u2212")


def signed(value: int) -> str:
    """Return a change with its sign: the minus is as wide as the plus."""
    return f"{value:+,}".replace("-", "\u2212")


def short_id(text: str) -> str:
    return text if len(text) <= 28 else f"{text[:20]}…{text[-6:]}"


def last(name: str) -> str:
    """Return a resource name's last id."""
    return name.rpartition("/")[2]


def span(length: timedelta) -> str:
    """Return a length of time in words, in its largest unit: `span(timedelta(minutes=3)) == "3 minutes"`."""
    seconds = max(0, int(length.total_seconds()))
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"
