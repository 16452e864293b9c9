import io
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sellertrust.client import Client, seller_name
from sellertrust.requests import invoke
from sellertrust.review import decide_request
from sellertrust.v1 import entry_pb2
from sellertrust.v1.ledger_service_pb2 import AppendEntriesRequest
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub
from sellertrust.v1.model_service_pb2 import PromoteModelRequest
from sellertrust.v1.proposal_service_pb2 import Proposal
from sellertrust.v1.review_service_pb2 import DecideViolationsRequest
from sellertrust.v1.review_service_pb2_grpc import ReviewServiceStub
from service.api.server import Server
from service.api.telemetry.logs import make_log
from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.registry.registry import Registry
from tests.helpers.builders import Clock
from tests.helpers.callers import Authority, Shown, grant, write_grants
from tests.helpers.refusals import refused
from tests.helpers.servers import MARKET, settings_of
from tests.helpers.worlds import policy

EVERY = {name: ["*"] for name in ("kinds", "sources", "notifiers", "entry_ids", "actions", "marketplaces")}
RIGHTS = ["append", "decide", "bulk_decide", "override", "models", "read_models", "read_ledger", "propose", "approve"]
RIGHTS += ["policies", "read_policies", "export_cases", "impose_measures"]
PERSONS = {
    "anna": ["dns:anna.example", "dns:anna-laptop.example"],
    "bert": ["dns:bert.example"],
    "carl": ["dns:carl.example"],
}
"""Persons by their names. `robot`, `crawler` and `anna-secret` have the same rights, but are no persons."""

FOUR_EYES = '[[four_eyes]]\nrights = ["models", "override", "bulk_decide"]\nmarketplaces = ["*"]\nhours = 2\n'
UNTIL = datetime.now(UTC) + timedelta(days=10)
SAID: dict[str, Any] = {"actor": "a-1", "reason": "so"}


def persons(**names: list[str]) -> str:
    return "".join(f'[[persons]]\nperson = "{one}"\nprincipals = {shown}\n' for one, shown in names.items())


ALL = grant("dns:*.example", RIGHTS, **EVERY)


class World:
    def __init__(self, address: str, folder: Path, authority: Authority, ledger: Ledger, clock: Clock) -> None:
        self.address, self.ledger, self.clock = address, ledger, clock
        self.registry = Registry(folder / "registry")
        self.log = io.StringIO()
        self.audit = folder / "audit.jsonl"
        self._grants, self._authority = folder / "grants.toml", authority
        self._shown: dict[str, Shown] = {}
        self._clients: dict[str, Client] = {}

    def __call__(self, name: str) -> Client:
        if name not in self._clients:
            shown = self._shown.setdefault(name, self._authority.certificate(dns=[f"{name}.example"]))
            self._clients[name] = Client(self.address, **shown.options(), service_config="{}", deadline_seconds=60)
        return self._clients[name]

    def by_token(self, name: str, token: Path) -> Client:
        self(name)
        both = self._clients[f"{name} {token}"] = Client(
            self.address, **self._shown[name].options(), token=token, service_config="{}", deadline_seconds=60
        )
        return both

    def raw_append(self, name: str, request: AppendEntriesRequest, proposal: str) -> None:
        request.proposal = proposal
        invoke(LedgerServiceStub(self(name).channel).AppendEntries, request, 60)

    def raw_decide(self, name: str, request: DecideViolationsRequest) -> None:
        invoke(ReviewServiceStub(self(name).channel).DecideViolations, request, 60)

    def propose(self, name: str, request: Any, **options: Any) -> Proposal:
        return self(name).create_proposal(request, **SAID, **options)

    def approve(self, name: str, proposal: Proposal, **options: Any) -> Proposal:
        return self(name).approve_proposal(proposal.name, proposal.digest, **(SAID | options))

    def agreed(self, request: Any, author: str = "anna", approver: str = "bert") -> Proposal:
        return self.approve(approver, self.propose(author, request))

    def rule(self, *tables: str) -> None:
        seen = self.log.getvalue().count("grants taken over")
        write_grants(self._grants, *tables)
        end = time.monotonic() + 60
        while self.log.getvalue().count("grants taken over") == seen:
            assert time.monotonic() < end, self.log.getvalue()
            time.sleep(0.02)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


@contextmanager
def world(url: str, folder: Path, *tables: str) -> Iterator[World]:
    authority, clock = Authority(folder), Clock(time.time_ns() // 1_000)
    write_grants(folder / "grants.toml", *(tables or (ALL, persons(**PERSONS), FOUR_EYES)))
    settings = settings_of(
        data_dir=folder,
        grants=folder / "grants.toml",
        socket=folder / "s",
        **authority.server_settings(),
    )
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(url, create=True, clock=clock))
        found = World("", folder, authority, ledger, clock)
        scorer = build_scorer(ledger, policy(), found.registry)
        server = stack.enter_context(Server(settings, ledger, scorer, log=make_log("json", "debug", found.log)))
        found.address = server.address
        stack.callback(found.close)
        yield found


def override(entry_id: str = "o-1", seller: str = "s-1", **fields: Any) -> entry_pb2.Entry:
    entry = entry_pb2.Entry(entry_id=entry_id, seller=seller_name(MARKET, seller))
    entry.override.CopyFrom(entry_pb2.OverrideImposed(**(SAID | {"tier": entry_pb2.TIER_EXEMPLARY} | fields)))
    entry.override.until.FromDatetime(UNTIL)
    return entry


def overrides(*entries: entry_pb2.Entry) -> AppendEntriesRequest:
    return AppendEntriesRequest(parent=f"marketplaces/{MARKET}", entries=entries or [override()])


def correction(entry_id: str, **fields: Any) -> entry_pb2.Entry:
    entry = entry_pb2.Entry(entry_id=f"c-{entry_id}", seller=override().seller)
    entry.correction.CopyFrom(entry_pb2.EntryCorrected(entry=entry_id, **fields))
    return entry


def promotion(digest: str, **fields: Any) -> PromoteModelRequest:
    return PromoteModelRequest(name=f"models/{digest}", **(SAID | fields))


def bulk(world: World, decision_id: str = "d-1", **fields: Any) -> DecideViolationsRequest:
    asked = {"notifier": "brand-1", "decision_id": decision_id, **SAID, **fields}
    shown = world("anna").decide_violations(MARKET, entry_pb2.ACTION_DISMISS, **asked)
    return decide_request(
        MARKET, entry_pb2.ACTION_DISMISS, **asked, execute=True, expected_count=shown.count, etag=shown.etag
    )


def needs_approval(call: Callable[..., Any], /, *arguments: Any, **options: Any) -> dict[str, str]:
    return dict(refused("FAILED_PRECONDITION", "APPROVAL_REQUIRED", call, *arguments, **options).metadata)


def closed(call: Callable[..., Any], /, *arguments: Any, **options: Any) -> str:
    return str(refused("FAILED_PRECONDITION", "PROPOSAL_CLOSED", call, *arguments, **options).metadata["state"])
