"""Records of statements of reasons for the EU's transparency database, by its rules of July 2025.

A record that breaks a rule cannot be made.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from scoring.answers.statements import StatementOfReasons
from scoring.answers.whole import WholeAnswer
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

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Answer = Literal["Yes", "No"]
Area = Literal[
    "STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS",
    "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS",
    "STATEMENT_CATEGORY_CONSUMER_INFORMATION",
    "STATEMENT_CATEGORY_SCAMS_AND_FRAUD",
    "STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
]
Keyword = Literal[
    "KEYWORD_TRADEMARK_INFRINGEMENT",
    "KEYWORD_COPYRIGHT_INFRINGEMENT",
    "KEYWORD_PATENT_INFRINGEMENT",
    "KEYWORD_UNSAFE_PRODUCTS",
    "KEYWORD_PROHIBITED_PRODUCTS",
    "KEYWORD_GOODS_SERVICES_NOT_PERMITTED",
    "KEYWORD_INSUFFICIENT_INFORMATION_ON_TRADERS",
    "KEYWORD_MISLEADING_INFO_GOODS_SERVICES",
    "KEYWORD_INAUTHENTIC_USER_REVIEWS",
    "KEYWORD_OTHER",
]
Automated = Literal["AUTOMATED_DECISION_FULLY", "AUTOMATED_DECISION_PARTIALLY", "AUTOMATED_DECISION_NOT_AUTOMATED"]
EndDay = Annotated[date, Field(le=_LATEST)]


class TransparencyRecord(BaseModel):
    """One statement as the database takes it; only the fields and values that this service states."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    puid: Annotated[str, Field(pattern=r"^[a-zA-Z0-9\-_]+$", max_length=MAX_TEXT)]
    decision_visibility: list[Literal["DECISION_VISIBILITY_CONTENT_DEMOTED", "DECISION_VISIBILITY_OTHER"]] = []
    decision_visibility_other: Text | None = None
    decision_monetary: Literal["DECISION_MONETARY_SUSPENSION", "DECISION_MONETARY_OTHER"] | None = None
    decision_monetary_other: Text | None = None
    decision_provision: Literal["DECISION_PROVISION_PARTIAL_SUSPENSION"] | None = None
    decision_account: Literal["DECISION_ACCOUNT_SUSPENDED", "DECISION_ACCOUNT_TERMINATED"] | None = None
    decision_ground: Literal["DECISION_GROUND_ILLEGAL_CONTENT", "DECISION_GROUND_INCOMPATIBLE_CONTENT"]
    illegal_content_legal_ground: Text | None = None
    illegal_content_explanation: Annotated[str, Field(min_length=1, max_length=MAX_EXPLANATION)] | None = None
    incompatible_content_ground: Text | None = None
    incompatible_content_explanation: Annotated[str, Field(min_length=1, max_length=MAX_EXPLANATION)] | None = None
    incompatible_content_illegal: Answer | None = None
    content_type: Annotated[list[Literal["CONTENT_TYPE_PRODUCT", "CONTENT_TYPE_OTHER"]], Field(min_length=1)]
    content_type_other: Text | None = None
    category: Area
    category_addition: list[Area] = []
    category_specification: list[Keyword] = []
    category_specification_other: Text | None = None
    content_date: Annotated[date, Field(ge=_EARLIEST, le=_LATEST)]
    application_date: Annotated[date, Field(ge=_FIRST_APPLICATION, le=_LATEST)]
    end_date_visibility_restriction: EndDay | None = None
    end_date_monetary_restriction: EndDay | None = None
    end_date_service_restriction: EndDay | None = None
    end_date_account_restriction: EndDay | None = None
    decision_facts: Annotated[str, Field(min_length=1, max_length=MAX_FACTS)]
    source_type: Literal[
        "SOURCE_ARTICLE_16", "SOURCE_TRUSTED_FLAGGER", "SOURCE_TYPE_OTHER_NOTIFICATION", "SOURCE_VOLUNTARY"
    ]
    source_identity: Text | None = None
    automated_detection: Answer
    automated_decision: Automated

    @model_validator(mode="after")
    def _check(self) -> "TransparencyRecord":
        decisions = (self.decision_visibility, self.decision_monetary, self.decision_provision, self.decision_account)
        illegal = (self.illegal_content_legal_ground, self.illegal_content_explanation)
        incompatible = (self.incompatible_content_ground, self.incompatible_content_explanation)
        stated, other = (illegal, incompatible) if "ILLEGAL" in self.decision_ground else (incompatible, illegal)
        others: tuple[tuple[Sequence[str | None], str | None], ...] = (
            (self.decision_visibility, self.decision_visibility_other),
            ([self.decision_monetary], self.decision_monetary_other),
            (self.content_type, self.content_type_other),
            (self.category_specification, self.category_specification_other),
        )
        wrong = [text for words, text in others if any(str(word).endswith("_OTHER") for word in words) != bool(text)]
        if wrong or not any(decisions) or not all(stated) or any(other):
            raise ValueError("needs a decision, the texts of its ground alone, and a text exactly with OTHER")
        if self.source_type == "SOURCE_VOLUNTARY" and self.source_identity:
            raise ValueError("source_identity must be empty without a notice")
        return self


_AREAS: Mapping[Category, Area] = {
    Category.COUNTERFEIT: "STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS",
    Category.IP: "STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS",
    Category.SAFETY: "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS",
    Category.RESTRICTED: "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS",
    Category.QUALITY: "STATEMENT_CATEGORY_CONSUMER_INFORMATION",
    Category.DISCLOSURE: "STATEMENT_CATEGORY_CONSUMER_INFORMATION",
    Category.INTEGRITY: "STATEMENT_CATEGORY_SCAMS_AND_FRAUD",
    Category.SERVICE: "STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
}
_KEYWORDS: Mapping[str, Keyword] = {
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
_RESTRICTED = {
    "decision_visibility": "visibility",
    "decision_monetary": "monetary",
    "decision_provision": "service",
    "decision_account": "account",
}
_AUTOMATED: Mapping[Automation, Automated] = {
    Automation.NONE: "AUTOMATED_DECISION_NOT_AUTOMATED",
    Automation.PARTIAL: "AUTOMATED_DECISION_PARTIALLY",
    Automation.FULL: "AUTOMATED_DECISION_FULLY",
}


def find_record(
    seller: str,
    statement: StatementOfReasons,
    views: Sequence[ViolationView],
    answer: WholeAnswer,
    title: str,
    facts: str,
) -> TransparencyRecord | None:
    """Return the record of a statement with a violation among its grounds; None for credit risk alone.

    `seller`: its resource name; `title`: what the measure does; `facts`: sentences that name nobody.
    """
    if not views or statement.measure.current.kind not in _DECISIONS:
        return None
    areas = list(dict.fromkeys(_AREAS[view.category] for view in views))
    words = list(dict.fromkeys(_KEYWORDS.get(view.violation_type, "KEYWORD_OTHER") for view in views))
    begin = statement.measure.start
    if begin is None:
        begin = answer.stamp.observe_time if statement.statement is None else statement.statement.record_time
    return TransparencyRecord(
        puid=name_record(seller, statement),
        **_state_decision(statement, title),
        **_state_ground(statement, views, facts),
        **_state_source(views),
        content_type=["CONTENT_TYPE_PRODUCT"] if any(view.listing for view in views) else ["CONTENT_TYPE_OTHER"],
        content_type_other=None if any(view.listing for view in views) else "The account of a trader",
        category=areas[0],
        category_addition=areas[1:],
        category_specification=words,
        category_specification_other="Another breach of the terms" if "KEYWORD_OTHER" in words else None,
        content_date=max(_day_of(_find_registered(answer)), _EARLIEST),
        application_date=max(_day_of(begin), _FIRST_APPLICATION),
        decision_facts=facts[:MAX_FACTS],
        automated_detection="Yes" if any(view.automated for view in views) else "No",
        automated_decision=_AUTOMATED[statement.decided_by],
    )


def name_record(seller: str, statement: StatementOfReasons) -> str:
    """Return the record's own id: the same for the same statement about the measure, in the database's alphabet."""
    stated = statement.statement.entry_id if statement.statement else ""
    return sha256("\x1f".join((seller, statement.measure.measure, stated)).encode()).hexdigest()


def _state_decision(statement: StatementOfReasons, title: str) -> dict[str, Any]:
    name, word = _DECISIONS[statement.measure.current.kind]
    if isinstance(statement.measure.current, Suspension) and statement.measure.current.terminates:
        word = "DECISION_ACCOUNT_TERMINATED"
    stated: dict[str, Any] = {name: [word] if name == "decision_visibility" else word}
    if word.endswith("_OTHER"):
        stated[f"{name}_other"] = title[:MAX_TEXT]
    end = None if statement.measure.end is None else _day_of(statement.measure.end)
    if end is not None and end <= _LATEST:  # an empty one means no end
        stated[f"end_date_{_RESTRICTED[name]}_restriction"] = end
    return stated


def _state_ground(statement: StatementOfReasons, views: Iterable[ViolationView], facts: str) -> dict[str, Any]:
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


def _state_source(views: Sequence[ViolationView]) -> dict[str, Any]:
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


def _find_registered(answer: WholeAnswer) -> int:
    identities = [row.occur_time for row in answer.core.known.table.rows if row.kind == Kind.IDENTITY]
    return min([*identities, int(answer.core.facts.start_day[0]) * DAY, answer.stamp.observe_time])


def _day_of(time: int) -> date:
    return date.fromordinal(_EPOCH + time // DAY)
