"""Records of statements of reasons for the EU's transparency database, by its rules of July 2025."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from hashlib import sha256

from scoring.answers.statements import StatementOfReasons
from scoring.answers.whole import WholeAnswer
from scoring.base.canonical import JsonObject
from scoring.base.enums import AUTHORITIES, Automation, Category, Kind, MeasureKind
from scoring.base.time import DAY
from scoring.policy.measures import Suspension
from service.contract.audiences import OWN_SOURCES
from service.ledger.records import ViolationView

DSA, P2B = "dsa", "p2b"
LAWS = (DSA, P2B)
"""The laws whose duties letters and records follow: (EU) 2022/2065 and (EU) 2019/1150."""

MAX_BATCH = 100
MAX_FACTS, MAX_EXPLANATION, MAX_TEXT = 5_000, 2_000, 500

_EARLIEST, _FIRST_APPLICATION, _LATEST = date(2000, 1, 1), date(2020, 1, 1), date(2038, 1, 1)
_EPOCH = date(1970, 1, 1).toordinal()

_DATABASE_CATEGORIES: Mapping[Category, str] = {
    Category.COUNTERFEIT: "STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS",
    Category.IP: "STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS",
    Category.SAFETY: "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS",
    Category.RESTRICTED: "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS",
    Category.QUALITY: "STATEMENT_CATEGORY_CONSUMER_INFORMATION",
    Category.DISCLOSURE: "STATEMENT_CATEGORY_CONSUMER_INFORMATION",
    Category.INTEGRITY: "STATEMENT_CATEGORY_SCAMS_AND_FRAUD",
    Category.SERVICE: "STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
}
_KEYWORDS: Mapping[str, str] = {
    "counterfeit_goods": "KEYWORD_TRADEMARK_INFRINGEMENT",
    "customs_seizure": "KEYWORD_TRADEMARK_INFRINGEMENT",
    "trademark_infringement": "KEYWORD_TRADEMARK_INFRINGEMENT",
    "patent_infringement": "KEYWORD_PATENT_INFRINGEMENT",
    "copyright_infringement": "KEYWORD_COPYRIGHT_INFRINGEMENT",
    "unsafe_product": "KEYWORD_UNSAFE_PRODUCTS",
    "safety_infraction": "KEYWORD_UNSAFE_PRODUCTS",
    "prohibited_item": "KEYWORD_PROHIBITED_PRODUCTS",
    "regulatory_enforcement": "KEYWORD_GOODS_SERVICES_NOT_PERMITTED",
    "not_as_described": "KEYWORD_MISLEADING_INFO_GOODS_SERVICES",
    "misleading_listing": "KEYWORD_MISLEADING_INFO_GOODS_SERVICES",
    "missing_trader_information": "KEYWORD_INSUFFICIENT_INFORMATION_ON_TRADERS",
    "fake_reviews": "KEYWORD_INAUTHENTIC_USER_REVIEWS",
}
_DECISIONS: Mapping[MeasureKind, tuple[str, str]] = {
    MeasureKind.SETTLEMENT_HOLD: ("decision_monetary", "DECISION_MONETARY_SUSPENSION"),
    MeasureKind.DELIVERY_HOLD: ("decision_monetary", "DECISION_MONETARY_SUSPENSION"),
    MeasureKind.DEPOSIT: ("decision_monetary", "DECISION_MONETARY_OTHER"),
    MeasureKind.ROLLING_RESERVE: ("decision_monetary", "DECISION_MONETARY_OTHER"),
    MeasureKind.PAID_AHEAD_LIMIT: ("decision_monetary", "DECISION_MONETARY_OTHER"),
    MeasureKind.VALUE_CAP: ("decision_provision", "DECISION_PROVISION_PARTIAL_SUSPENSION"),
    MeasureKind.LISTING_CAP: ("decision_provision", "DECISION_PROVISION_PARTIAL_SUSPENSION"),
    MeasureKind.INTAKE_CAP: ("decision_provision", "DECISION_PROVISION_PARTIAL_SUSPENSION"),
    MeasureKind.SEARCH_DEMOTION: ("decision_visibility", "DECISION_VISIBILITY_CONTENT_DEMOTED"),
    MeasureKind.MANUAL_REVIEW: ("decision_visibility", "DECISION_VISIBILITY_OTHER"),
    MeasureKind.CAMPAIGN_EXCLUSION: ("decision_visibility", "DECISION_VISIBILITY_OTHER"),
    MeasureKind.SUSPENSION: ("decision_account", "DECISION_ACCOUNT_SUSPENDED"),
}
_RESTRICTION_NAMES = {
    "decision_visibility": "visibility",
    "decision_monetary": "monetary",
    "decision_provision": "service",
    "decision_account": "account",
}
_AUTOMATION_WORDS: Mapping[Automation, str] = {
    Automation.NONE: "AUTOMATED_DECISION_NOT_AUTOMATED",
    Automation.PARTIAL: "AUTOMATED_DECISION_PARTIALLY",
    Automation.FULL: "AUTOMATED_DECISION_FULLY",
}


def write_dsa_record(
    seller: str,
    statement: StatementOfReasons,
    views: Sequence[ViolationView],
    answer: WholeAnswer,
    title: str,
    facts: str,
) -> str:
    """Return the record in JSON of a statement with a violation among its grounds; "" for credit risk alone.

    `seller`: its resource name; `title`: what the measure does; `facts`: sentences that name nobody.
    """
    if not views or statement.measure.current.kind not in _DECISIONS:
        return ""
    categories = list(dict.fromkeys(_DATABASE_CATEGORIES[view.category] for view in views))
    keywords = list(dict.fromkeys(_KEYWORDS.get(view.violation_type, "KEYWORD_OTHER") for view in views))
    is_about_listing = any(view.listing for view in views)
    begin = statement.measure.start
    if begin is None:
        begin = answer.stamp.observe_time if statement.statement is None else statement.statement.record_time
    record = {
        "puid": name_record(seller, statement),
        **_list_decision_fields(statement, title),
        **_list_ground_fields(statement, views, facts),
        "content_type": ["CONTENT_TYPE_PRODUCT" if is_about_listing else "CONTENT_TYPE_OTHER"],
        "content_type_other": "" if is_about_listing else "The account of a trader",
        "category": categories[0],
        "category_addition": categories[1:],
        "category_specification": keywords,
        "category_specification_other": "Another breach of the terms" if "KEYWORD_OTHER" in keywords else "",
        "content_date": max(_date_of(_find_registration_time(answer)), _EARLIEST),
        "application_date": max(_date_of(begin), _FIRST_APPLICATION),
        **_list_end_fields(statement),
        "decision_facts": facts[:MAX_FACTS],
        **_list_source_fields(views),
        "automated_detection": "Yes" if any(view.automated for view in views) else "No",
        "automated_decision": _AUTOMATION_WORDS[statement.decided_by],
    }
    filled = {name: value for name, value in record.items() if value}
    return json.dumps(filled, ensure_ascii=False, separators=(",", ":"), default=date.isoformat)


def name_record(seller: str, statement: StatementOfReasons) -> str:
    """Return the record's own id: the same for the same statement about the measure, in the database's alphabet."""
    entry_id = statement.statement.entry_id if statement.statement else ""
    return sha256("\x1f".join((seller, statement.measure.measure, entry_id)).encode()).hexdigest()


def _list_decision_fields(statement: StatementOfReasons, title: str) -> JsonObject:
    name, word = _DECISIONS[statement.measure.current.kind]
    if isinstance(statement.measure.current, Suspension) and statement.measure.current.terminates:
        word = "DECISION_ACCOUNT_TERMINATED"
    fields: JsonObject = {name: [word] if name == "decision_visibility" else word}
    if word.endswith("_OTHER"):
        fields[f"{name}_other"] = title[:MAX_TEXT]
    return fields


def _list_end_fields(statement: StatementOfReasons) -> dict[str, date]:
    end = None if statement.measure.end is None else _date_of(statement.measure.end)
    if end is None or end > _LATEST:  # an empty one means no end
        return {}
    name, _ = _DECISIONS[statement.measure.current.kind]
    return {f"end_date_{_RESTRICTION_NAMES[name]}_restriction": end}


def _list_ground_fields(statement: StatementOfReasons, views: Iterable[ViolationView], facts: str) -> JsonObject:
    if statement.measure.legal_ground:
        return {
            "decision_ground": "DECISION_GROUND_ILLEGAL_CONTENT",
            "illegal_content_legal_ground": statement.measure.legal_ground[:MAX_TEXT],
            "illegal_content_explanation": facts[:MAX_EXPLANATION],
        }
    is_illegal = any(view.source in AUTHORITIES for view in views)
    return {
        "decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT",
        "incompatible_content_ground": (statement.measure.reference or "The terms of the marketplace")[:MAX_TEXT],
        "incompatible_content_explanation": facts[:MAX_EXPLANATION],
        "incompatible_content_illegal": "Yes" if is_illegal else "No",
    }


def _list_source_fields(views: Sequence[ViolationView]) -> JsonObject:
    """Return the source: a trusted flagger, else the first notice. A notifier may be a person and is not named."""
    if any(view.trusted_flagger for view in views):
        return {"source_type": "SOURCE_TRUSTED_FLAGGER"}
    outside = [view.source for view in views if view.source not in OWN_SOURCES]
    if not outside:
        return {"source_type": "SOURCE_VOLUNTARY"}
    if outside[0] in AUTHORITIES:
        name = outside[0].name.replace("_", " ").capitalize()
        return {"source_type": "SOURCE_TYPE_OTHER_NOTIFICATION", "source_identity": name}
    return {"source_type": "SOURCE_ARTICLE_16"}


def _find_registration_time(answer: WholeAnswer) -> int:
    identities = [row.occur_time for row in answer.core.known.table.rows if row.kind == Kind.IDENTITY]
    return min([*identities, int(answer.core.facts.start_day[0]) * DAY, answer.stamp.observe_time])


def _date_of(time: int) -> date:
    return date.fromordinal(_EPOCH + time // DAY)
