from collections.abc import Callable, Iterable
from dataclasses import replace

from scoring.base.frozen import frozen
from scoring.entries.kinds.common import MAX_VALUE_MINOR
from scoring.loss_certificate.assumptions import MAX_DAYS, Assumptions
from scoring.loss_certificate.certificate import VERDICTS, find_allowed_loss
from scoring.loss_certificate.solving import solve
from scoring.loss_certificate.states import build_states
from scoring.policy.measures import PPM
from scoring.policy.policy import Policy


@frozen
class Sensitivity:
    """Limits at which one verdict fails, each assumption changed alone."""

    largest_stop_days: int | None
    """None if it fails at every number from 1 to 366."""
    smallest_wash_ppm: int | None
    """None if every share is too low."""
    smallest_identity_minor: int | None
    """With accounts at least as dear; None if 10^15 is too low."""


def find_sensitivity(
    policy: Policy, assumptions: Assumptions, verdicts: Iterable[str] = VERDICTS
) -> dict[str, Sensitivity]:
    """Return the limits of each verdict, by halving: longer stops and lower costs never help."""
    return {name: _find_limits(policy, assumptions, VERDICTS[name]) for name in verdicts}


def _find_limits(policy: Policy, assumptions: Assumptions, history_is_real: bool) -> Sensitivity:
    def still_holds(changed: Assumptions) -> bool:
        return holds_verdict(policy, changed, history_is_real)

    spared = _find_smallest(MAX_DAYS - 1, lambda days: still_holds(replace(assumptions, stop_days=MAX_DAYS - days)))
    return Sensitivity(
        largest_stop_days=None if spared is None else MAX_DAYS - spared,
        smallest_wash_ppm=_find_smallest(PPM, lambda ppm: still_holds(replace(assumptions, wash_ppm=ppm))),
        smallest_identity_minor=_find_smallest(
            MAX_VALUE_MINOR, lambda minor: still_holds(price_names(assumptions, minor))
        ),
    )


def holds_verdict(policy: Policy, assumptions: Assumptions, history_is_real: bool) -> bool:
    """Return whether a fresh name can get at most the allowed loss.

    With `history_is_real` by the verdict `unconditional`, else by `against_faked_history`, which allows none. Raises
    CertificateRefused as `build_states`.
    """
    states = build_states(policy, assumptions)
    return solve(states, assumptions, history_is_real).fresh <= find_allowed_loss(states.trade, history_is_real)


def price_names(assumptions: Assumptions, identity_minor: int) -> Assumptions:
    """Return the assumptions with a name at this price, and an account at no less."""
    aged = max(assumptions.aged_account_minor, identity_minor)
    return replace(assumptions, identity_minor=identity_minor, aged_account_minor=aged)


def _find_smallest(most: int, is_enough: Callable[[int], bool]) -> int | None:
    if not is_enough(most):
        return None
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        if is_enough(middle):
            high = middle
        else:
            low = middle + 1
    return low
