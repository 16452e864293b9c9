"""Proposals for acts that need two persons, and their steps.

The seller's key seals the texts and the request, and keys the digest.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, bindparam, select, text

from scoring.base.errors import EntryContentDiffers, ProposalNotFound, TooManyCalls
from scoring.base.time import SECOND
from service.ledger.append.acts import Act, ActWriter, NewAct, is_act
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.expressions import HERE, ONLY_HERE, among
from service.ledger.database.row_reader import RowReader
from service.ledger.database.tables import ENTRY
from service.ledger.seals.sealed_texts import Key, keyed_digest, keys, keys_made, unseal

_E = ENTRY.c
_IS_STEP = is_act(Act.PROPOSAL)
_STEPS = select(ENTRY).where(HERE, among(_E.target), _E.kind == int(Act.PROPOSAL)).order_by(_E.target, _E.sequence)
_NAMES = (
    select(_E.target)
    .where(_IS_STEP, ONLY_HERE, _E.sequence < bindparam("before"), text("status = 1"))
    .order_by(_E.marketplace.desc(), _E.sequence.desc())
    .limit(bindparam("count"))
)
MAX_OPEN = 1_000
MAX_OPEN_OF_CALLER = 100

_CLOSING = ENTRY.alias()
_OPEN = (
    select(_E.marketplace, _E.target, _E.principal, _E.digest)
    .where(_IS_STEP, text("status = 1"), _E.until_time > bindparam("now"))
    .where(
        ~select(_CLOSING.c.sequence)
        .where(
            _CLOSING.c.marketplace == _E.marketplace,
            _CLOSING.c.target == _E.target,
            _CLOSING.c.kind == int(Act.PROPOSAL),
            _CLOSING.c.status.in_([3, 4]),
        )
        .exists()
    )
    .order_by(_E.sequence)
)


class Step(IntEnum):
    PROPOSED = 1
    APPROVED = 2
    USED = 3
    WITHDRAWN = 4


@dataclass(frozen=True, slots=True)
class Taken:
    step: Step
    principal: str
    step_time: int
    actor: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    method: str
    request: bytes
    actor: str
    reason: str
    basis: Mapping[str, str]
    """The state that must be unchanged when it is carried out."""


@dataclass(frozen=True, slots=True)
class Proposal:
    number: int
    marketplace: str
    """Empty: all marketplaces."""
    proposal: str
    seller: str
    content: Content | None
    """None if erased."""
    expire_time: int
    steps: tuple[Taken, ...]
    seen_time: int

    @property
    def digest(self) -> str:
        return "" if self.content is None else sha256(self.content.request).hexdigest()

    @property
    def is_expired(self) -> bool:
        return self.seen_time >= self.expire_time

    def has(self, step: Step) -> bool:
        return any(taken.step is step for taken in self.steps)


@dataclass(frozen=True, slots=True)
class Proposals:
    clock: LedgerClock

    def propose(
        self, marketplace: str, proposal: str, content: Content, *, principal: str, seller: str, hours: float
    ) -> Proposal:
        """Record a proposal; return its present state, or the state of an open proposal with the same request.

        Raises EntryContentDiffers if another proposal has the id; TooManyCalls if the caller, or all callers together,
        have too many open.
        """
        with ActWriter.open(self.clock) as acting:
            connection, now = acting.connection, acting.now
            found = _load(connection, marketplace, [proposal], now)
            if not found:
                digest = sha256(content.request).digest()
                is_open = _open_of(connection, marketplace, seller, digest, principal, now)
                if is_open:
                    return _load_one(connection, marketplace, is_open, now)
                texts = {
                    "request": base64.b64encode(content.request).decode(),
                    "basis": dict(content.basis),
                    "actor": content.actor,
                    "reason": content.reason,
                }
                new = NewAct(
                    Act.PROPOSAL,
                    {"method": content.method},
                    _target(proposal),
                    target=_target(proposal),
                    status=int(Step.PROPOSED),
                    until_time=now + int(hours * 3_600 * SECOND),
                    sealed=texts,
                    digest=digest,
                )
                acting.append(marketplace, [new], principal=principal, seller=seller)
                return _load_one(connection, marketplace, proposal, now)
        [there] = found
        if there.content is None or _stated(there.content) != _stated(content):
            problem = f"{proposal!r} stands for another proposal; give a new proposal a new id"
            raise EntryContentDiffers(problem, {"entry_id": proposal}, ("proposal_id",))
        return there

    def take_step(
        self,
        marketplace: str,
        proposal: str,
        step: Step,
        *,
        principal: str,
        check: Callable[[Proposal], bool],
        actor: str = "",
        reason: str = "",
    ) -> Proposal:
        """Record a step of a proposal; return the proposal's new state.

        `check` gets the present state under the lock. It returns whether to record the step, or raises the error that
        forbids it. Raises ProposalNotFound.
        """
        with ActWriter.open(self.clock) as acting:
            connection, now = acting.connection, acting.now
            found = _load_one(connection, marketplace, proposal, now)
            if check(found):
                new = NewAct(
                    Act.PROPOSAL,
                    {"step": step.name.lower()},
                    target=_target(proposal),
                    status=int(step),
                    sealed={"actor": actor, "reason": reason},
                )
                acting.append(marketplace, [new], principal=principal, seller=found.seller)
                found = _load_one(connection, marketplace, proposal, now)
        return found

    def find(self, marketplace: str, proposal: str) -> Proposal:
        now = self._read_now()
        with self.clock.database.read() as connection:
            return _load_one(connection, marketplace, proposal, now)

    def list(self, marketplace: str, before: int, count: int) -> Sequence[Proposal]:
        """Return the `count` latest proposals numbered below `before`, newest first.

        "" lists those that concern all marketplaces.
        """
        now = self._read_now()
        targets = self.clock.database.rows(_NAMES, marketplace=marketplace, before=before, count=count)
        with self.clock.database.read() as connection:
            found = _load(connection, marketplace, [_proposal_of(target) for (target,) in targets], now)
        return sorted(found, key=lambda one: one.number, reverse=True)

    def _read_now(self) -> int:
        return self.clock.server.now(self.clock.end().clock)


def _target(proposal: str) -> str:
    return f"proposal/{proposal}"


def _stated(content: Content) -> tuple[object, ...]:
    return content.method, content.request, content.actor, content.reason


def _open_of(connection: Connection, marketplace: str, seller: str, digest: bytes, principal: str, now: int) -> str:
    """Return the id of the open proposal with a digest; "" if none. Raises TooManyCalls."""
    rows = connection.execute(_OPEN, {"now": now}).all()
    keyed = keyed_digest(keys_made(connection, marketplace, [seller])[seller][1], digest)
    for row in rows:
        if row.marketplace == marketplace and bytes(row.digest) == keyed:
            return _proposal_of(row.target)
    own = sum(row.principal == principal for row in rows)
    for count, most, whose in ((own, MAX_OPEN_OF_CALLER, "this caller has"), (len(rows), MAX_OPEN, "there are")):
        if count >= most:
            text = f"{whose} {count:,} open proposals; withdraw one, or wait until one is carried out or expires"
            raise TooManyCalls(text, {"limit": "proposals"}, seconds=60.0)
    return ""


def proposal_not_found(proposal: str) -> ProposalNotFound:
    text = "there is no proposal of this name; see: sellertrust proposal show"
    return ProposalNotFound(text, {"proposal": proposal})


def _load_one(connection: Connection, marketplace: str, proposal: str, now: int) -> Proposal:
    found = _load(connection, marketplace, [proposal], now)
    if not found:
        raise proposal_not_found(proposal)
    return found[0]


def _load(connection: Connection, marketplace: str, names: Sequence[str], now: int) -> list[Proposal]:
    targets = [_target(name) for name in names]
    rows = RowReader(connection, marketplace).rows(_STEPS, targets)
    held = keys(connection, marketplace, {row.seller for row in rows})
    steps: dict[str, list[Any]] = {}
    for row in rows:
        steps.setdefault(row.target, []).append(row)
    return [_proposal(found, held.get(found[0].seller), now) for found in steps.values()]


def _proposal(rows: Sequence[Any], key: Key | None, now: int) -> Proposal:
    first, texts = rows[0], [json.loads(unseal(row.entry_id, row.content, key)[0] or "{}") for row in rows]
    content = None
    if (stated := texts[0]) and first.status == Step.PROPOSED:
        request, method = base64.b64decode(stated["request"]), json.loads(first.content)["method"]
        content = Content(method, request, stated["actor"], stated["reason"], stated["basis"])
    steps = tuple(
        Taken(Step(row.status), row.principal or "", row.occur_time, found.get("actor", ""), found.get("reason", ""))
        for row, found in zip(rows, texts, strict=True)
    )
    return Proposal(
        *(first.sequence, first.marketplace, _proposal_of(first.target), first.seller, content),
        *(first.until_time or 0, steps, now),
    )


def _proposal_of(target: str) -> str:
    return target.removeprefix("proposal/")
