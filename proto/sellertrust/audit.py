"""The client of AuditService."""

from collections.abc import Iterator

from sellertrust.names import marketplace_name
from sellertrust.requests import invoke, pages
from sellertrust.stubs import Stubs
from sellertrust.v1.audit_service_pb2 import (
    AuditRecord,
    ListAuditRecordsRequest,
    VerifyAuditRequest,
    VerifyAuditResponse,
)

AUDIT_SECONDS = 15.0
"""People wait for a page; no checkout does."""

VERIFY_SECONDS = 120.0
"""A file of a million lines takes some ten seconds."""


class Audits(Stubs):
    def list_audit_records(
        self, marketplace: str = "", *, page_size: int = 1_000, deadline_seconds: float = AUDIT_SECONDS
    ) -> Iterator[AuditRecord]:
        """Yield the lines of the audit file, oldest first; only of one marketplace if it is named.

        `deadline_seconds` is for one page.
        """
        parent = marketplace_name(marketplace) if marketplace else ""
        request = ListAuditRecordsRequest(parent=parent, page_size=page_size)
        yield from pages(self._audits.ListAuditRecords, request, "records", deadline_seconds)

    def verify_audit(self, *, deadline_seconds: float = VERIFY_SECONDS) -> VerifyAuditResponse:
        """Return the number of valid lines, the last hash, and the `problem` of the next line: empty if all are valid."""
        return invoke(self._audits.VerifyAudit, VerifyAuditRequest(), deadline_seconds)
