"""A case for an authority: a signed bundle about some sellers and nobody else, and the same for people to read."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from html import escape
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.json_format import MessageToDict

from scoring.base.canonical import JsonObject, parse_json
from scoring.base.enums import AUTHORITIES, LinkKind, Source
from scoring.base.errors import FieldViolation, InvalidInput
from scoring.base.time import DAY, format_day, format_time
from scoring.entries.field_types import ID_FORM, describe_line_error, is_id
from scoring.entries.kinds.common import MAX_GROUND, MAX_REASON
from scoring.scores.answer import Stamp
from sellertrust.v1 import network_service_pb2 as pb
from service.call_context import Approval
from service.contract.entries import entry_message
from service.contract.resource_names import parse_marketplace, seller_of
from service.ledger.queries.seals import Proof
from service.ledger.records import RecordedEntry, ViolationView
from service.ledger.seals.chain import extend_chain
from service.ledger.seals.merkle import node_hash
from service.pictures import draw_network, draw_points

FORMAT = "sellertrust.case@1"
MAX_SELLERS = 100
MAX_ENTRIES = 20_000
SIGNED = b"sellertrust-case 1\n"
PAGE_HASH = "page_sha256"
_FIELDS_ABOUT_PEOPLE = ("notifier", "actor", "principal")


_CURVE_DAYS = range(364, -1, -28)


class CaseExport(NamedTuple):
    marketplace: str
    sellers: tuple[str, ...]
    authority: Source
    legal_basis: str
    actor: str
    reason: str


class CaseContent(NamedTuple):
    entries: Sequence[RecordedEntry]
    violations: Sequence[ViolationView]
    proofs: Iterable[Proof]
    network: pb.GetSellerNetworkResponse
    points: Mapping[str, Sequence[tuple[int, int | None]]]
    """By seller, at `list_curve_times`."""
    made_by: Stamp


def list_curve_times(time: int) -> list[int]:
    """Return the times (microseconds) of a year's curve, every fourth week."""
    return [time - days * DAY for days in _CURVE_DAYS]


def parse_case(request: pb.ExportCaseRequest) -> CaseExport:
    """Convert a request. Raises InvalidInput with each wrong field.

    A wrong `parent` or seller's name is raised alone.
    """
    marketplace = parse_marketplace(request.parent, "parent")
    wrong = []
    authorities = {int(source): source for source in sorted(AUTHORITIES)}
    if request.authority not in authorities:
        names = ", ".join(source.word for source in authorities.values())
        wrong.append(FieldViolation(("authority",), f"must be one of {names}"))
    if not is_id(request.actor):
        wrong.append(FieldViolation(("actor",), f"must say who, by {ID_FORM}"))
    for name, text, limit in (
        ("legal_basis", request.legal_basis, MAX_GROUND),
        ("reason", request.reason, MAX_REASON),
    ):
        if not text or describe_line_error(text, limit):
            wrong.append(FieldViolation((name,), f"must be one line of 1 to {limit} characters"))
    if not 1 <= len(request.sellers) <= MAX_SELLERS:
        wrong.append(FieldViolation(("sellers",), f"must name 1 to {MAX_SELLERS} sellers"))
    if wrong:
        raise InvalidInput(wrong)
    sellers = tuple(seller_of(name, marketplace, ("sellers", n)) for n, name in enumerate(request.sellers))
    authority = authorities[request.authority]
    return CaseExport(marketplace, sellers, authority, request.legal_basis, request.actor, request.reason)


def describe_case(case: CaseExport, content: CaseContent, approval: Approval, time: int) -> JsonObject:
    """Return the bundle's content. It leaves out reporters, staff, and every other seller."""
    ids = {entry.entry.entry_id for entry in content.entries}
    described: JsonObject = {
        "format": FORMAT,
        "marketplace": case.marketplace,
        "made_time": format_time(time),
        "authority": case.authority.word,
        "legal_basis": case.legal_basis,
        "reason": case.reason,
        "proposal": approval.proposal,
        "persons": 1 + len(approval.approvers),
        "sellers": list(case.sellers),
        "entries": [_describe_entry(case, entry, ids) for entry in content.entries],
        "violations": [
            {
                "violation": violation.violation,
                "seller": violation.seller,
                "type": violation.violation_type,
                "severity": violation.severity.word,
                "status": violation.status.word,
                "occur_time": format_time(violation.occur_time),
                "entries": [name for name in violation.entries if name in ids],
            }
            for violation in content.violations
        ],
        "links": [
            {
                "seller": link.seller.rpartition("/")[2],
                "other": link.other.rpartition("/")[2],
                "kind": LinkKind(link.link_kind).word,
                "strength_ppm": link.strength_ppm,
                "entries": [*link.entries],
            }
            for link in content.network.links
        ],
        "points": [
            {"seller": seller, "day": format_day(time // DAY), "points": points}
            for seller, samples in content.points.items()
            for time, points in samples
        ],
        "points_made_by": {
            "ledger_sequence": content.made_by.ledger_sequence,
            "model": content.made_by.model_digest,
            "policy": content.made_by.policy_digest,
            "core": content.made_by.core_version,
            "known_time": format_time(content.made_by.known_time),
        },
        "pictures": {
            "network": draw_network(content.network),
            "points": {seller: draw_points(seller, samples) for seller, samples in content.points.items()},
        },
        "proofs": [proof.describe() for proof in content.proofs],
    }
    return described | {PAGE_HASH: sha256(write_html(described).encode()).hexdigest()}


def _describe_entry(case: CaseExport, recorded: RecordedEntry, ids: set[str]) -> JsonObject:
    fields = MessageToDict(entry_message(case.marketplace, recorded), preserving_proto_field_name=True)
    for part in (fields, *(value for value in fields.values() if isinstance(value, dict))):
        for name in _FIELDS_ABOUT_PEOPLE:
            part.pop(name, None)
        if part.get("other") not in (None, *case.sellers):
            part["other"] = "(another seller)"
        for name in ("rests_on", "entries"):
            if isinstance(part.get(name), list):
                part[name] = [entry_id for entry_id in part[name] if entry_id in ids]
    return fields


def write_html(described: JsonObject) -> str:
    """Return a page for people, which only counts the entries."""
    facts = "".join(
        f"<dt>{name.replace('_', ' ')}</dt><dd>{escape(str(described[name]))}</dd>"
        for name in ("marketplace", "authority", "legal_basis", "reason", "made_time", "persons")
    )
    sellers = "".join(f"<li>{escape(name)}</li>" for name in described["sellers"])
    pictures = described["pictures"]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Case</title><h1>Case for an authority</h1>'
        f"<dl>{facts}</dl><h2>Sellers</h2><ul>{sellers}</ul>"
        f"<h2>Violations</h2>{_write_table(described['violations'], _VIOLATION_COLUMNS)}"
        f"<h2>Links</h2>{pictures['network']}{_write_table(described['links'], _LINK_COLUMNS)}"
        "<h2>Points</h2><p>by today's knowledge, model and policy</p>"
        f"{''.join(pictures['points'].values())}{_write_table(described['points'], _POINTS_COLUMNS)}"
        f"<p>{len(described['entries']):,} entries, each with a proof that the ledger holds it, are in the bundle.</p></html>"
    )


def _write_table(rows: Sequence[JsonObject], names: Sequence[str]) -> str:
    head = "".join(f"<th>{name}</th>" for name in names)
    cells = [[escape("" if row[name] is None else str(row[name])) for name in names] for row in rows]
    body = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in cells)
    return f"<table><tr>{head}</tr>{body}</table>"


_VIOLATION_COLUMNS = ("violation", "seller", "type", "severity", "status", "occur_time")
_LINK_COLUMNS = ("seller", "other", "kind", "strength_ppm")
_POINTS_COLUMNS = ("seller", "day", "points")


def signed_bytes(bundle: bytes) -> bytes:
    return SIGNED + bundle


def find_faults(bundle: bytes, signature: str, public_key: str, page: bytes | None = None) -> list[str]:
    """Return what is wrong with a bundle: signature, page, or proofs; [] if nothing is.

    Signature and key (Ed25519) are in hex.
    """
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(
            bytes.fromhex(signature), signed_bytes(bundle)
        )
        described = parse_json(bundle)
        page_hash = described.get(PAGE_HASH)
        is_other = page is not None and page_hash is not None and sha256(page).hexdigest() != page_hash
        proofs = {proof["sequence"]: proof for proof in described["proofs"]}
        missing = [entry["entry_id"] for entry in described["entries"] if int(entry["sequence"]) not in proofs]
        wrong_proofs = [str(sequence) for sequence, proof in proofs.items() if not _proves_entry(proof)]
    except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError):
        return ["the bundle is damaged, or was not signed by this key"]
    return [
        *(["the page beside it is not the one that was signed"] if is_other else []),
        *(f"entry {name} has no proof" for name in missing),
        *(f"the proof of entry {sequence} is wrong" for sequence in wrong_proofs),
    ]


def _proves_entry(proof: JsonObject) -> bool:
    """Return whether a proof's path leads from the entry to its batch's link of the chain."""
    node = bytes.fromhex(proof["leaf"])
    for side, other in proof["path"]:
        pair = (node, bytes.fromhex(other)) if side == "right" else (bytes.fromhex(other), node)
        node = node_hash(*pair)
    before, first, last = bytes.fromhex(proof["chain_before"]), proof["first_sequence"], proof["last_sequence"]
    return bool(first <= proof["sequence"] <= last and extend_chain(before, node, first, last).hex() == proof["chain"])
