"""Proposals for acts that need two persons, and their steps.

The seller's key seals the texts and the request, and keys the digest.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select, text

from scoring.base.enums import WordEnum
from scoring.base.errors import EntryContentDiffers, ProposalNotFound, TooManyCalls
from scoring.base.frozen import frozen
from scoring.base.time import SECOND
from service.ledger.append.acts import ActWriter, NewAct
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.tables import ENTRY, HERE, ONLY_HERE, RowReader, act_clause, among
from service.ledger.records import Act
from service.ledger.seals.sealed_texts import SellerKey, keyed_digest, read_keys, read_or_make_keys, unseal


class ProposalStep(WordEnum):
    PROPOSED = 1
    APPROVED = 2
    USED = 3
    WITHDRAWN = 4


_E = ENTRY.c
_IS_PROPOSED = text(f"status = {int(ProposalStep.PROPOSED)}")
_IS_STEP = act_clause(Act.PROPOSAL)
_STEPS = select(ENTRY).where(HERE, among(_E.target), _E.kind == int(Act.PROPOSAL)).order_by(_E.target, _E.sequence)
_TARGETS = (
    select(_E.target)
    .where(_IS_STEP, ONLY_HERE, _E.sequence < bindparam("before"), _IS_PROPOSED)
    .order_by(_E.marketplace.desc(), _E.sequence.desc())
    .limit(bindparam("count"))
)
_CLOSING = ENTRY.alias()
_OPEN = (
    select(_E.marketplace, _E.target, _E.principal, _E.digest)
    .where(_IS_STEP, _IS_PROPOSED, _E.until_time > bindparam("now"))
    .where(
        ~select(_CLOSING.c.sequence)
        .where(
            _CLOSING.c.marketplace == _E.marketplace,
            _CLOSING.c.target == _E.target,
            _CLOSING.c.kind == int(Act.PROPOSAL),
            _CLOSING.c.status.in_([int(ProposalStep.USED), int(ProposalStep.WITHDRAWN)]),
        )
        .exists()
    )
    .order_by(_E.sequence)
)


class NewStep(NamedTuple):
    step: ProposalStep
    principal: str
    actor: str = ""
    reason: str = ""


@frozen
class RecordedStep:
    step: ProposalStep
    principal: str
    step_time: int
    actor: str = ""
    reason: str = ""


@frozen
class ProposalContent:
    method: str
    request: bytes
    actor: str
    reason: str
    basis: Mapping[str, str]
    """The state that must be unchanged when it is carried out."""


@frozen
class Proposal:
    number: int
    marketplace: str
    """Empty: all marketplaces."""
    proposal: str
    seller: str
    content: ProposalContent | None
    """None if erased."""
    expire_time: int
    steps: tuple[RecordedStep, ...]
    seen_time: int

    @property
    def digest(self) -> str:
        """Return the request's SHA-256 in hexadecimal; "" once erased."""
        return "" if self.content is None else sha256(self.content.request).hexdigest()

    @property
    def is_expired(self) -> bool:
        """Return whether it had expired when it was read, without a new look at the clock."""
        return self.seen_time >= self.expire_time

    def has_step(self, step: ProposalStep) -> bool:
        return any(taken.step is step for taken in self.steps)


@frozen
class ProposalWriter:
    clock: LedgerClock
    max_open: int = 1_000
    max_open_of_caller: int = 100

    def propose(
        self, marketplace: str, proposal: str, content: ProposalContent, *, principal: str, seller: str, hours: float
    ) -> Proposal:
        """Record a proposal; return its present state, or the state of an open proposal with the same request.

        It expires after `hours`; the key of `seller` seals it. Raises EntryContentDiffers if another proposal has the
        id; TooManyCalls if the caller, or all callers together, have too many open.
        """
        with ActWriter.open(self.clock, marketplace) as acting:
            for earlier in _load_proposals(acting.reader, [proposal], acting.now):
                if earlier.content is None or replace(earlier.content, basis=content.basis) != content:
                    problem = f"{proposal!r} stands for another proposal; give a new proposal a new id"
                    raise EntryContentDiffers(problem, {"entry_id": proposal}, ("proposal_id",))
                return earlier
            digest = sha256(content.request).digest()
            open_proposal = self._find_open(acting, seller, digest, principal)
            if not open_proposal:
                until_time = acting.now + int(hours * 3_600 * SECOND)
                new = _make_act(proposal, content, digest, until_time)
                acting.append([new], principal=principal, seller=seller)
            return _load_proposal(acting.reader, open_proposal or proposal, acting.now)

    def take_step(
        self,
        marketplace: str,
        proposal: str,
        new: NewStep,
        check: Callable[[Proposal], bool],
    ) -> Proposal:
        """Record a step of a proposal; return the proposal's new state. Raises ProposalNotFound.

        `check` gets the present state under the lock. It returns whether to record the step, or raises.
        """
        with ActWriter.open(self.clock, marketplace) as acting:
            stored = _load_proposal(acting.reader, proposal, acting.now)
            if not check(stored):
                return stored
            act = NewAct(
                Act.PROPOSAL,
                {"step": new.step.word},
                target=_make_target(proposal),
                status=int(new.step),
                sealed={"actor": new.actor, "reason": new.reason},
            )
            acting.append([act], principal=new.principal, seller=stored.seller)
            return _load_proposal(acting.reader, proposal, acting.now)

    def find(self, marketplace: str, proposal: str) -> Proposal:
        """Return its present state. Raises ProposalNotFound."""
        now = self._read_now()
        with self.clock.database.read() as connection:
            return _load_proposal(RowReader(connection, marketplace), proposal, now)

    def list(self, marketplace: str, before: int, count: int) -> Sequence[Proposal]:
        """Return the `count` latest proposals numbered below `before`, newest first; "" is all marketplaces."""
        now = self._read_now()
        with self.clock.database.read() as connection:
            values = {"marketplace": marketplace, "before": before, "count": count}
            names = [_parse_target(target) for (target,) in connection.execute(_TARGETS, values)]
            proposals = _load_proposals(RowReader(connection, marketplace), names, now)
        return sorted(proposals, key=attrgetter("number"), reverse=True)

    def _find_open(self, acting: ActWriter, seller: str, digest: bytes, principal: str) -> str:
        """Return the id of the open proposal with a request's digest, or ""; TooManyCalls if no other may be opened."""
        marketplace = acting.reader.marketplace
        rows = acting.reader.connection.execute(_OPEN, {"now": acting.now}).all()
        wanted_digest = keyed_digest(read_or_make_keys(acting.reader, [seller])[seller], digest)
        for row in rows:
            if row.marketplace == marketplace and bytes(row.digest) == wanted_digest:
                return _parse_target(row.target)
        own_count = sum(row.principal == principal for row in rows)
        for count, most, whose in (
            (own_count, self.max_open_of_caller, "this caller has"),
            (len(rows), self.max_open, "there are"),
        ):
            if count >= most:
                text = f"{whose} {count:,} open proposals; withdraw one, or wait until one is carried out or expires"
                raise TooManyCalls(text, {"limit": "proposals"}, seconds=60.0)
        return ""

    def _read_now(self) -> int:
        return self.clock.server.now(self.clock.read_end().clock)


def _make_target(proposal: str) -> str:
    return f"proposal/{proposal}"


def _parse_target(target: str) -> str:
    return target.removeprefix("proposal/")


def _make_act(proposal: str, content: ProposalContent, digest: bytes, until_time: int) -> NewAct:
    texts = {
        "request": base64.b64encode(content.request).decode(),
        "basis": dict(content.basis),
        "actor": content.actor,
        "reason": content.reason,
    }
    return NewAct(
        Act.PROPOSAL,
        {"method": content.method},
        _make_target(proposal),
        target=_make_target(proposal),
        status=int(ProposalStep.PROPOSED),
        until_time=until_time,
        sealed=texts,
        digest=digest,
    )


def proposal_not_found(proposal: str) -> ProposalNotFound:
    text = "there is no proposal of this name; see: sellertrust proposal show"
    return ProposalNotFound(text, {"proposal": proposal})


def _load_proposal(reader: RowReader, proposal: str, now: int) -> Proposal:
    proposals = _load_proposals(reader, [proposal], now)
    if not proposals:
        raise proposal_not_found(proposal)
    return proposals[0]


def _load_proposals(reader: RowReader, names: Sequence[str], now: int) -> list[Proposal]:
    rows = reader.rows(_STEPS, [_make_target(name) for name in names])
    keys = read_keys(reader, {row.seller for row in rows})
    rows_by_proposal = [list(of_target) for _, of_target in groupby(rows, key=attrgetter("target"))]
    return [_parse_proposal(steps, keys.get(steps[0].seller), now) for steps in rows_by_proposal]


def _parse_proposal(rows: Sequence[Any], key: SellerKey | None, now: int) -> Proposal:
    """Make a proposal of the rows of its steps, by sequence, and unseal their texts."""
    first, texts = rows[0], [json.loads(unseal(row.entry_id, row.content, key)[0] or "{}") for row in rows]
    content = None
    if (sealed := texts[0]) and first.status == ProposalStep.PROPOSED:
        request, method = base64.b64decode(sealed["request"]), json.loads(first.content)["method"]
        content = ProposalContent(method, request, sealed["actor"], sealed["reason"], sealed["basis"])
    steps = [
        RecordedStep(
            ProposalStep(row.status),
            row.principal or "",
            row.occur_time,
            sealed.get("actor", ""),
            sealed.get("reason", ""),
        )
        for row, sealed in zip(rows, texts, strict=True)
    ]
    return Proposal(
        number=first.sequence,
        marketplace=first.marketplace,
        proposal=_parse_target(first.target),
        seller=first.seller,
        content=content,
        expire_time=first.until_time or 0,
        steps=tuple(steps),
        seen_time=now,
    )
