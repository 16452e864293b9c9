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
from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from sellertrust.client import Client
from sellertrust.v1 import entry_pb2 as entry_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from tests.helpers.callers import Authority, Shown, TokenIssuer, grant, write_grants
from tests.helpers.servers import MARKET, days_ago, identity, running_server, violation

PARENT = f"marketplaces/{MARKET}"
SELLER = f"{PARENT}/sellers/s-1"


Fields = dict[str, Any]


def _entry(key: str, **facts: Any) -> entry_pb.Entry:
    entry = entry_pb.Entry(entry_id=f"m-{key}", seller=SELLER)
    entry.occur_time.FromDatetime(days_ago(30))
    getattr(entry, key).SetInParent()
    for name, value in facts.items():
        setattr(getattr(entry, key), name, value)
    return entry


def _append(*entries: entry_pb.Entry) -> Fields:
    return _OF_MARKETPLACE | {"entries": entries}


_SAID: Fields = {"actor": "a", "reason": "so"}
_REPORT = violation("m-violation", "s-1", notifier="brand-1")
_OF_MARKETPLACE: Fields = {"parent": PARENT}
_OF_SELLER: Fields = {"seller": SELLER}
_TO_SELLER = _OF_SELLER | {"audience": score_pb.AUDIENCE_SELLER}
_TO_REGULATOR = _OF_SELLER | {"audience": score_pb.AUDIENCE_REGULATOR}
_OF_VIOLATION = {"name": f"{PARENT}/violations/v-1"}
_OF_PROPOSAL = {"name": f"{PARENT}/proposals/p-1"}
_CHAMPION = {"name": "models/champion"}
_CHALLENGER = {"name": "models/challenger", **_SAID}
_OPEN_TO: dict[str, dict[str, Fields]] = {
    "read_scores": {
        "TrustScoreService/GetTrustScore": _OF_SELLER,
        "TrustScoreService/BatchGetTrustScores": _OF_MARKETPLACE | {"sellers": [SELLER]},
        "TrustScoreService/ExplainTrustScore for a checkout": _OF_SELLER | {"audience": score_pb.AUDIENCE_CHECKOUT},
    },
    "explain": {
        "TrustScoreService/ExplainTrustScore": _OF_SELLER,
        "AnswerService/SimulateTrustScore": _OF_SELLER,
        "AnswerService/FindTierPath": _OF_SELLER,
        "AnswerService/ReplayTrustScore": _OF_SELLER,
        "AnswerService/ListStatementsOfReasons": _OF_SELLER,
    },
    "read_own": {
        "TrustScoreService/ExplainTrustScore for a seller": _TO_SELLER,
        "AnswerService/SimulateTrustScore for a seller": _TO_SELLER,
        "AnswerService/FindTierPath for a seller": _TO_SELLER,
        "AnswerService/ListStatementsOfReasons for a seller": _TO_SELLER,
    },
    "read_statements": {
        "TrustScoreService/ExplainTrustScore for a regulator": _TO_REGULATOR,
        "AnswerService/ListStatementsOfReasons for a regulator": _TO_REGULATOR,
    },
    "read_measures": {
        "MeasureService/EvaluateMeasures": _OF_SELLER,
        "MeasureService/EvaluatePayout": _OF_SELLER | {"capture_day": "2026-01-01"},
        "MeasureService/GetRestitution": _OF_SELLER | {"violation": "v-1"},
    },
    "read_ledger": {
        "LedgerService/ListEntries": _OF_MARKETPLACE,
        "LedgerService/WatchEntries": _OF_MARKETPLACE,
        "LedgerService/ListViolations": _OF_MARKETPLACE,
        "LedgerService/ListEntries of a seller": {"parent": SELLER},
        "LedgerService/GetViolation": _OF_VIOLATION,
        "ReviewService/GetNotifier": {"name": f"{PARENT}/notifiers/brand-1"},
        "ReviewService/ListNotifiers": _OF_MARKETPLACE,
        "ReviewService/ListReviewQueue": _OF_MARKETPLACE,
    },
    "append": {
        "LedgerService/AppendEntries": _append(_REPORT),
        "LedgerService/AppendEntries identity": _append(identity("m-identity", "s-1")),
        "LedgerService/AppendEntries flow": _append(_entry("flow")),
        "LedgerService/AppendEntries deposit": _append(_entry("deposit", actor="a")),
        "LedgerService/AppendEntries claim": _append(_entry("claim", actor="a")),
        "LedgerService/AppendEntries complaint": _append(_entry("complaint", reason="so")),
        "LedgerService/StreamEntries": _append(_REPORT),
    },
    "decide": {
        "LedgerService/AppendEntries status": _append(_entry("status", violation="v-1", action=2, **_SAID)),
        "LedgerService/AppendEntries attribution": _append(_entry("attribution", violation="v-1", outcome=2, **_SAID)),
        "LedgerService/AppendEntries correction": _append(_entry("correction", entry="v-1", **_SAID)),
        "LedgerService/AppendEntries case": _append(_entry("case", case="r~v-1", state=3, **_SAID)),
        **{
            f"LedgerService/{action}Violation": _OF_VIOLATION | _SAID
            for action in ("Review", "Confirm", "Dismiss", "Withdraw", "Appeal", "Reduce", "Overturn", "Reinstate")
        },
    },
    "bulk_decide": {
        "ReviewService/DecideViolations": {
            "parent": PARENT, "decision_id": "m-bulk", "action": entry_pb.ACTION_DISMISS, **_SAID,
        },
    },
    "override": {"LedgerService/AppendEntries override": _append(_entry("override", **_SAID))},
    "impose_measures": {
        "LedgerService/AppendEntries measure": _append(_entry("measure")),
        "LedgerService/AppendEntries payouts": _append(_entry("payouts", **_SAID)),
    },
    "decide_complaints": {
        "LedgerService/AppendEntries complaint_decision": _append(_entry("complaint_decision", **_SAID)),
    },
    "read_models": {
        "ModelService/ListModels": {},
        "ModelService/GetModel": _CHAMPION,
        "ModelService/DiffModels": {"first": "models/champion", "second": "models/previous"},
        "ModelService/ListModelMoves": {},
        "ModelService/GetModelReport": _CHAMPION,
    },
    "models": {"ModelService/PromoteModel": _CHALLENGER, "ModelService/RollbackModel": _SAID},
    "read_policies": {"PolicyService/GetPolicy": {"name": "policies/head"}, "PolicyService/ListPolicyMoves": {}},
    "policies": {
        "PolicyService/CommitPolicy": {"text": "name = 1", "expected": f"policies/{'0' * 64}", **_SAID},
        "PolicyService/RollbackPolicy": _SAID,
    },
    "propose": {
        "ProposalService/GetProposal": _OF_PROPOSAL,
        "ProposalService/ListProposals": _OF_MARKETPLACE,
        "ProposalService/WithdrawProposal": _OF_PROPOSAL | _SAID,
    },
    "approve": {"ProposalService/ApproveProposal": _OF_PROPOSAL | _SAID},
    "read_report": {"ReviewService/GetTransparencyReport": _OF_MARKETPLACE | {"period": "2026"}},
    "audit": {"AuditService/ListAuditRecords": _OF_MARKETPLACE},
    "read_network": {"NetworkService/GetSellerNetwork": _OF_SELLER, "NetworkService/ListRings": _OF_MARKETPLACE},
    "export_cases": {
        "NetworkService/ExportCase": {
            "parent": PARENT, "sellers": [SELLER], "authority": entry_pb.SOURCE_CUSTOMS, "legal_basis": "law 1", **_SAID,
        },
    },
    "refresh_links": {"NetworkService/RefreshLinks": _OF_MARKETPLACE},
    "erase": {"LedgerService/EraseSeller": _OF_SELLER | {"actor": "a", "entry_id": "m-erase"}},
    "operate": {"LedgerService/MendClock": _OF_MARKETPLACE | _SAID},
}  # fmt: skip
"""By right, the calls that it opens by itself, with the fields of a valid request."""
_PROPOSED = "ProposalService/CreateProposal"
_BEYOND_ONE_RIGHT: dict[str, Fields] = {
    "MeasureService/EvaluateMeasures policy": _OF_SELLER | {"policy": "policies/head"},
    "AuditService/ListAuditRecords of everything": {},
    "AuditService/VerifyAudit": {},
    _PROPOSED: {"proposal_id": "m-p", "append_entries": _append(_entry("override", **_SAID)), **_SAID},
    f"{_PROPOSED} of a promotion": {"proposal_id": "m-p", "promote_model": _CHALLENGER, **_SAID},
    "ProposalService/GetProposal of a promotion": {"name": "proposals/p-1"},
    "ProposalService/ListProposals of promotions": {},
}


def _request(call: str, fields: Fields) -> Message:
    name = call.partition(" ")[0].replace("/", ".")
    described = descriptor_pool.Default().FindMethodByName(f"sellertrust.v1.{name}")
    return GetMessageClass(described.input_type)(**fields)


CALLS: dict[str, Message] = {
    call: _request(call, fields) for calls in (*_OPEN_TO.values(), _BEYOND_ONE_RIGHT) for call, fields in calls.items()
}
_LISTS = {"LedgerService/ListEntries", "LedgerService/WatchEntries", "LedgerService/ListViolations"}
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
    market = {_PROPOSED}.union(*(_OPEN_TO[right] for right in _OF_MARKET))
    match name:
        case "marketplace":
            return set()
        case "seller":
            return _LISTS
        case "kind":
            return market - {*_OPEN_TO["append"]}
        case "source" | "notifier":
            return market - {"LedgerService/AppendEntries", "LedgerService/StreamEntries"}
        case "id":
            written = {call for call in market if "AppendEntries" in call or "StreamEntries" in call}
            return market - written - {_PROPOSED, "LedgerService/EraseSeller"}
        case "action":
            return market - {*_OPEN_TO["decide"], *_OPEN_TO["bulk_decide"]} | {"LedgerService/AppealViolation"}
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
        found[f"{right} alone"] = (shown.options(), {*calls}, "denied")
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
        is_open = {*calls} if right in _TOKEN_MAY else set()
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
