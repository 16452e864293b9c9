"""Every method by every identity with its expected result, written by hand.

A cell is one call: `open` if it passes the gate, `denied` if PERMISSION_DENIED, `nobody` if UNAUTHENTICATED, `closed`
if the connection fails.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

import grpc
from google.protobuf.message import Message

from sellertrust.client import Client
from sellertrust.v1 import answer_service_pb2 as answer_pb
from sellertrust.v1 import audit_service_pb2 as audit_pb
from sellertrust.v1 import entry_pb2 as entry_pb
from sellertrust.v1 import ledger_service_pb2 as ledger_pb
from sellertrust.v1 import measure_service_pb2 as measure_pb
from sellertrust.v1 import model_service_pb2 as model_pb
from sellertrust.v1 import network_service_pb2 as network_pb
from sellertrust.v1 import policy_service_pb2 as policy_pb
from sellertrust.v1 import proposal_service_pb2 as proposal_pb
from sellertrust.v1 import review_service_pb2 as review_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from tests.helpers.callers import Authority, Shown, TokenIssuer, grant, write_grants
from tests.helpers.servers import MARKET, days_ago, identity, running_server, violation

PARENT = f"marketplaces/{MARKET}"
SELLER = f"{PARENT}/sellers/s-1"
VIOLATION = f"{PARENT}/violations/v-1"


def _append(entry: entry_pb.Entry) -> ledger_pb.AppendEntriesRequest:
    return ledger_pb.AppendEntriesRequest(parent=PARENT, entries=[entry])


def _entry(key: str, **facts: Any) -> entry_pb.Entry:
    entry = entry_pb.Entry(entry_id=f"m-{key}", seller=SELLER)
    entry.occur_time.FromDatetime(days_ago(30))
    getattr(entry, key).SetInParent()
    for name, value in facts.items():
        setattr(getattr(entry, key), name, value)
    return entry


_SAID: dict[str, Any] = {"actor": "a", "reason": "so"}
_REPORT = violation("m-violation", "s-1", notifier="brand-1")
CALLS: dict[str, Message] = {
    "TrustScoreService/GetTrustScore": score_pb.GetTrustScoreRequest(seller=SELLER),
    "TrustScoreService/BatchGetTrustScores": score_pb.BatchGetTrustScoresRequest(parent=PARENT, sellers=[SELLER]),
    "TrustScoreService/ExplainTrustScore": score_pb.ExplainTrustScoreRequest(seller=SELLER),
    "AnswerService/SimulateTrustScore": answer_pb.SimulateTrustScoreRequest(seller=SELLER),
    "AnswerService/SimulateTrustScore for a seller": answer_pb.SimulateTrustScoreRequest(
        seller=SELLER, audience=score_pb.AUDIENCE_SELLER
    ),
    "TrustScoreService/ExplainTrustScore for a seller": score_pb.ExplainTrustScoreRequest(
        seller=SELLER, audience=score_pb.AUDIENCE_SELLER
    ),
    "TrustScoreService/ExplainTrustScore for a regulator": score_pb.ExplainTrustScoreRequest(
        seller=SELLER, audience=score_pb.AUDIENCE_REGULATOR
    ),
    "TrustScoreService/ExplainTrustScore for a checkout": score_pb.ExplainTrustScoreRequest(
        seller=SELLER, audience=score_pb.AUDIENCE_CHECKOUT
    ),
    "AnswerService/FindTierPath": answer_pb.FindTierPathRequest(seller=SELLER),
    "AnswerService/FindTierPath for a seller": answer_pb.FindTierPathRequest(
        seller=SELLER, audience=score_pb.AUDIENCE_SELLER
    ),
    "AnswerService/ReplayTrustScore": answer_pb.ReplayTrustScoreRequest(seller=SELLER),
    "AnswerService/ListStatementsOfReasons": answer_pb.ListStatementsOfReasonsRequest(seller=SELLER),
    "AnswerService/ListStatementsOfReasons for a seller": answer_pb.ListStatementsOfReasonsRequest(
        seller=SELLER, audience=score_pb.AUDIENCE_SELLER
    ),
    "AnswerService/ListStatementsOfReasons for a regulator": answer_pb.ListStatementsOfReasonsRequest(
        seller=SELLER, audience=score_pb.AUDIENCE_REGULATOR
    ),
    "MeasureService/EvaluateMeasures": measure_pb.EvaluateMeasuresRequest(seller=SELLER),
    "MeasureService/EvaluateMeasures policy": measure_pb.EvaluateMeasuresRequest(seller=SELLER, policy="policies/head"),
    "MeasureService/EvaluatePayout": measure_pb.EvaluatePayoutRequest(seller=SELLER, capture_day="2026-01-01"),
    "MeasureService/GetRestitution": measure_pb.GetRestitutionRequest(seller=SELLER, violation="v-1"),
    "LedgerService/AppendEntries": _append(_REPORT),
    "LedgerService/AppendEntries identity": _append(identity("m-identity", "s-1")),
    "LedgerService/AppendEntries status": _append(_entry("status", violation="v-1", action=2, **_SAID)),
    "LedgerService/AppendEntries attribution": _append(_entry("attribution", violation="v-1", outcome=2, **_SAID)),
    "LedgerService/AppendEntries correction": _append(_entry("correction", entry="v-1", **_SAID)),
    "LedgerService/AppendEntries case": _append(_entry("case", case="r~v-1", state=3, **_SAID)),
    "LedgerService/AppendEntries override": _append(_entry("override", **_SAID)),
    "LedgerService/AppendEntries measure": _append(_entry("measure")),
    "LedgerService/AppendEntries payouts": _append(_entry("payouts", **_SAID)),
    "LedgerService/AppendEntries flow": _append(_entry("flow")),
    "LedgerService/AppendEntries deposit": _append(_entry("deposit", actor="a")),
    "LedgerService/AppendEntries claim": _append(_entry("claim", actor="a")),
    "LedgerService/AppendEntries complaint": _append(_entry("complaint", reason="so")),
    "LedgerService/AppendEntries complaint_decision": _append(_entry("complaint_decision", **_SAID)),
    "LedgerService/StreamEntries": ledger_pb.StreamEntriesRequest(parent=PARENT, entries=[_REPORT]),
    "LedgerService/ListEntries": ledger_pb.ListEntriesRequest(parent=PARENT),
    "LedgerService/ListEntries of a seller": ledger_pb.ListEntriesRequest(parent=SELLER),
    "LedgerService/WatchEntries": ledger_pb.WatchEntriesRequest(parent=PARENT),
    "LedgerService/GetViolation": ledger_pb.GetViolationRequest(name=VIOLATION),
    "LedgerService/ListViolations": ledger_pb.ListViolationsRequest(parent=PARENT),
    "LedgerService/ReviewViolation": ledger_pb.ReviewViolationRequest(name=VIOLATION, **_SAID),
    "LedgerService/ConfirmViolation": ledger_pb.ConfirmViolationRequest(name=VIOLATION, **_SAID),
    "LedgerService/DismissViolation": ledger_pb.DismissViolationRequest(name=VIOLATION, **_SAID),
    "LedgerService/WithdrawViolation": ledger_pb.WithdrawViolationRequest(name=VIOLATION, **_SAID),
    "LedgerService/AppealViolation": ledger_pb.AppealViolationRequest(name=VIOLATION, **_SAID),
    "LedgerService/ReduceViolation": ledger_pb.ReduceViolationRequest(name=VIOLATION, **_SAID),
    "LedgerService/OverturnViolation": ledger_pb.OverturnViolationRequest(name=VIOLATION, **_SAID),
    "LedgerService/ReinstateViolation": ledger_pb.ReinstateViolationRequest(name=VIOLATION, **_SAID),
    "LedgerService/EraseSeller": ledger_pb.EraseSellerRequest(seller=SELLER, actor="a", entry_id="m-erase"),
    "LedgerService/MendClock": ledger_pb.MendClockRequest(parent=PARENT, **_SAID),
    "AuditService/ListAuditRecords": audit_pb.ListAuditRecordsRequest(parent=PARENT),
    "AuditService/ListAuditRecords of everything": audit_pb.ListAuditRecordsRequest(),
    "AuditService/VerifyAudit": audit_pb.VerifyAuditRequest(),
    "NetworkService/GetSellerNetwork": network_pb.GetSellerNetworkRequest(seller=SELLER),
    "NetworkService/ListRings": network_pb.ListRingsRequest(parent=PARENT),
    "NetworkService/ExportCase": network_pb.ExportCaseRequest(
        parent=PARENT, sellers=[SELLER], authority=entry_pb.SOURCE_CUSTOMS, legal_basis="law 1", **_SAID
    ),
    "NetworkService/RefreshLinks": network_pb.RefreshLinksRequest(parent=PARENT),
    "ReviewService/GetNotifier": review_pb.GetNotifierRequest(name=f"{PARENT}/notifiers/brand-1"),
    "ReviewService/ListNotifiers": review_pb.ListNotifiersRequest(parent=PARENT),
    "ReviewService/ListReviewQueue": review_pb.ListReviewQueueRequest(parent=PARENT),
    "ReviewService/DecideViolations": review_pb.DecideViolationsRequest(
        parent=PARENT, decision_id="m-bulk", action=entry_pb.ACTION_DISMISS, **_SAID
    ),
    "ModelService/ListModels": model_pb.ListModelsRequest(),
    "ModelService/GetModel": model_pb.GetModelRequest(name="models/champion"),
    "ModelService/DiffModels": model_pb.DiffModelsRequest(first="models/champion", second="models/previous"),
    "ModelService/ListModelMoves": model_pb.ListModelMovesRequest(),
    "ReviewService/GetTransparencyReport": review_pb.GetTransparencyReportRequest(parent=PARENT, period="2026"),
    "ModelService/GetModelReport": model_pb.GetModelReportRequest(name="models/champion"),
    "ModelService/PromoteModel": model_pb.PromoteModelRequest(name="models/challenger", **_SAID),
    "ModelService/RollbackModel": model_pb.RollbackModelRequest(**_SAID),
    "PolicyService/GetPolicy": policy_pb.GetPolicyRequest(name="policies/head"),
    "PolicyService/ListPolicyMoves": policy_pb.ListPolicyMovesRequest(),
    "PolicyService/CommitPolicy": policy_pb.CommitPolicyRequest(
        text="name = 1", expected=f"policies/{'0' * 64}", **_SAID
    ),
    "PolicyService/RollbackPolicy": policy_pb.RollbackPolicyRequest(**_SAID),
    "ProposalService/CreateProposal": proposal_pb.CreateProposalRequest(
        proposal_id="m-p", append_entries=_append(_entry("override", **_SAID)), **_SAID
    ),
    "ProposalService/CreateProposal of a promotion": proposal_pb.CreateProposalRequest(
        proposal_id="m-p", promote_model=model_pb.PromoteModelRequest(name="models/challenger", **_SAID), **_SAID
    ),
    "ProposalService/GetProposal": proposal_pb.GetProposalRequest(name=f"{PARENT}/proposals/p-1"),
    "ProposalService/GetProposal of a promotion": proposal_pb.GetProposalRequest(name="proposals/p-1"),
    "ProposalService/ListProposals": proposal_pb.ListProposalsRequest(parent=PARENT),
    "ProposalService/ListProposals of promotions": proposal_pb.ListProposalsRequest(),
    "ProposalService/ApproveProposal": proposal_pb.ApproveProposalRequest(name=f"{PARENT}/proposals/p-1", **_SAID),
    "ProposalService/WithdrawProposal": proposal_pb.WithdrawProposalRequest(name=f"{PARENT}/proposals/p-1", **_SAID),
}
"""A valid request of each method, and of each kind of entry with its own right."""

_SCORES = {"TrustScoreService/GetTrustScore", "TrustScoreService/BatchGetTrustScores"}
_LISTS = {"LedgerService/ListEntries", "LedgerService/WatchEntries", "LedgerService/ListViolations"}
_OPEN_TO = {
    "read_scores": _SCORES | {"TrustScoreService/ExplainTrustScore for a checkout"},
    "explain": {
        "TrustScoreService/ExplainTrustScore",
        *(f"AnswerService/{method}" for method in ("SimulateTrustScore", "FindTierPath", "ReplayTrustScore")),
        "AnswerService/ListStatementsOfReasons",
    },
    "read_own": {
        "TrustScoreService/ExplainTrustScore for a seller",
        "AnswerService/SimulateTrustScore for a seller",
        "AnswerService/FindTierPath for a seller",
        "AnswerService/ListStatementsOfReasons for a seller",
    },
    "read_statements": {
        "TrustScoreService/ExplainTrustScore for a regulator",
        "AnswerService/ListStatementsOfReasons for a regulator",
    },
    "read_measures": {
        f"MeasureService/{method}" for method in ("EvaluateMeasures", "EvaluatePayout", "GetRestitution")
    },
    "read_ledger": {
        *_LISTS,
        "LedgerService/ListEntries of a seller",
        "LedgerService/GetViolation",
        "ReviewService/GetNotifier",
        "ReviewService/ListNotifiers",
        "ReviewService/ListReviewQueue",
    },
    "append": {
        "LedgerService/AppendEntries",
        *(f"LedgerService/AppendEntries {kind}" for kind in ("identity", "flow", "deposit", "claim", "complaint")),
        "LedgerService/StreamEntries",
    },
    "decide": {
        "LedgerService/AppendEntries status",
        "LedgerService/AppendEntries attribution",
        "LedgerService/AppendEntries correction",
        "LedgerService/AppendEntries case",
        "LedgerService/ReviewViolation",
        "LedgerService/ConfirmViolation",
        "LedgerService/DismissViolation",
        "LedgerService/WithdrawViolation",
        "LedgerService/AppealViolation",
        "LedgerService/ReduceViolation",
        "LedgerService/OverturnViolation",
        "LedgerService/ReinstateViolation",
    },
    "bulk_decide": {"ReviewService/DecideViolations"},
    "override": {"LedgerService/AppendEntries override"},
    "impose_measures": {"LedgerService/AppendEntries measure", "LedgerService/AppendEntries payouts"},
    "decide_complaints": {"LedgerService/AppendEntries complaint_decision"},
    "read_models": {
        "ModelService/ListModels",
        "ModelService/GetModel",
        "ModelService/DiffModels",
        "ModelService/ListModelMoves",
        "ModelService/GetModelReport",
    },
    "models": {"ModelService/PromoteModel", "ModelService/RollbackModel"},
    "read_policies": {"PolicyService/GetPolicy", "PolicyService/ListPolicyMoves"},
    "policies": {"PolicyService/CommitPolicy", "PolicyService/RollbackPolicy"},
    "propose": {
        "ProposalService/GetProposal",
        "ProposalService/ListProposals",
        "ProposalService/WithdrawProposal",
    },
    "approve": {"ProposalService/ApproveProposal"},
    "read_report": {"ReviewService/GetTransparencyReport"},
    "audit": {"AuditService/ListAuditRecords"},
    "read_network": {"NetworkService/GetSellerNetwork", "NetworkService/ListRings"},
    "export_cases": {"NetworkService/ExportCase"},
    "refresh_links": {"NetworkService/RefreshLinks"},
    "erase": {"LedgerService/EraseSeller"},
    "operate": {"LedgerService/MendClock"},
}
_TOKEN_MAY = {
    "read_scores",
    "explain",
    "read_own",
    "read_statements",
    "read_measures",
    "read_ledger",
    "append",
    "read_models",
    "read_policies",
    "propose",
    "read_report",
    "audit",
    "read_network",
    "refresh_links",
}
"""Rights that a token carries without a certificate."""
_PROPOSED = "ProposalService/CreateProposal"
_EVERY = {name: ["*"] for name in ("kinds", "sources", "notifiers", "entry_ids", "actions")}
_OF_SERVER = {"read_models", "models", "read_policies", "policies", "operate"}
_OF_MARKET = [right for right in _OPEN_TO if right not in _OF_SERVER]


@dataclass(frozen=True)
class Cell:
    identity: str
    call: str
    wanted: str
    found: str


def limits_of(right: str) -> dict[str, list[str]]:
    known = {
        "append": ("kinds", "sources", "notifiers", "entry_ids"),
        "decide": ("entry_ids", "actions"),
        "bulk_decide": ("actions",),
        "override": ("entry_ids",),
        "impose_measures": ("entry_ids",),
        "decide_complaints": ("entry_ids",),
        "erase": ("entry_ids",),
    }
    limits = {name: ["*"] for name in known.get(right, ())}
    return limits | ({"marketplaces": ["*"]} if right in _OF_SERVER else {})


def _grants() -> str:
    text = "".join(
        grant(principal, [right], **limits_of(right))
        for right in _OPEN_TO
        for principal in (f"dns:{right.replace('_', '-')}.example", f"jwt:https://login.example#{right}")
    )
    wrong: dict[str, dict[str, list[str]]] = {
        "marketplace": {"marketplaces": ["other"]},
        "seller": {"sellers": ["s-2"], "entry_ids": ["m-"]},
        "kind": {"kinds": ["exposure"]},
        "source": {"sources": ["customs"]},
        "notifier": {"notifiers": ["brand-2"]},
        "id": {"entry_ids": ["x-"]},
        "action": {"actions": ["appeal"]},
    }
    for name, limits in wrong.items():
        text += grant(f"dns:wrong-{name}.example", _OF_MARKET, **(_EVERY | limits))
    return text + grant("dns:auditor.example", ["audit"], marketplaces=["*"])


def _wanted_of_wrong(name: str) -> set[str]:
    market = set().union(*(_OPEN_TO[right] for right in _OF_MARKET)) | {_PROPOSED}
    match name:
        case "marketplace":
            return set()
        case "seller":
            return _LISTS
        case "kind":
            return market - _OPEN_TO["append"]
        case "source" | "notifier":
            return market - {"LedgerService/AppendEntries", "LedgerService/StreamEntries"}
        case "id":
            written = {call for call in market if "AppendEntries" in call or "StreamEntries" in call}
            return market - written - {_PROPOSED, "LedgerService/EraseSeller"}
        case "action":
            decisions = _OPEN_TO["decide"] | _OPEN_TO["bulk_decide"]
            return (market - decisions) | {"LedgerService/AppealViolation"}
    raise AssertionError(name)


def cells(folder: Path, say: Callable[[str], object] = lambda _: None) -> Iterator[Cell]:
    for name in ("mutual", "mesh", "local"):
        (folder / name).mkdir()
    authority, issuer = Authority(folder / "mutual"), TokenIssuer(folder / "mesh")
    path = folder / "grants.toml"
    write_grants(path, issuer.table(["*"]) + _grants())
    with ExitStack() as stack:
        mutual = stack.enter_context(running_server(folder / "mutual", grants=path, **authority.server_settings()))
        mesh = stack.enter_context(running_server(folder / "mesh", grants=path, tls="mesh"))
        local = stack.enter_context(running_server(folder / "local"))
        for running in (mutual, mesh):
            running.hold_nobody()
        certificates = _certificates(authority, folder)
        for number, (identity_, (shown, wanted, otherwise)) in enumerate(certificates.items()):
            say(f"identity {number + 1} of {len(certificates)}: {identity_}")
            with mutual.client(**shown, service_config="{}") as client:
                yield from _row(identity_, client, (), wanted, otherwise)
        for identity_, (token, wanted, otherwise) in _tokens(issuer).items():
            metadata = (("authorization", f"Bearer {token}"),) if token else ()
            with mesh.client(service_config="{}") as client:
                yield from _row(identity_, client, metadata, wanted, otherwise)
        with local.client() as client:
            yield from _row("loopback without grants", client, (), {*CALLS}, "open")


def _certificates(authority: Authority, folder: Path) -> dict[str, tuple[dict[str, Any], set[str], str]]:
    foreign = Authority(folder, "foreign").certificate(dns=["read-scores.example"])
    expired = authority.certificate(dns=["read-scores.example"], days=(-2, -1))
    early = authority.certificate(dns=["read-scores.example"], days=(1, 2))
    found: dict[str, tuple[dict[str, Any], set[str], str]] = {
        "no certificate": ({"tls": authority.ca}, set(), "closed"),
        "expired certificate": (expired.options(), set(), "closed"),
        "certificate of tomorrow": (early.options(), set(), "closed"),
        "foreign authority": (Shown(authority.ca, foreign.certificate, foreign.key).options(), set(), "closed"),
        "common name alone": (authority.certificate(common_name="decide.example").options(), set(), "nobody"),
        "no grant": (authority.certificate(dns=["stranger.example"]).options(), set(), "denied"),
    }
    for right, calls in _OPEN_TO.items():
        shown = authority.certificate(dns=[f"{right.replace('_', '-')}.example"])
        found[f"{right} alone"] = (shown.options(), calls, "denied")
    auditor = authority.certificate(dns=["auditor.example"])
    found["audit of every marketplace"] = (auditor.options(), {call for call in CALLS if "Audit" in call}, "denied")
    for wrong in ("marketplace", "seller", "kind", "source", "notifier", "id", "action"):
        shown = authority.certificate(dns=[f"wrong-{wrong}.example"])
        found[f"wrong {wrong}"] = (shown.options(), _wanted_of_wrong(wrong), "denied")
    return found


def _tokens(issuer: TokenIssuer) -> dict[str, tuple[str, set[str], str]]:
    now = int(time())
    found: dict[str, tuple[str, set[str], str]] = {
        "no token": ("", set(), "nobody"),
        "expired token": (issuer.token("read_scores", iat=now - 600, exp=now - 60), set(), "nobody"),
        "token of tomorrow": (issuer.token("read_scores", nbf=now + 900), set(), "nobody"),
        "foreign issuer": (issuer.token("read_scores", iss="https://evil.example"), set(), "nobody"),
        "wrong audience": (issuer.token("read_scores", aud="other"), set(), "nobody"),
        "bound to another certificate": (issuer.token("read_scores", cnf={"x5t#S256": "x"}), set(), "nobody"),
        "token without a grant": (issuer.token("stranger"), set(), "denied"),
    }
    for right, calls in _OPEN_TO.items():
        is_open = calls if right in _TOKEN_MAY else set()
        found[f"{right} alone, by token"] = (issuer.token(right), is_open, "denied")
    return found


def _row(
    identity_: str, client: Client, metadata: tuple[tuple[str, str], ...], wanted: set[str], otherwise: str
) -> Iterator[Cell]:
    for call, request in CALLS.items():
        found = _outcome(client, call.split(" ")[0], request, metadata)
        yield Cell(identity_, call, "open" if call in wanted else otherwise, found)


def _outcome(client: Client, method: str, request: Message, metadata: tuple[tuple[str, str], ...]) -> str:
    path, data = f"/sellertrust.v1.{method}", request.SerializeToString()
    options: dict[str, Any] = {"timeout": 20, "metadata": metadata}
    channel: Any = client.channel  # its calls take and give bytes
    try:
        if method.endswith("StreamEntries"):
            next(iter(channel.stream_stream(path)(iter([data]), **options)))
        elif method.endswith("WatchEntries"):
            responses = channel.unary_stream(path)(data, **options)
            next(iter(responses))
            responses.cancel()
        else:
            channel.unary_unary(path)(data, **options)
    except grpc.RpcError as error:
        code = error.code()
        closed = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE
        names = dict(zip(closed, ("denied", "nobody", "closed"), strict=True))
        return names.get(code, f"failed: {code}" if code in _BROKEN else "open")
    return "open"


_BROKEN = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNIMPLEMENTED}
