"""Callers of the fuzzing, their grants file, and an independent statement of their rights."""

import re
from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError, Message

from sellertrust.v1 import entry_pb2 as entry_pb
from sellertrust.v1 import ledger_service_pb2 as ledger_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from tests.helpers.callers import Authority, TokenIssuer, grant
from tests.helpers.servers import MARKET, days_ago, violation

READS = {"ListEntries", "WatchEntries", "GetViolation", "ListViolations", "GetNotifier", "ListNotifiers"}
READS |= {"ListReviewQueue"}
LISTS = {"ListEntries", "WatchEntries", "ListViolations"}
APPENDS = {"AppendEntries", "StreamEntries"}
ANSWERS = {"ExplainTrustScore", "SimulateTrustScore", "FindTierPath", "ListStatementsOfReasons"}
PARENT = f"marketplaces/{MARKET}"
SELLERS = {name: f"{PARENT}/sellers/{name}" for name in ("s-1", "s-2")}

Identity = tuple[bytes | None, str | None]

_FOUR_EYES = """
[[persons]]
person = "anna"
principals = ["dns:proposer.example"]
[[persons]]
person = "bert"
principals = ["dns:approver.example"]
[[four_eyes]]
rights = ["override", "policies"]
marketplaces = ["*"]
"""


def grants_text(issuer: TokenIssuer) -> str:
    brand = {"kinds": ["violation"], "sources": ["brand"], "notifiers": ["brand-1"], "entry_ids": ["m-"]}
    return "".join(
        (
            issuer.table(),
            grant("dns:reader.example", ["read_ledger"]),
            grant("dns:keeper.example", ["read_ledger"], sellers=["s-2"]),
            grant("dns:checkout.example", ["read_scores"], sellers=["s-1"]),
            grant("dns:brand.example", ["append"], **brand),
            grant("dns:measurer.example", ["read_measures", "explain"], sellers=["s-1"]),
            grant("dns:seller.example", ["read_own"], sellers=["s-1"]),
            grant("dns:regulator.example", ["read_statements"], sellers=["s-1"]),
            grant("dns:officer.example", ["impose_measures"], sellers=["s-1"], entry_ids=["m-"]),
            grant("dns:decider.example", ["decide"], entry_ids=["m-"], actions=["confirm", "dismiss"]),
            grant("dns:minister.example", ["read_policies", "policies"], marketplaces=["*"]),
            grant("dns:proposer.example", ["propose", "override"], entry_ids=["m-"]),
            grant("dns:approver.example", ["approve"]),
            grant("dns:auditor.example", ["audit"]),
            grant("dns:privacy.example", ["erase"], sellers=["s-1"], entry_ids=["m-"]),
            grant("dns:operator.example", ["operate"], marketplaces=["*"]),
            grant(
                "jwt:https://login.example#*",
                ["read_ledger", "decide", "models", "policies", "approve", "erase", "operate"],
                marketplaces=["*"],
                entry_ids=["*"],
                actions=["*"],
            ),
            _FOUR_EYES,
        )
    )


def identities_of(authority: Authority, issuer: TokenIssuer) -> dict[str, Identity]:
    """Return credentials by name; all but the last three have a certificate of that name."""
    names = {
        name: authority.certificate(dns=[f"{name}.example"]).certificate.read_bytes() for name in (*_MAY, "stranger")
    }
    identities: dict[str, Identity] = {name: (shown, None) for name, shown in names.items()}
    return identities | {
        "nobody": (None, None),
        "token": (None, issuer.token()),
        "garbled token": (None, issuer.token()[:-9]),
    }


def may(identity: str, method: str, kind: type[Message], data: bytes, parent: str = "") -> bool:
    """Return whether an identity may ever pass the gate with a request.

    `parent`: the stream's, which later messages may omit.
    """
    try:
        request: Any = kind.FromString(data)
    except DecodeError:
        return False
    if parent and not request.parent:
        request.parent = parent
    asked = _MAY["reader"] if identity == "token" else _MAY.get(identity)
    return asked is not None and asked(method.rpartition("/")[2], request)


def is_shown_rightly(identity: str, response: Message) -> bool:
    if identity == "auditor":
        return all(record.parent == PARENT for record in getattr(response, "records", ()))
    if identity == "checkout":
        results = getattr(response, "results", ())
        return all(one.HasField("error") or one.seller == SELLERS["s-1"] for one in results)
    if identity != "keeper":
        return True
    listed = [*getattr(response, "entries", ()), *getattr(response, "violations", ())]
    return all(one.seller == SELLERS["s-2"] for one in listed)


def _reads(name: str, request: Any) -> bool:
    asked = getattr(request, "parent", "") or getattr(request, "name", "")
    return name in READS and bool(re.match(rf"{PARENT}(/|$)", asked))


def _keeps(name: str, request: Any) -> bool:
    return name in LISTS and request.parent in {PARENT, SELLERS["s-2"]}


def _asks_as(*audiences: int) -> Callable[[str, Any], bool]:
    return lambda name, request: name in ANSWERS and request.audience in audiences and request.seller == SELLERS["s-1"]


def _checks_out(name: str, request: Any) -> bool:
    if name == "BatchGetTrustScores":
        return bool(request.parent == PARENT)
    asked = name == "GetTrustScore" and request.seller == SELLERS["s-1"]
    return asked or _asks_as(score_pb.AUDIENCE_CHECKOUT)(name, request)


def _measures(name: str, request: Any) -> bool:
    known = {"EvaluateMeasures", "EvaluatePayout", "GetRestitution", "ReplayTrustScore"}
    asked = name in known and request.seller == SELLERS["s-1"]
    return asked or _asks_as(score_pb.AUDIENCE_UNSPECIFIED, score_pb.AUDIENCE_STAFF)(name, request)


def _appends(is_own: Callable[[Any], bool], least: int = 1) -> Callable[[str, Any], bool]:
    return lambda name, request: (
        name in APPENDS
        and request.parent == PARENT
        and len(request.entries) >= least
        and all(map(is_own, request.entries))
    )


def _is_brands(entry: Any) -> bool:
    if entry.WhichOneof("fact") != "violation" or not entry.entry_id.startswith("m-"):
        return False
    return bool(entry.violation.source == entry_pb.SOURCE_BRAND and entry.violation.notifier == "brand-1")


def _is_officers(entry: Any) -> bool:
    is_own = entry.entry_id.startswith("m-") and entry.seller in {SELLERS["s-1"], "s-1"}
    return is_own and entry.WhichOneof("fact") in {"measure", "payouts"}


_DECIDED = {entry_pb.ACTION_CONFIRM, entry_pb.ACTION_DISMISS}


def _decides(name: str, request: Any) -> bool:
    if name in {"ConfirmViolation", "DismissViolation"}:
        is_here = request.name.startswith(f"{PARENT}/violations/")
        return is_here and (not request.entry_id or request.entry_id.startswith("m-"))
    return _appends(
        lambda entry: (
            entry.WhichOneof("fact") == "status" and entry.status.action in _DECIDED and entry.entry_id.startswith("m-")
        )
    )(name, request)


def _governs(name: str, _: Any) -> bool:
    return name in {"GetPolicy", "ListPolicyMoves", "CommitPolicy", "RollbackPolicy"}


def _proposes(name: str, request: Any) -> bool:
    is_override = _appends(lambda entry: entry.WhichOneof("fact") == "override" and entry.entry_id.startswith("m-"))
    if name == "CreateProposal":
        return request.WhichOneof("request") == "append_entries" and is_override(
            "AppendEntries", request.append_entries
        )
    if name in {"GetProposal", "WithdrawProposal"}:
        return bool(request.name.startswith(f"{PARENT}/proposals/"))
    return (name == "ListProposals" and request.parent == PARENT) or is_override(name, request)


def _approves(name: str, request: Any) -> bool:
    return bool(name == "ApproveProposal" and request.name.startswith(f"{PARENT}/proposals/"))


def _sound() -> list[tuple[str, Message]]:
    said: dict[str, Any] = {"actor": "a", "reason": "so"}
    facts: dict[str, Any] = {
        "measure": entry_pb.MeasureChanged(
            measure="m", measure_kind=entry_pb.MEASURE_KIND_MANUAL_REVIEW, state=entry_pb.MEASURE_STATE_IMPOSED, **said
        ),
        "payouts": entry_pb.PayoutsChanged(change=entry_pb.PAYOUTS_CHANGE_STOPPED, **said),
        "status": entry_pb.StatusChanged(violation="v-1", action=entry_pb.ACTION_CONFIRM, **said),
        "override": entry_pb.OverrideImposed(tier=entry_pb.TIER_EXEMPLARY, **said),
    }
    entries = [violation("m-report", "s-1", notifier="brand-1")]
    for key, fact in facts.items():
        entry = entry_pb.Entry(entry_id=f"m-sound-{key}", **{key: fact})
        entry.seller = "" if key == "status" else SELLERS["s-1"]
        if key == "override":
            entry.override.until.FromDatetime(days_ago(-30))
        entry.occur_time.CopyFrom(entries[0].occur_time)
        entry.occur_time.seconds += 3_600
        entries.append(entry)
    found: list[tuple[str, Message]] = []
    for entry in entries:
        found.append(("LedgerService/AppendEntries", ledger_pb.AppendEntriesRequest(parent=PARENT, entries=[entry])))
        found.append(("LedgerService/StreamEntries", ledger_pb.StreamEntriesRequest(parent=PARENT, entries=[entry])))
    return found


SOUND = _sound()


def _erases(name: str, request: Any) -> bool:
    is_own = name == "EraseSeller" and request.seller == SELLERS["s-1"]
    return is_own and (not request.entry_id or request.entry_id.startswith("m-"))


_MAY: dict[str, Callable[[str, Any], bool]] = {
    "reader": _reads,
    "keeper": _keeps,
    "checkout": _checks_out,
    "brand": _appends(_is_brands, least=0),
    "measurer": _measures,
    "seller": _asks_as(score_pb.AUDIENCE_SELLER),
    "regulator": _asks_as(score_pb.AUDIENCE_REGULATOR),
    "officer": _appends(_is_officers),
    "decider": _decides,
    "minister": _governs,
    "proposer": _proposes,
    "approver": _approves,
    "auditor": lambda name, request: name == "ListAuditRecords" and request.parent == PARENT,
    "privacy": _erases,
    "operator": lambda name, _: name == "MendClock",
}
