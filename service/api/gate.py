"""The gate identifies the caller and checks its grants, before every call and at each message of a stream.

Without a grants file, a server that only this machine can reach lets `local` do everything. So does its Unix socket.
Elsewhere unproven callers and ungranted requests are refused.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from time import time
from typing import Any, NamedTuple, cast

import grpc
from google.protobuf.message import Message

from scoring.base.errors import InvalidInput, TooManyCalls, Unauthenticated
from scoring.base.frozen import frozen
from service.access.audit import AuditFile
from service.access.certificates import CallerCertificateRefused, Certificate, Certificates
from service.access.decision import (
    GrantList,
    first_refused,
    is_granted_any,
    visible_sellers,
)
from service.access.grants_file import GrantsFile, Rules
from service.access.principals import LOCAL, Principal
from service.access.rights import BOUND, FILTERED, MAY_BE_WRITTEN, METHODS, READS, Right, Scope, not_granted, rights_of
from service.access.tokens import TokenRefused, VerifiedToken
from service.call_context import Approval
from service.contract.audit import list_objects, list_results
from service.contract.needed_rights import has_privileged, list_needed_rights, split_seller_name
from service.engine.grpc_call import connection_of
from service.engine.turnstile import EVERY_METHOD, HOLD_SECONDS, Turnstile, digest_of

_ONE_TOKEN = "the authorization header must be one bearer token"  # noqa: S105 (it is no token)


def authorization_of(context: grpc.ServicerContext) -> str:
    """Return the header `authorization`; "" without one. Raises Unauthenticated for several, or an empty one."""
    header = ""
    for key, value in context.invocation_metadata():
        if key == "authorization":
            if header or not value:
                raise unauthenticated(_ONE_TOKEN)
            header = str(value)
    return header


def bearer_token(header: str) -> str:
    """Return the token of `Bearer TOKEN`. Raises Unauthenticated for another header."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise unauthenticated(_ONE_TOKEN)
    return token


def unauthenticated(problem: str) -> Unauthenticated:
    """Return the error about credentials, with its remedy."""
    return Unauthenticated(f"{problem}; show a client certificate, or a valid bearer token of an issuer known here")


MAX_KNOWN = 2_000
"""One more makes it forget all callers."""

MAX_MARKETPLACES = 1_000
"""One more (marketplace, right) makes it forget all of a caller."""

ENTRIES_A_REFUSAL = 500
"""This many entries parsed in vain cost as much as one refused call."""


@dataclass(frozen=True)
class Caller:
    principals: tuple[Principal, ...]
    own_names: frozenset[str] = frozenset()
    shared_names: frozenset[str] = frozenset()
    grants: GrantList = field(default_factory=GrantList, compare=False)
    _visible: dict[tuple[Right, str], frozenset[str]] = field(default_factory=dict, compare=False)

    @cached_property
    def names(self) -> list[str]:
        """Return the caller's principals: its certificate's, its token's, or both."""
        return [principal.name for principal in self.principals]

    @cached_property
    def name(self) -> str:
        """Return its principals, with blanks between them."""
        return " ".join(self.names)

    def find_visible_sellers(self, right: Right, marketplace: str) -> frozenset[str]:
        """Return the ids of sellers over whom the caller has the right; `*` means all, empty none."""
        visible = self._visible.get((right, marketplace))
        if visible is None:
            visible = visible_sellers(self.principals, self.grants, right, marketplace)
            if len(self._visible) >= MAX_MARKETPLACES:
                self._visible.clear()
            self._visible[right, marketplace] = visible
        return visible


LOCAL_CALLER = Caller((LOCAL,))


@frozen
class _RememberedCaller:
    caller: Caller
    rules: Rules
    until: float
    """Expiry, in seconds since 1970."""
    verified: VerifiedToken | None

    def is_valid(self, rules: Rules, now: float) -> bool:
        return rules is self.rules and now < self.until and (self.verified is None or self.verified.is_current)


class AuditedCall(NamedTuple):
    line: str
    where: Mapping[str, str]
    """Empty if the call concerns the server."""


class CallGate:
    """Identifies callers and rejects what is not granted. Without a grants file every caller is `local`.

    `has_socket`: whether the server's own user calls by a Unix socket. `is_mesh`: whether a mesh ends TLS before the
    server, so that plain-text tokens were not on the wire.
    """

    def __init__(
        self,
        grants: GrantsFile | None = None,
        *,
        has_socket: bool = False,
        is_mesh: bool = False,
        audit: AuditFile | None = None,
    ) -> None:
        self._grants = grants
        self._has_socket = has_socket
        self._is_mesh = is_mesh
        self._audit = audit
        self._certificates = Certificates()
        self._known: dict[tuple[bytes, str], _RememberedCaller] = {}
        self.turnstile = Turnstile(
            is_known=lambda certificate, shown: (certificate, shown) in self._known,
            is_plausible=self._is_plausible,
            is_shared=is_mesh,
        )

    @property
    def rules(self) -> Rules | None:
        """Return the rules in force; None without a grants file."""
        return None if self._grants is None else self._grants.rules

    def identify(self, context: grpc.ServicerContext) -> Caller:
        """Return the caller, by its certificate and its token.

        Return `local` without a grants file, and by the server's own Unix socket. Raises Unauthenticated without
        credentials, or if any credential proves no one.
        """
        if self._grants is None or self._is_by_socket(context):
            return LOCAL_CALLER
        key = self._read_credentials(context)
        rules = self._grants.rules
        remembered_caller = self._known.get(key)
        if remembered_caller is None or not remembered_caller.is_valid(rules, time()):
            self._known.pop(key, None)
            remembered_caller = self._verify_credentials(rules, *key)
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[key] = remembered_caller
        return remembered_caller.caller

    def _is_plausible(self, header: str) -> bool:
        scheme, _, token = header.partition(" ")
        return self._grants is not None and scheme.lower() == "bearer" and self._grants.rules.tokens.is_plausible(token)

    def recognise(self, context: grpc.ServicerContext) -> Caller | None:
        """Return the caller as `identify` if its credentials are known, else None.

        Takes no lock and skips verification.
        """
        if self._grants is None or self._is_by_socket(context):
            return LOCAL_CALLER
        remembered_caller = self._known.get(self._read_credentials(context))
        return (
            remembered_caller.caller
            if remembered_caller is not None and remembered_caller.is_valid(self._grants.rules, time())
            else None
        )

    def _is_by_socket(self, context: grpc.ServicerContext) -> bool:
        return self._has_socket and context.peer().startswith("unix:")

    def _read_credentials(self, context: grpc.ServicerContext) -> tuple[bytes, str]:
        properties = connection_of(context)
        pems, header = properties.get(b"x509_pem_cert"), authorization_of(context)
        if header and not self._is_mesh and properties.get(b"transport_security_type") != [b"ssl"]:
            raise unauthenticated("a token is taken over TLS alone")
        return (pems[0] if pems else b""), header

    def _verify_credentials(self, rules: Rules, pem: bytes, header: str) -> "_RememberedCaller":
        certificate = self._read_certificate([pem] if pem else None)
        principals = [] if certificate is None else [certificate.principal]
        verified = None
        if header:
            verified = _verify_token(rules, bearer_token(header), certificate)
            principals.append(verified.principal)
        if not principals:
            raise unauthenticated("the call shows neither a client certificate nor a bearer token")
        until = min(principal.expires for principal in principals)
        if verified is not None:
            until = min(until, verified.until)
        names = [principal.name for principal in principals]
        own_names, shared_names = rules.agreement.names_of_persons(names), rules.agreement.find_shared_names(names)
        return _RememberedCaller(
            Caller(tuple(principals), own_names, shared_names, rules.grants), rules, until, verified
        )

    def require(self, caller: Caller, method: str, request: Message) -> frozenset[str] | None:
        """Raise PermissionDenied, before any lookup, if a request is not granted; return the sellers that its answer
        may show.

        None allows all that the request names. Raises InvalidInput for a malformed name of a place, but only to callers
        with any grant.
        """
        if self._grants is None or caller is LOCAL_CALLER:
            return None
        row = METHODS[method]
        if row.scope is Scope.SELLER:  # in a tenth of the time: checkouts need this at each order
            marketplace, seller = split_seller_name(request)
            if seller and not caller.find_visible_sellers(row.right, marketplace).isdisjoint((seller, "*")):
                return None
        try:
            needed = list_needed_rights(row, request)
        except InvalidInput:
            if is_granted_any(caller.principals, caller.grants):
                raise
            raise not_granted(row.right) from None
        refused = first_refused(caller.principals, caller.grants, needed)
        if refused is None:
            return None
        is_of_many = row.scope in FILTERED and (row.scope is not Scope.PARENT or needed[0].seller is None)
        visible = is_of_many and caller.find_visible_sellers(row.right, needed[0].marketplace)
        if not visible:
            is_bound = any(principal.is_bound for principal in caller.principals)
            raise not_granted(
                refused.right,
                needs_certificate=refused.right in BOUND and not is_bound,
                of_entry=refused.kind is not None,
            )
        return visible

    def admit_at_once(self, caller: Caller, call_class: str) -> bool:
        """Charge a call as `admit` and return True.

        Returns False, with nothing charged, beyond a limit or while another thread holds the accounts.
        """
        if self._grants is None or caller is LOCAL_CALLER:
            return True
        return self._grants.rules.limits.take_call_at_once(caller.names, call_class)

    def require_anything(self, caller: Caller, method: str) -> None:
        """Raise PermissionDenied if the caller is granted nothing. For a stream, before its first message."""
        if self._grants is None or caller is LOCAL_CALLER:
            return
        if not is_granted_any(caller.principals, caller.grants):
            raise not_granted(METHODS[method].right)

    def admit(self, caller: Caller, method: str, call_class: str, context: grpc.ServicerContext) -> None:
        """Charge a call to its caller's limits; free for `local` and without a grants file.

        Raises TooManyCalls, with the time to wait, beyond a limit. The caller's next calls may then be held: refused
        late, after a second.
        """
        if self._grants is not None and caller is not LOCAL_CALLER:
            seconds = self._grants.rules.limits.take_call(caller.names, call_class)
            if seconds > 0:
                self.record_excess(caller, method, context, seconds)
                raise _limit_error(seconds, "calls")

    def admit_entries(
        self, caller: Caller, method: str, call_class: str, count: int, context: grpc.ServicerContext
    ) -> None:
        """Charge `count` entries to the caller's limits; raise TooManyCalls, with the seconds to wait, beyond them."""
        if self._grants is not None and caller is not LOCAL_CALLER:
            limits = self._grants.rules.limits
            seconds = limits.take_entries(caller.names, call_class, count)
            if seconds > 0:  # a smaller batch may fit sooner; the refused batch has been parsed, at a cost
                shortest = limits.entries_wait(caller.names, call_class)
                self.record_excess(caller, method, context, shortest, weight=1 + count / ENTRIES_A_REFUSAL)
                raise _limit_error(seconds, "entries")

    def record_excess(
        self, caller: Caller, method: str, context: grpc.ServicerContext, seconds: float, weight: float = 1.0
    ) -> None:
        """Tell the turnstile of a call beyond a limit.

        `seconds`: until the next one fits; `weight`: its cost in refused calls.
        """
        token = digest_of(context.invocation_metadata() or ())
        self.turnstile.note_refusal(method, caller.name, str(context.peer()), token, seconds, weight)

    def record_refusal(
        self, caller: Caller | None, method: str, call_class: str, context: grpc.ServicerContext
    ) -> None:
        """Record at the turnstile an UNAUTHENTICATED or PERMISSION_DENIED call, if no such call could be let in.

        That is: the caller is unproven (None), or lacks every right that the method accepts. Unproven credentials are
        charged to the principal of the certificate beside them.
        """
        if self._grants is None or caller is LOCAL_CALLER:
            return
        if caller is not None:
            if not is_granted_any(caller.principals, caller.grants):
                self.record_excess(caller, EVERY_METHOD, context, HOLD_SECONDS)
            elif not is_granted_any(caller.principals, caller.grants, rights_of(method)):
                self.record_excess(caller, method, context, HOLD_SECONDS)
        else:
            pems = connection_of(context).get(b"x509_pem_cert")
            name = ""
            with suppress(Unauthenticated):
                if certificate := self._read_certificate(pems):
                    name = certificate.principal.name
                    self._grants.rules.limits.take_call([name], call_class)
            token = digest_of(context.invocation_metadata() or ())
            self.turnstile.note_stranger(str(context.peer()), token, pems[0] if pems else b"", name)

    def stream_limits(self, caller: Caller) -> Mapping[str, int]:
        """Return the most open streams by principal; 0: no limit."""
        limits = None if self._grants is None else self._grants.rules.limits
        return {name: limits.streams(name) if limits else 0 for name in caller.names}

    def audit_request(
        self, caller: Caller, method: str, request: Message, approval: Approval | None = None
    ) -> "AuditedCall | None":
        """Write a granted request to the audit file if required; return the line, or None.

        Required for rights of `BOUND`, and for reads (`READS`) by callers whom the grants file lists. The line has
        caller, method, rights, objects and approval, never texts. Raises AuditUnavailable if the write fails.
        """
        if self._audit is None or method not in MAY_BE_WRITTEN:
            return None
        row = METHODS[method]
        if row.scope is Scope.ENTRIES and not has_privileged(cast(Any, request).entries):
            return None
        try:
            needed = list_needed_rights(row, request)
        except InvalidInput:
            return None
        rights = {needed_right.right for needed_right in needed if needed_right.right in BOUND}
        if method in READS and self._grants is not None and self._grants.rules.is_reader_kept(caller.names):
            rights.add(row.right)
        if not rights:
            return None
        marketplace = needed[0].marketplace
        where: dict[str, Any] = {"marketplace": marketplace} if marketplace else {}
        approved = {} if approval is None else {"approval": asdict(approval) if approval.proposal else "emergency"}
        line = self._audit.write(
            event="call",
            caller=caller.name,
            method=method,
            rights=sorted(right.value for right in rights),
            **where,
            acted=list_objects(request, marketplace),
            **approved,
        )
        return AuditedCall(line, where)

    def audit_end(self, audited: "AuditedCall", code: str, response: Message | None) -> None:
        """Write a call's outcome to the audit file, if there is one. Raises AuditUnavailable."""
        if self._audit is not None:
            results = {} if response is None else list_results(response)
            self._audit.write(event="end", call=audited.line, code=code, **audited.where, **results)

    def _read_certificate(self, pems: list[bytes] | None) -> Certificate | None:
        if not pems:
            return None
        try:
            return self._certificates.read(pems[0])
        except CallerCertificateRefused as error:
            raise unauthenticated(str(error)) from None


def _limit_error(seconds: float, unit: str) -> TooManyCalls:
    text = f"this caller makes more {unit} a second than the server's grants file allows it; go on in {seconds:.3f} s"
    return TooManyCalls(text, {"limit": unit}, seconds=seconds)


def _verify_token(rules: Rules, token: str, certificate: Certificate | None) -> VerifiedToken:
    try:
        return rules.tokens.verify(token, certificate.thumbprint if certificate else None)
    except TokenRefused as error:
        raise unauthenticated(f"the token {error}") from None
