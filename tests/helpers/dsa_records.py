"""The published rules of the EU transparency database, read a second time: what breaks a record."""

import re
from collections.abc import Iterator
from datetime import date

from scoring.base.canonical import JsonObject
from scoring.base.enums import Category, Harm, Severity, Source, Status
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.features.columns import FactRow
from service.ledger.records import ViolationView

REQUIRED = (
    *("puid", "decision_ground", "content_type", "category", "content_date", "application_date", "decision_facts"),
    *("source_type", "automated_detection", "automated_decision"),
)
DECISIONS = ("decision_visibility", "decision_monetary", "decision_provision", "decision_account")
TEXTS = (
    *("decision_facts", "illegal_content_legal_ground", "illegal_content_explanation", "source_identity"),
    *("incompatible_content_ground", "incompatible_content_explanation", "content_date", "application_date"),
    *(f"end_date_{name}_restriction" for name in ("visibility", "monetary", "service", "account")),
)
LONGEST = {"decision_facts": 5_000, "incompatible_content_explanation": 2_000, "illegal_content_explanation": 2_000}
CATEGORIES = (
    "INTELLECTUAL_PROPERTY_INFRINGEMENTS|UNSAFE_AND_PROHIBITED_PRODUCTS|CONSUMER_INFORMATION|SCAMS_AND_FRAUD"
    "|OTHER_VIOLATION_TC|NOT_SPECIFIED_NOTICE"
)
KEYWORDS = (
    "(TRADEMARK|COPYRIGHT|DESIGN|PATENT|TRADE_SECRET)_INFRINGEMENT|GEOGRAPHIC_INDICATIONS_INFRINGEMENT|UNSAFE_PRODUCTS"
    "|PROHIBITED_PRODUCTS|GOODS_SERVICES_NOT_PERMITTED|INSUFFICIENT_INFORMATION_ON_TRADERS|MISLEADING_INFO_GOODS_SERVICES"
    "|MISLEADING_INFO_CONSUMER_RIGHTS|NONCOMPLIANCE_PRICING|INAUTHENTIC_(LISTINGS|USER_REVIEWS|ACCOUNTS)|OTHER"
)
WORDS = {
    "decision_visibility": r"DECISION_VISIBILITY_(CONTENT_(REMOVED|DISABLED|DEMOTED|LABELLED)|OTHER)",
    "decision_monetary": "DECISION_MONETARY_(SUSPENSION|TERMINATION|OTHER)",
    "decision_provision": "DECISION_PROVISION_(PARTIAL|TOTAL)_(SUSPENSION|TERMINATION)",
    "decision_account": "DECISION_ACCOUNT_(SUSPENDED|TERMINATED)",
    "decision_ground": "DECISION_GROUND_(ILLEGAL|INCOMPATIBLE)_CONTENT",
    "content_type": "CONTENT_TYPE_(APP|AUDIO|IMAGE|PRODUCT|SYNTHETIC_MEDIA|TEXT|VIDEO|OTHER)",
    "category": f"STATEMENT_CATEGORY_({CATEGORIES})",
    "category_addition": f"STATEMENT_CATEGORY_({CATEGORIES})",
    "category_specification": f"KEYWORD_({KEYWORDS})",
    "source_type": "SOURCE_(ARTICLE_16|TRUSTED_FLAGGER|TYPE_OTHER_NOTIFICATION|VOLUNTARY)",
    "automated_detection": "Yes|No",
    "incompatible_content_illegal": "Yes|No",
    "automated_decision": "AUTOMATED_DECISION_(FULLY|PARTIALLY|NOT_AUTOMATED)",
    "puid": r"[a-zA-Z0-9_-]{1,500}",
}


def list_broken(record: JsonObject) -> list[str]:
    return [*_list_broken(record)]


def _list_broken(record: JsonObject) -> Iterator[str]:
    yield from (f"{name} is missing" for name in REQUIRED if not record.get(name))
    if not any(record.get(name) for name in DECISIONS):
        yield "no decision"
    for name, value in record.items():
        words = value if isinstance(value, list) else [value]
        if name in WORDS:
            yield from (f"{name}: {one}" for one in words if not re.fullmatch(WORDS[name], one))
        elif "date" in name:
            first = date(2020, 1, 1) if name == "application_date" else date(2000, 1, 1)
            if not first <= date.fromisoformat(value) <= date(2038, 1, 1):
                yield f"{name}: {value}"
        elif isinstance(value, str) and len(value) > LONGEST.get(name, 500):
            yield f"{name} is too long"
        if any(one.endswith("_OTHER") for one in words) is not (f"{name}_other" in record):
            yield f"{name}_other is missing, or says what no word asks for"
    known = {*REQUIRED, *WORDS, *TEXTS, *(f"{name}_other" for name in WORDS)}
    yield from (f"{name} is no field" for name in sorted(record.keys() - known))
    grounds = [name for name in record if name.endswith(("_content_ground", "_content_legal_ground", "_explanation"))]
    ground = "illegal" if "ILLEGAL" in record["decision_ground"] else "incompatible"
    if len(grounds) != 2 or not all(name.startswith(f"{ground}_content") for name in grounds):
        yield "the ground is not explained"
    if record["source_type"] == "SOURCE_VOLUNTARY" and "source_identity" in record:
        yield "source_identity belongs to no voluntary source"


def view_of(row: FactRow, source: Source, *, automated: bool) -> ViolationView:
    return ViolationView(
        violation=row.entry_id,
        seller="secret-seller",
        incident=str(row.incident),
        violation_type=[*TYPE_NUMBERS][(row.violation_type or 1) - 1],
        category=Category(row.category or 1),
        severity=Severity(row.severity or 1),
        harm=Harm.LOW,
        source=source,
        notifier="secret-notifier",
        status=Status(row.status or 1),
        attribution=None,
        occur_time=row.occur_time,
        report_time=row.report_time,
        record_time=row.report_time,
        entries=(row.entry_id,),
        allowed_actions=(),
        sequence=row.sequence,
        listing="secret-listing",
        ground="secret-ground",
        automated=automated,
    )
