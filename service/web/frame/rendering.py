import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from scoring.base.money import format_amount
from scoring.entries.kinds.common import MAX_REASON
from sellertrust.v1.entry_pb2 import Action, Harm, MeasureKind, Severity, Source, Tier, ViolationStatus

FOLDER = Path(__file__).parent
STYLESHEET = (FOLDER / "site.css").read_bytes()
SCRIPT = (FOLDER / "site.js").read_bytes()

_PREFIX = re.compile(
    "^(VIOLATION_STATUS|MEASURE_KIND|CAUTION_SIGNAL|SCORE_STATE|PROPOSAL_STATE|REPLAY_STATE|SEVERITY|CATEGORY|SOURCE|"
    "ACTION|TIER|HARM|INGREDIENT|POLICY_ACTION)_"
)
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


def read_texts(folder: Path, name: str) -> dict[str, Any]:
    return tomllib.loads((folder / name).read_text(encoding="utf-8"))


def render(template: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any) -> Response:
    """Return a page; every value is escaped."""
    html = templates().get_template(template).render(values)
    return Response(html, status, HEADERS | dict(headers or {}), "text/html")


def redirect(path: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a 303 to a path of this site."""
    return Response(status_code=303, headers=HEADERS | dict(headers or {}) | {"Location": path})


@cache
def templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader([FOLDER.parent / room / "templates" for room in ("frame", "desk", "public", "")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["MAX_REASON"] = MAX_REASON
    environment.filters.update(
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
        measure=MeasureKind.Name,
        severity=Severity.Name,
        action=action_name,
    )
    return environment


def word(text: str) -> str:
    """Return an enumeration's name or a code in words: `word("VIOLATION_STATUS_UNDER_REVIEW") == "Under review"`."""
    words = re.sub("[-_~]", " ", _PREFIX.sub("", text, 1)).capitalize()
    return {"Ip": "Intellectual property", "Ip confirmed": "Intellectual property confirmed"}.get(words, words)


def action_name(action: Action.ValueType) -> str:
    return Action.Name(action).removeprefix("ACTION_").lower()


def action_of(name: str) -> Action.ValueType:
    return Action.Value(f"ACTION_{name.upper()}")


def time_of(value: Timestamp | datetime) -> datetime:
    return value.ToDatetime(UTC) if isinstance(value, Timestamp) else value.astimezone(UTC)


def day(value: Timestamp | datetime) -> str:
    """Return a UTC day such as `3 Jul 2026`."""
    time = time_of(value)
    return f"{time.day} {time:%b %Y}"


def moment(value: Timestamp | datetime) -> str:
    """Return a time such as `3 Jul 2026, 14:05 UTC`."""
    return f"{day(value)}, {time_of(value):%H:%M} UTC"


def money(minor: int, currency: str) -> str:
    """Return `50.00 EUR` for 5,000 and EUR; a plain number without a currency."""
    return format_amount(minor, currency) if currency else number(minor)


def number(value: int) -> str:
    """Return `1,234`, with a real minus sign below 0."""
    return f"{value:,}".replace("-", "\u2212")


def signed(value: int) -> str:
    """Return a change with its sign: the minus is as wide as the plus."""
    return f"{value:+,}".replace("-", "\u2212")


def short_id(text: str) -> str:
    return text if len(text) <= 28 else f"{text[:20]}…{text[-6:]}"


def last(name: str) -> str:
    """Return the id at the end of a resource name: `last("marketplaces/m/sellers/s") == "s"`."""
    return name.rpartition("/")[2]
