"""Moves of the policy, as acts; the first move to a policy appends its text as a separate act."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sqlalchemy import Connection, bindparam, select

from scoring.base.frozen import frozen
from service.ledger.append.acts import ActWriter, NewAct
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.tables import ENTRY, act_clause
from service.ledger.records import Act

_E = ENTRY.c
_MOVES = (
    select(ENTRY)
    .where(act_clause(Act.POLICY), _E.marketplace == "")
    .order_by(_E.sequence)
    .limit(bindparam("count"))
    .offset(bindparam("after"))
)
_TEXT = select(_E.content).where(_E.marketplace == "", _E.entry_id == bindparam("name"))
_IDS_BETWEEN = (
    select(_E.entry_id)
    .where(_E.marketplace == "", _E.entry_id >= bindparam("first"), _E.entry_id < bindparam("end"))
    .order_by(_E.entry_id)
)
_POLICY, _ASSUMPTIONS = "policy", "assumptions"


class PolicyAction(IntEnum):
    CONFIGURED = 1
    COMMITTED = 2
    ROLLED_BACK = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCheck:
    certificate: str = ""
    """Empty without assumptions."""
    assumptions: str = ""
    accepted: tuple[tuple[str, int], ...] = ()
    """(failed verdict, the most that one name can get in minor units); a raised limit likewise."""
    sequence: tuple[tuple[str, int], ...] = ()
    """(verdict, the most that one name gets in a run that began under earlier policies)."""
    owed_until: int = 0
    """The UTC day, since 1970-01-01, when the last such run has ended; 0 without one."""


@frozen
class _Move(LossCheck):
    action: PolicyAction
    digest: str
    actor: str
    reason: str
    proposal: str = ""
    immediate: str = ""
    """`law` or `danger`; empty for a move with notice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyMove(_Move):
    number: int
    move_time: int
    principal: str


@frozen
class NewMove(_Move):
    content: str | None = None
    assumptions_content: str | None = None


@frozen
class PolicyMoves:
    clock: LedgerClock

    def move(self, principal: str, decide: Callable[[Sequence[PolicyMove]], Sequence[NewMove]]) -> PolicyMove:
        """Record the moves that `decide` returns; return the last recorded one.

        `decide` gets all moves, oldest first, under the lock. It may return none only if a move is recorded.
        """
        with ActWriter.open(self.clock) as acting:
            connection = acting.reader.connection
            moves = _read_moves(connection)
            for new in decide(moves):
                acts = [*_list_unrecorded_texts(connection, new), _make_act(new)]
                acting.append(acts, principal=principal, not_before=moves[-1].move_time if moves else 0)
                moves = _read_moves(connection)
        return moves[-1]

    def find_last(self) -> PolicyMove | None:
        moves = self.list()
        return moves[-1] if moves else None

    def list(self, after: int = 0, count: int = 2**31) -> Sequence[PolicyMove]:
        """Return up to `count` moves, oldest first, without the first `after` ones."""
        with self.clock.database.read() as connection:
            return _read_moves(connection, after, count)

    def find_text(self, digest: str) -> str | None:
        """Return the TOML of a committed policy by its whole digest, or None."""
        with self.clock.database.read() as connection:
            return _read_text(connection, _POLICY, digest)

    def find_assumptions(self, digest: str) -> str | None:
        with self.clock.database.read() as connection:
            return _read_text(connection, _ASSUMPTIONS, digest)

    def list_digests(self, beginning: str) -> Sequence[str]:
        """Return the digests of committed policies that begin with these hexadecimal digits, sorted."""
        first = f"{_POLICY}/{beginning}"
        rows = self.clock.database.rows(_IDS_BETWEEN, first=first, end=f"{first}g")
        return [entry_id.removeprefix(f"{_POLICY}/") for (entry_id,) in rows]


def _make_act(new: NewMove) -> NewAct:
    names = ("actor", "reason", "proposal", "certificate", "assumptions", "accepted", "sequence", "owed_until")
    content = {name: getattr(new, name) for name in names}
    content |= {"immediate": new.immediate} if new.immediate else {}
    return NewAct(Act.POLICY, content, target=new.digest, status=int(new.action))


def _list_unrecorded_texts(connection: Connection, new: NewMove) -> Iterator[NewAct]:
    texts = ((_POLICY, new.digest, new.content), (_ASSUMPTIONS, new.assumptions, new.assumptions_content))
    for kind, digest, content in texts:
        if digest and content is not None and _read_text(connection, kind, digest) is None:
            yield NewAct(Act.POLICY_TEXT, {"text": content}, f"{kind}/{digest}")


def _read_text(connection: Connection, kind: str, digest: str) -> str | None:
    content = connection.execute(_TEXT, {"name": f"{kind}/{digest}"}).scalar()
    return None if content is None else str(json.loads(content)["text"])


def _read_moves(connection: Connection, after: int = 0, count: int = 2**31) -> list[PolicyMove]:
    rows = connection.execute(_MOVES, {"after": after, "count": count})
    return [_parse_move(row, number) for number, row in enumerate(rows, after + 1)]


def _parse_move(row: Any, number: int) -> PolicyMove:
    fields = json.loads(row.content)
    del fields["act"]
    for name in ("accepted", "sequence"):
        fields[name] = tuple((verdict, most) for verdict, most in fields.get(name, ()))
    return PolicyMove(
        number=number,
        action=PolicyAction(row.status),
        digest=row.target,
        move_time=row.occur_time,
        principal=row.principal or "",
        **fields,
    )
