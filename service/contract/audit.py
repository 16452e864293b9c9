from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from scoring.base.canonical import JsonObject
from scoring.entries.field_types import is_id
from sellertrust.names import marketplace_name
from sellertrust.v1 import audit_service_pb2 as pb
from service.access.rights import BOUND
from service.contract.needed_rights import action_name, find_right_to_append
from service.contract.proposals import serialize_canonically

MAX_LISTED = 100
"""Sellers and entries that are listed one by one; otherwise only their number is.

The ledger knows each entry's caller.
"""

MALFORMED = "malformed"
"""Replaces a malformed id, which could be someone's text or fill the disk."""
MAX_PARTS = 4

_ID_FIELDS = (
    "name",
    "parent",
    "seller",
    "first",
    "second",
    "entry_id",
    "decision_id",
    "proposal_id",
    "proposal",
    "expected",
    "policy",
    "notifier",
    "listing",
    "digest",
    "etag",
)
_RESULT_FIELDS = ("sequence", "count", "decided", "remaining", "serving_digest")


def list_objects(request: Any, marketplace: str) -> JsonObject:
    """Return the objects of a request by field name, for the audit file; never texts.

    Ids, action and `execute`; at most MAX_LISTED sellers, and at most MAX_LISTED of the entries that need a privileged
    right. `count` is the number of all. The request in a proposal is under its own name, its SHA-256 in
    `proposal_digest`.
    """
    fields = request.DESCRIPTOR.fields_by_name
    objects: JsonObject = {
        name: _hide_malformed(getattr(request, name))
        for name in _ID_FIELDS
        if name in fields and getattr(request, name)
    }
    if "action" in fields:
        objects["action"] = action_name(request.action)
    if "execute" in fields:
        objects["execute"] = request.execute
    if "proposal_id" in fields and (proposed := request.WhichOneof("request")):
        objects[proposed] = list_objects(getattr(request, proposed), marketplace)
        objects["proposal_digest"] = sha256(serialize_canonically(getattr(request, proposed))).hexdigest()
    if "sellers" in fields:
        objects["sellers"] = [_hide_malformed(name) for name in request.sellers[:MAX_LISTED]]
        objects["count"] = len(request.sellers)
    if "entries" in fields:
        privileged = list(_list_privileged_entries(request.entries, marketplace))
        objects["entries"], objects["count"] = privileged[:MAX_LISTED], len(request.entries)
    return objects


def list_results(response: Any) -> JsonObject:
    """Return the outcome of a request by name, from its response.

    The sequence that the ledger reached, counts, and what is served; without values that are 0 or empty.
    """
    results = getattr(response, "acknowledgement", response)
    return {name: getattr(results, name) for name in _RESULT_FIELDS if getattr(results, name, 0)}


def _list_privileged_entries(entries: Any, marketplace: str) -> Iterator[dict[str, str]]:
    for entry in entries:
        needed = find_right_to_append(marketplace, entry)
        if needed.right in BOUND:
            fact = getattr(entry, needed.kind or "", None)
            described = {
                "entry_id": entry.entry_id,
                "kind": needed.kind or "",
                "about": getattr(fact, "violation", "") or getattr(fact, "entry", "") or entry.seller,
                "action": needed.action or "",
            }
            yield {name: _hide_malformed(value) for name, value in described.items() if value}


def _hide_malformed(text: str) -> str:
    parts = text.split("/", MAX_PARTS)
    return text if len(parts) <= MAX_PARTS and all(map(is_id, parts)) else MALFORMED


def record_message(text: str, line: Mapping[str, Any]) -> pb.AuditRecord:
    record = pb.AuditRecord(line=text, hash=line["hash"])
    for name in ("event", "caller", "method", "code", "call"):
        setattr(record, name, line.get(name, ""))
    if line.get("marketplace"):
        record.parent = marketplace_name(line["marketplace"])
    if "time" in line:
        record.write_time.FromJsonString(line["time"])
    return record
