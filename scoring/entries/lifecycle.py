"""A violation's lifecycle as one table, for code, contract comments, CLI and docs."""

from collections.abc import Mapping
from types import MappingProxyType

from scoring.base.enums import Action, Status
from scoring.base.errors import FieldPath, LifecycleForbids

TRANSITIONS: Mapping[Status, Mapping[Action, Status]] = MappingProxyType(
    {
        Status.ALLEGED: {
            Action.REVIEW: Status.UNDER_REVIEW,
            Action.CONFIRM: Status.CONFIRMED,
            Action.DISMISS: Status.DISMISSED,
            Action.WITHDRAW: Status.WITHDRAWN,
        },
        Status.UNDER_REVIEW: {
            Action.CONFIRM: Status.CONFIRMED,
            Action.DISMISS: Status.DISMISSED,
            Action.WITHDRAW: Status.WITHDRAWN,
        },
        Status.CONFIRMED: {
            Action.APPEAL: Status.APPEALED,
            Action.REDUCE: Status.REDUCED,
            Action.OVERTURN: Status.OVERTURNED,
        },
        Status.REDUCED: {
            Action.APPEAL: Status.APPEALED,
            Action.REDUCE: Status.REDUCED,
            Action.OVERTURN: Status.OVERTURNED,
        },
        Status.APPEALED: {
            Action.CONFIRM: Status.CONFIRMED,
            Action.REDUCE: Status.REDUCED,
            Action.OVERTURN: Status.OVERTURNED,
        },
        Status.DISMISSED: {
            Action.REVIEW: Status.UNDER_REVIEW,
            Action.REINSTATE: Status.CONFIRMED,
        },
        Status.OVERTURNED: {
            Action.REINSTATE: Status.CONFIRMED,
        },
        Status.WITHDRAWN: {},
    }
)
"""The status after each allowed action, by the status before it."""

COUNTING_STATUSES = frozenset({Status.CONFIRMED, Status.APPEALED, Status.REDUCED})
"""Statuses of violations that count in the score; an appealed violation counts until it is overturned."""

OPEN_STATUSES = frozenset({Status.ALLEGED, Status.UNDER_REVIEW})

RETRACTED_STATUSES = frozenset({Status.DISMISSED, Status.WITHDRAWN, Status.OVERTURNED})
"""Statuses of violations that count as if never reported."""


def allowed_actions(status: Status) -> tuple[Action, ...]:
    return tuple(TRANSITIONS[status])


def next_status(status: Status, action: Action, path: FieldPath = ()) -> Status:
    """Return the status after `action`: `next_status(Status.ALLEGED, Action.CONFIRM) is Status.CONFIRMED`.

    Raise LifecycleForbids naming the allowed actions, about the field at `path`.
    """
    following = TRANSITIONS[status].get(action)
    if following is None:
        allowed = ", ".join(a.word for a in allowed_actions(status)) or "none"
        raise LifecycleForbids(
            f"a violation that is {status.word.replace('_', ' ')} cannot be changed by"
            f" '{action.word}'; allowed: {allowed}",
            {"status": status.name, "allowed": allowed},
            path,
        )
    return following
