from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from scoring.base.errors import AuditUnavailable
from sellertrust.v1 import audit_service_pb2 as pb
from service.access.audit import AuditFile
from service.access.audit_reading import is_place, lines_up_to, read_page, verify_lines
from service.api.reads import parse_page
from service.contract.audit import record_message
from service.contract.resource_names import parse_marketplace


@contextmanager
def _convert_reading_errors() -> Iterator[None]:
    try:
        yield
    except OSError:
        raise AuditUnavailable("the server's audit file cannot be read; its operator finds out why") from None
    except (ValueError, TypeError, KeyError):
        text = "a line of the server's audit file is damaged; see which by: sellertrust verify audit --server ADDRESS"
        raise AuditUnavailable(text) from None


@dataclass(frozen=True)
class AuditServicer:
    _audit: AuditFile

    def ListAuditRecords(self, request: pb.ListAuditRecordsRequest) -> pb.ListAuditRecordsResponse:
        """Return a page of the audit file, of one marketplace or (empty `parent`) of all. Raises AuditUnavailable."""
        marketplace = parse_marketplace(request.parent, "parent") if request.parent else ""
        page = parse_page(request, is_place)
        with _convert_reading_errors():
            audit_page = read_page(self._audit.path, marketplace, page.after, page.limit)
            records = [record_message(line.text, line.content) for line in audit_page.lines]
        token = page.make_token(audit_page.after) if audit_page.after else ""
        return pb.ListAuditRecordsResponse(records=records, next_page_token=token)

    def VerifyAudit(self, _: pb.VerifyAuditRequest) -> pb.VerifyAuditResponse:
        """Verify the whole audit file; `problem`: of the first bad line, else empty."""
        with _convert_reading_errors():
            file, size = self._audit.snapshot()
            with file:
                verdict = verify_lines(lines_up_to(file, size))
        return pb.VerifyAuditResponse(line_count=verdict.lines, last_hash=verdict.last, problem=verdict.problem)
