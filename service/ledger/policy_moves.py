"""Moves of the policy: which one is served since when, by whom and why, appended under the ledger's lock.

The text of a policy stands with the first move that brings it; later moves name it by its digest. What a move must satisfy
is decided by `service.policy.history`, here it is kept.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, insert, select

from service.ledger.database import Database
from service.ledger.tables import POLICY_MOVE

_P = POLICY_MOVE.c
_COLUMNS = (
    *(_P.number, _P.action, _P.digest, _P.move_time, _P.principal, _P.actor, _P.reason, _P.proposal),
    *(_P.certificate, _P.assumptions, _P.accepted),
)
_MOVES = select(*_COLUMNS).where(_P.number > bindparam("after")).order_by(_P.number).limit(bindparam("count"))
_ALL = select(*_COLUMNS).order_by(_P.number)
_LAST = select(*_COLUMNS).order_by(_P.number.desc()).limit(1)
_DIGESTS = (
    select(_P.digest).where(_P.content.is_not(None), _P.digest.startswith(bindparam("beginning"))).order_by(_P.digest)
)
_CONTENT = select(_P.content).where(_P.digest == bindparam("digest"), _P.content.is_not(None))
_ASSUMPTIONS = select(_P.assumptions_content).where(
    _P.assumptions == bindparam("digest"), _P.assumptions_content.is_not(None)
)


class PolicyAction(IntEnum):
    """What brought a policy."""

    CONFIGURED = 1
    """It was the server's file, which it served until the first commit."""
    COMMITTED = 2
    ROLLED_BACK = 3


@dataclass(frozen=True, slots=True)
class PolicyMove:
    """One move: from then on this policy is served."""

    number: int
    """Its place among all moves, from 1."""
    action: PolicyAction
    digest: str
    """The policy's digest, 64 hexadecimal digits."""
    move_time: int
    """When, in microseconds, by the ledger's clock."""
    principal: str
    """Who called, authenticated; empty where nobody did."""
    actor: str
    """Who, as was stated."""
    reason: str
    """Why."""
    proposal: str
    """The name of the proposal by which it was approved; empty without one."""
    certificate: str = ""
    """The digest of the loss certificate that it rests on; empty without one."""
    assumptions: str = ""
    """The digest of the assumptions of that certificate."""
    accepted: tuple[tuple[str, int], ...] = ()
    """(verdict that does not hold, the sum in minor units), as the actor accepts it."""


@dataclass(frozen=True, slots=True)
class NewMove:
    """A move that is to be made."""

    action: PolicyAction
    digest: str
    actor: str
    reason: str
    proposal: str = ""
    content: str | None = None
    """The policy's text, if no move before has it."""
    certificate: str = ""
    assumptions: str = ""
    accepted: tuple[tuple[str, int], ...] = ()
    assumptions_content: str | None = None
    """The text of the assumptions, if no move before has it."""


class PolicyMoves:
    """The part of the ledger that keeps which policy was served when."""

    _database: Database

    if TYPE_CHECKING:

        def _locked_now(self, connection: Connection) -> int: ...

    def move_policy(self, principal: str, decide: Callable[[Sequence[PolicyMove]], Sequence[NewMove]]) -> PolicyMove:
        """Record moves; return the last one that is on record then.

        `decide` gets all moves so far, oldest first, while the ledger is locked; it returns those to be recorded, in their
        order, none if there is nothing to be done (but then there must be one already), or raises what forbids it.
        """
        with self._database.write() as connection:
            moves = [_move(row) for row in connection.execute(_ALL)]
            for new in decide(moves):
                time = max(self._locked_now(connection), moves[-1].move_time if moves else 0)
                made = PolicyMove(
                    *(len(moves) + 1, new.action, new.digest, time, principal, new.actor, new.reason, new.proposal),
                    *(new.certificate, new.assumptions, new.accepted),
                )
                connection.execute(insert(POLICY_MOVE), _row(made, new, moves))
                moves.append(made)
        return moves[-1]

    def last_policy_move(self) -> PolicyMove | None:
        """Return the move that brought the policy which is served now; None if there was none."""
        with self._database.read() as connection:
            row = connection.execute(_LAST).first()
        return None if row is None else _move(row)

    def policy_moves(self, after: int = 0, count: int = 2**31) -> list[PolicyMove]:
        """Return the next `count` moves after a number, oldest first."""
        with self._database.read() as connection:
            return [_move(row) for row in connection.execute(_MOVES, {"after": after, "count": count})]

    def policy_text(self, digest: str) -> str | None:
        """Return the text of a policy that was served, by its whole digest; None if none of this digest was."""
        with self._database.read() as connection:
            found: str | None = connection.execute(_CONTENT, {"digest": digest}).scalar()
            return found

    def assumptions_text(self, digest: str) -> str | None:
        """Return the text of assumptions that a commit rested on, by their whole digest; None if none did."""
        with self._database.read() as connection:
            found: str | None = connection.execute(_ASSUMPTIONS, {"digest": digest}).scalar()
            return found

    def policy_digests(self, beginning: str) -> list[str]:
        """Return the digests that begin so, of policies that were served, in their order."""
        with self._database.read() as connection:
            return [*connection.execute(_DIGESTS, {"beginning": beginning}).scalars()]


def _row(made: PolicyMove, new: NewMove, before: Sequence[PolicyMove]) -> dict[str, Any]:
    """Return the row of a move: what stands with an earlier one is left out."""
    row = {name: getattr(made, name) for name in PolicyMove.__dataclass_fields__}
    has_text = any(move.digest == made.digest for move in before)
    has_assumptions = any(move.assumptions == made.assumptions for move in before)
    return row | {
        "action": int(made.action),
        "accepted": json.dumps(made.accepted),
        "content": None if has_text else new.content,
        "assumptions_content": None if has_assumptions else new.assumptions_content,
    }


def _move(row: Any) -> PolicyMove:
    """Return a move of a row; releases before this one stated no certificate, which is NULL."""
    values = dict(row._mapping)
    accepted = tuple((str(verdict), int(sum_minor)) for verdict, sum_minor in json.loads(values["accepted"] or "[]"))
    certificate, assumptions = values["certificate"] or "", values["assumptions"] or ""
    stated = {"certificate": certificate, "assumptions": assumptions, "accepted": accepted}
    return PolicyMove(**values | {"action": PolicyAction(values["action"])} | stated)
