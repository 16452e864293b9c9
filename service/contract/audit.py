from collections.abc import Mapping
from typing import Any

from sellertrust.names import marketplace_name
from sellertrust.v1 import audit_service_pb2 as pb


def record_message(text: str, line: Mapping[str, Any]) -> pb.AuditRecord:
    record = pb.AuditRecord(line=text, hash=line["hash"])
    for name in ("event", "caller", "method", "code", "call"):
        setattr(record, name, line.get(name, ""))
    if line.get("marketplace"):
        record.parent = marketplace_name(line["marketplace"])
    if "time" in line:
        record.write_time.FromJsonString(line["time"])
    return record
