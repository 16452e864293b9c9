"""Proposals: what needs two persons, and each step that was taken with it, appended under the ledger's lock.

So whoever approves, withdraws and uses a proposal at once does so one after the other, and each sees what came before. Texts
and the request are sealed under the key of the seller whom they are about, and gone with it; the digest is keyed likewise.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, func, insert, select, text

from scoring.errors import EntryContentDiffers, ProposalNotFound, TooManyCalls
from scoring.time import SECOND
from service.ledger.appending import LedgerEnd
from service.ledger.clock import LedgerClock
from service.ledger.database import Database, lock_time
from service.ledger.expressions import Texts, among, only
from service.ledger.sealing import Key, hide, keyed_digest, keys, keys_made, reveal
from service.ledger.tables import ENTRY, PROPOSAL

_P = PROPOSAL.c
_STEPS = (
    select(PROPOSAL)
    .where(_P.marketplace == bindparam("marketplace"), among(_P.proposal, bindparam("names", type_=Texts())))
    .order_by(_P.number)
)
_NAMES = (
    select(_P.proposal)
    .where(only(_P.marketplace, bindparam("marketplace")), _P.number < bindparam("before"), text("step = 1"))
    .order_by(_P.marketplace.desc(), _P.number.desc())
    .limit(bindparam("count"))
)
MAX_OPEN = 1_000
"""Open proposals of all callers: each is looked at by a person."""
MAX_OPEN_OF_CALLER = 100
"""Open proposals of one caller."""

_CLOSING = PROPOSAL.alias()
_OPEN = (
    select(_P.marketplace, _P.proposal, _P.principal, _P.digest)
    .where(text("proposal.step = 1"), _P.expire_time > bindparam("now"))
    .where(
        ~select(_CLOSING.c.number)
        .where(
            _CLOSING.c.marketplace == _P.marketplace,
            _CLOSING.c.proposal == _P.proposal,
            _CLOSING.c.step.in_([3, 4]),  # used, withdrawn
        )
        .exists()
    )
    .order_by(_P.number)
)
_LAST = select(func.max(_P.number))
_MARKETPLACES = select(_P.marketplace).distinct().order_by(_P.marketplace)
_CHUNK = 1_000
_NO_END = 2**63 - 1
_KINDS = select(ENTRY.c.entry_id, ENTRY.c.kind).where(
    ENTRY.c.marketplace == bindparam("marketplace"), among(ENTRY.c.entry_id, bindparam("ids", type_=Texts()))
)


class Step(IntEnum):
    """What is done to a proposal."""

    PROPOSED = 1
    APPROVED = 2
    USED = 3
    WITHDRAWN = 4


@dataclass(frozen=True, slots=True)
class Taken:
    """One step that was taken."""

    step: Step
    """What was done."""
    principal: str
    """Who called, authenticated."""
    step_time: int
    """When, in microseconds."""
    actor: str = ""
    """Who, as was stated; empty if the texts were erased."""
    reason: str = ""
    """Why, as was stated."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is proposed, and by what words."""

    method: str
    """`Service/Method` of the request."""
    request: bytes
    """The request, serialized."""
    actor: str
    """Who proposes it, as stated."""
    reason: str
    """Why."""
    basis: Mapping[str, str]
    """What must be as it was when it is carried out."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal as it stands."""

    number: int
    """Its place among all that was done to proposals; later ones have higher numbers."""
    marketplace: str
    """The marketplace's id; empty for what concerns all of them."""
    proposal: str
    """Its id in the marketplace."""
    content: Content | None
    """What is proposed; None if the seller whom it was about was erased."""
    expire_time: int
    """When it expires, in microseconds."""
    steps: tuple[Taken, ...]
    """What was done to it, the proposal itself first."""
    seen_time: int
    """When it stood so, in microseconds, by the ledger's clock."""

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the proposed request, in hexadecimal; "" if it was erased."""
        return "" if self.content is None else sha256(self.content.request).hexdigest()

    @property
    def is_expired(self) -> bool:
        """Return whether the proposal had expired when it was read."""
        return self.seen_time >= self.expire_time

    def has(self, step: Step) -> bool:
        """Return whether a step of this sort is on record for the proposal."""
        return any(taken.step is step for taken in self.steps)


class Proposals:
    """The part of the ledger that keeps proposals."""

    _database: Database
    _clock: LedgerClock

    if TYPE_CHECKING:

        def _end(self) -> LedgerEnd: ...
        def _reading(self, sequence: int) -> AbstractContextManager[Connection]: ...

    def propose(
        self, marketplace: str, proposal: str, content: Content, *, principal: str, seller: str, hours: float
    ) -> Proposal:
        """Record a proposal; return it as it stands. The same one may be proposed again.

        A request of which a proposal is open is answered by that one, whichever its id. EntryContentDiffers if the id stands
        for another proposal; TooManyCalls if the caller has too many open, or all callers together. `seller` is the id of
        the seller whom alone it is about; "" without one; `hours`: after how many it expires.
        """
        with self._database.write() as connection:
            now = self._locked_now(connection)
            found = _load(connection, marketplace, [proposal], now)
            if not found:
                digest = sha256(content.request).digest()
                is_open = _open_of(connection, marketplace, seller, digest, principal, now)
                if is_open:
                    return _load_one(connection, marketplace, is_open, now)
                first = {
                    "method": content.method,
                    "expire_time": now + int(hours * 3_600 * SECOND),
                    "digest": digest,
                }
                request = base64.b64encode(content.request).decode()
                texts = {
                    "request": request,
                    "basis": dict(content.basis),
                    "actor": content.actor,
                    "reason": content.reason,
                }
                row = _Row(marketplace, proposal, Step.PROPOSED, now, principal, seller)
                row.insert(connection, texts, first)
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
        """Record a step of a proposal, such as an approval; return the proposal as it stands then.

        `check` gets the proposal as it stands while the ledger is locked, raises what forbids the step, and returns
        whether it is to be recorded: what was done already changes nothing. Raises ProposalNotFound if there is none of
        this id.
        """
        with self._database.write() as connection:
            now = self._locked_now(connection)
            found = _load_one(connection, marketplace, proposal, now)
            if check(found):
                seller = _seller_of(connection, marketplace, proposal)
                row = _Row(marketplace, proposal, step, now, principal, seller)
                row.insert(connection, {"actor": actor, "reason": reason})
                found = _load_one(connection, marketplace, proposal, now)
        return found

    def proposal(self, marketplace: str, proposal: str) -> Proposal:
        """Return one proposal as it stands now.

        Raises ProposalNotFound if there is none of this id.
        """
        now = self._clock.now(self._end().clock)
        with self._database.read() as connection:
            return _load_one(connection, marketplace, proposal, now)

    def proposals(self, marketplace: str, before: int, count: int) -> list[Proposal]:
        """Return the `count` latest proposals of a marketplace with a number below `before`.

        The latest first. "" has those that concern all marketplaces.
        """
        now = self._clock.now(self._end().clock)
        values = {"marketplace": marketplace, "before": before, "count": count}
        with self._database.read() as connection:
            names = connection.execute(_NAMES, values).scalars().all()
            found = _load(connection, marketplace, names, now)
        return sorted(found, key=lambda one: one.number, reverse=True)

    def all_proposals(self) -> Iterator[Proposal]:
        """Yield every proposal of every marketplace as it stands now, and those that concern all marketplaces."""
        with self._database.read() as connection:
            marketplaces = connection.execute(_MARKETPLACES).scalars().all()
        for marketplace in marketplaces:
            before = _NO_END
            while found := self.proposals(marketplace, before, _CHUNK):
                yield from found
                before = found[-1].number

    def kinds_of(self, marketplace: str, ids: Sequence[str]) -> dict[str, int]:
        """Return the kind of each of these entries, by entry id; those not on record are left out."""
        with self._database.read() as connection:
            rows = connection.execute(_KINDS, {"marketplace": marketplace, "ids": [*ids]})
            return {row.entry_id: row.kind for row in rows}

    def _locked_now(self, connection: Connection) -> int:
        """Return the present while the lock is held. ClockInDoubt."""
        return self._clock.present(lock_time(connection) if self._clock.is_witnessed else None).clock


@dataclass(frozen=True, slots=True)
class _Row:
    """The open columns of a step."""

    marketplace: str
    proposal: str
    step: Step
    step_time: int
    principal: str
    seller: str

    def insert(self, connection: Connection, texts: Mapping[str, Any], first: Mapping[str, Any] | None = None) -> None:
        """Insert the step with its texts sealed. `first`: the columns of the first step."""
        number = (connection.execute(_LAST).scalar() or 0) + 1
        key = keys_made(connection, self.marketplace, [self.seller])[self.seller]
        columns = dict(first or {})
        if first:
            columns["digest"] = keyed_digest(key[1], columns["digest"])
        hidden = hide(json.dumps(texts, sort_keys=True), _bound(self.proposal, number), key)
        own = {"number": number, "marketplace": self.marketplace, "proposal": self.proposal, "step": int(self.step)}
        own |= {"step_time": self.step_time, "principal": self.principal, "seller": self.seller, "content": hidden}
        connection.execute(insert(PROPOSAL), own | columns)


def _stated(content: Content) -> tuple[object, ...]:
    """Return what makes two proposals the same.

    All but what they rest upon, which may have changed in between.
    """
    return content.method, content.request, content.actor, content.reason


def _bound(proposal: str, number: int) -> str:
    """Return what the texts of a step are bound to.

    So none can be put in the place of another.
    """
    return f"proposal/{proposal}/{number}"


def _open_of(connection: Connection, marketplace: str, seller: str, digest: bytes, principal: str, now: int) -> str:
    """Return the id of the open proposal of a request, by its digest; "" if there is none and there may be one more."""
    rows = connection.execute(_OPEN, {"now": now}).all()
    keyed = keyed_digest(keys_made(connection, marketplace, [seller])[seller][1], digest)
    for row in rows:
        if row.marketplace == marketplace and bytes(row.digest) == keyed:
            return str(row.proposal)
    own = sum(row.principal == principal for row in rows)
    for count, most, whose in ((own, MAX_OPEN_OF_CALLER, "this caller has"), (len(rows), MAX_OPEN, "there are")):
        if count >= most:
            text = f"{whose} {count:,} open proposals; withdraw one, or wait until one is carried out or expires"
            raise TooManyCalls(text, {"limit": "proposals"}, seconds=60.0)
    return ""


def proposal_not_found(proposal: str) -> ProposalNotFound:
    """Return the error about a proposal that there is not, or that the caller may not look at, by its id."""
    text = "there is no proposal of this name; see: sellertrust proposal list"
    return ProposalNotFound(text, {"proposal": proposal})


def _seller_of(connection: Connection, marketplace: str, proposal: str) -> str:
    rows = connection.execute(_STEPS, {"marketplace": marketplace, "names": [proposal]}).all()
    return str(rows[0].seller)


def _load_one(connection: Connection, marketplace: str, proposal: str, now: int) -> Proposal:
    """Return a proposal. ProposalNotFound, by its id."""
    found = _load(connection, marketplace, [proposal], now)
    if not found:
        raise proposal_not_found(proposal)
    return found[0]


def _load(connection: Connection, marketplace: str, names: Sequence[str], now: int) -> list[Proposal]:
    """Return those of the named proposals that are on record."""
    rows = connection.execute(_STEPS, {"marketplace": marketplace, "names": [*names]}).all() if names else []
    held = keys(connection, marketplace, {row.seller for row in rows})
    steps: dict[str, list[Any]] = {}
    for row in rows:
        steps.setdefault(row.proposal, []).append(row)
    return [_proposal(found, held.get(found[0].seller), now) for found in steps.values()]


def _proposal(rows: Sequence[Any], key: Key | None, now: int) -> Proposal:
    """Return a proposal by the rows of its steps.

    Without the key, or if the digest is not that of the request, as erased.
    """
    first, texts = rows[0], [_texts(row, key) for row in rows]
    content = None
    if key is not None and (stated := texts[0]):
        request = base64.b64decode(stated["request"])
        if keyed_digest(key[1], sha256(request).digest()) == bytes(first.digest):
            content = Content(first.method, request, stated["actor"], stated["reason"], stated["basis"])
    steps = tuple(
        Taken(Step(row.step), row.principal, row.step_time, found.get("actor", ""), found.get("reason", ""))
        for row, found in zip(rows, texts, strict=True)
    )
    return Proposal(first.number, first.marketplace, first.proposal, content, first.expire_time, steps, now)


def _texts(row: Any, key: Key | None) -> dict[str, Any]:
    """Return the sealed texts of a step; none if they were erased."""
    found = reveal(row.content, _bound(row.proposal, row.number), key)
    return {} if found is None else dict(json.loads(found))
