"""A violation's lifecycle as one table, for code, contract comments, CLI and docs."""

from types import MappingProxyType

from scoring.base.enums import Action, Status
from scoring.base.errors import FieldPath, LifecycleForbids

TRANSITIONS: MappingProxyType[tuple[Status, Action], Status] = MappingProxyType(
    {
        (Status.ALLEGED, Action.REVIEW): Status.UNDER_REVIEW,
        (Status.ALLEGED, Action.CONFIRM): Status.CONFIRMED,
        (Status.ALLEGED, Action.DISMISS): Status.DISMISSED,
        (Status.ALLEGED, Action.WITHDRAW): Status.WITHDRAWN,
        (Status.UNDER_REVIEW, Action.CONFIRM): Status.CONFIRMED,
        (Status.UNDER_REVIEW, Action.DISMISS): Status.DISMISSED,
        (Status.UNDER_REVIEW, Action.WITHDRAW): Status.WITHDRAWN,
        (Status.CONFIRMED, Action.APPEAL): Status.APPEALED,
        (Status.CONFIRMED, Action.REDUCE): Status.REDUCED,
        (Status.CONFIRMED, Action.OVERTURN): Status.OVERTURNED,
        (Status.REDUCED, Action.APPEAL): Status.APPEALED,
        (Status.REDUCED, Action.REDUCE): Status.REDUCED,
        (Status.REDUCED, Action.OVERTURN): Status.OVERTURNED,
        (Status.APPEALED, Action.CONFIRM): Status.CONFIRMED,
        (Status.APPEALED, Action.REDUCE): Status.REDUCED,
        (Status.APPEALED, Action.OVERTURN): Status.OVERTURNED,
        (Status.DISMISSED, Action.REVIEW): Status.UNDER_REVIEW,
        (Status.DISMISSED, Action.REINSTATE): Status.CONFIRMED,
        (Status.OVERTURNED, Action.REINSTATE): Status.CONFIRMED,
    }
)
"""The status after each allowed action, by (status, action)."""

COUNTING_STATUSES = frozenset({Status.CONFIRMED, Status.APPEALED, Status.REDUCED})
"""Statuses of violations that count in the score; an appealed violation counts until it is overturned."""

OPEN_STATUSES = frozenset({Status.ALLEGED, Status.UNDER_REVIEW})

RETRACTED_STATUSES = frozenset({Status.DISMISSED, Status.WITHDRAWN, Status.OVERTURNED})
"""Statuses of violations that count as if never reported."""


def allowed_actions(status: Status) -> tuple[Action, ...]:
    return tuple(action for (known, action) in TRANSITIONS if known is status)


def next_status(status: Status, action: Action, path: FieldPath = ()) -> Status:
    """Return the status after `action`: `next_status(Status.ALLEGED, Action.CONFIRM) is Status.CONFIRMED`.

    Raise LifecycleForbids naming the allowed actions, about the field at `path`.
    """
    following = TRANSITIONS.get((status, action))
    if following is None:
        allowed = ", ".join(a.word for a in allowed_actions(status)) or "none"
        raise LifecycleForbids(
            f"a violation that is {status.word.replace('_', ' ')} cannot be changed by"
            f" '{action.word}'; allowed: {allowed}",
            {"status": status.name, "allowed": allowed},
            path,
        )
    return following
