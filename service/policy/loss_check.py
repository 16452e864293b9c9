"""The loss certificate of a commit: it is valid, or its failed verdicts are accepted with the sum."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from scoring.base.canonical import canonical_json
from scoring.base.errors import (
    CertificateRefused,
    LossNotAccepted,
    SellertrustError,
    invalid,
)
from scoring.base.money import format_amount
from scoring.base.parts import parse_toml
from scoring.base.time import format_day
from scoring.loss_certificate.assumptions import Assumptions, parse_assumptions
from scoring.loss_certificate.certificate import GrantedExceptions, accept, add_up_sequence, certify, list_excess_losses
from scoring.loss_certificate.independent.checking import check_certificate
from scoring.loss_certificate.independent.world import NotProven
from scoring.loss_certificate.states import build_states
from scoring.policy.policy import MAX_TRADE_DAYS, Policy
from service.call_context import current_call
from service.ledger.append.policy_moves import LossCheck
from service.policy.policy_file import read_policy_data

MAX_ASSUMPTIONS_BYTES = 20_000

RAISED = "most_loss"
"""Accepts that one run may cost more than under the served policy."""


NO_CHECK = LossCheck()


def check_loss(
    policy: Policy,
    assumptions: str,
    accepted: Sequence[tuple[str, int]],
    actor: str,
    read_granted: Callable[[], GrantedExceptions],
    list_served: Callable[[int], Sequence[tuple[Policy, int]]],
) -> LossCheck:
    """Certify a policy to be committed; return the commit's certificate, NO_CHECK without assumptions.

    `assumptions`: the TOML text. `accepted`: each (failed verdict or RAISED, sum in minor units) that `actor` accepts.
    `read_granted` reads the exceptions that persons granted. `list_served` takes a number of days up to today; it
    returns each policy served in them with its last UTC day, the oldest first, the present policy last.

    Raises LossNotAccepted naming each failed verdict, and RAISED if `most_loss_minor` rises, unless its sum or more is
    accepted. Raises InvalidInput for invalid `assumptions`, for a policy without a proven certificate, and for an
    accepted verdict that has not failed.
    """
    sums = dict(accepted)
    if not assumptions:
        if sums:
            problem = "must be empty where no assumptions are committed: without them there is no sum to accept"
            raise invalid("accepted_losses", problem)
        return NO_CHECK
    assumed = check_assumptions(assumptions)
    served = list_served(_count_run_days(assumed))
    try:
        older, last_day = _list_policies_of_runs(served, assumed)
        certificate = certify(policy, assumed, progress=_require_caller, granted=read_granted(), older=older)
    except CertificateRefused as error:
        raise invalid("text", str(error)) from None
    try:
        certificate = accept(certificate, dict.fromkeys(sums.keys() - {RAISED}, actor))
    except CertificateRefused as error:
        raise invalid("accepted_losses", str(error)) from None
    try:
        texts = [read_policy_data(certified.text) for certified in (*older, policy)]
        check_certificate(texts[-1], certificate, assumed.data, _require_caller, texts[:-1])
    except NotProven as error:
        raise invalid("text", f"has a loss certificate that the independent check refuses: {error}") from None
    losses = list_excess_losses(certificate) | _find_raised_limit(served[-1][0], policy, is_accepted=RAISED in sums)
    bounded = {name: loss for name, loss in losses.items() if loss is not None}
    refused = {name: loss for name, loss in losses.items() if loss is None or sums.get(name, -1) < loss}
    if refused:
        raise _loss_not_accepted(refused, sums, assumed.currency, last_day if older else None)
    sequence = certificate["sequence"]["most_minor"] if older else {}
    return LossCheck(
        certificate=certificate["digest"],
        assumptions=digest_assumptions(assumed.data),
        accepted=tuple(sorted(bounded.items())),
        sequence=tuple(sequence.items()),
        owed_until=last_day,
    )


def _loss_not_accepted(
    refused: Mapping[str, int | None], sums: Mapping[str, int], currency: str, until: int | None
) -> LossNotAccepted:
    sentences = [_describe_loss(verdict, loss, currency) for verdict, loss in refused.items()]
    sentences += [
        f"only {format_amount(sums[name], currency)} of {name} is accepted" for name in refused if name in sums
    ]
    if until is not None:
        sentences.append(f"runs that began under policies before count until {format_day(until)}")
    return LossNotAccepted(
        "; ".join([*sentences, "commit a policy that holds, or accept each verdict by name with its sum"]),
        {"losses": " ".join(f"{name}={'any' if loss is None else loss}" for name, loss in refused.items())},
    )


def state_sequence(
    read_policy: Callable[[], Policy], assumptions: str, list_served: Callable[[int], Sequence[tuple[Policy, int]]]
) -> LossCheck:
    """Return the sums of runs that go on under the policy to which a rollback leads.

    NO_CHECK if nothing bounds them, or a policy cannot be read: a rollback is the way out.
    """
    if not assumptions:
        return NO_CHECK
    try:
        assumed = check_assumptions(assumptions)
        older, last_day = _list_policies_of_runs(list_served(_count_run_days(assumed)), assumed)
        sums = add_up_sequence(read_policy(), assumed, older)["most_minor"] if older else {}
    except SellertrustError:
        return NO_CHECK
    return LossCheck(assumptions=digest_assumptions(assumed.data), sequence=tuple(sums.items()), owed_until=last_day)


def _count_run_days(assumed: Assumptions) -> int:
    """Return the days for which a run that began under a policy can go on."""
    return MAX_TRADE_DAYS + assumed.stop_days + assumed.confirm_days


def _list_policies_of_runs(served: Sequence[tuple[Policy, int]], assumed: Assumptions) -> tuple[list[Policy], int]:
    """Return the policies under which a present run may have begun, and the UTC day on which the last of these runs
    ends.
    """
    policies: list[Policy] = []
    until, (_, today) = 0, served[-1]
    for policy, last_day in served:
        try:
            end = last_day + build_states(policy, assumed).run_days
        except CertificateRefused:
            continue
        if (policies or end > today) and policies[-1:] != [policy]:
            policies.append(policy)
        until = max(until, end) if policies else 0
    return policies, until


def _require_caller(*_: object) -> None:
    current_call().require_caller()


def _find_raised_limit(served: Policy, policy: Policy, *, is_accepted: bool) -> dict[str, int | None]:
    """Return the most that one run may cost by a policy, if it is more than by the served one or in another currency.

    Raises InvalidInput if it is not and was accepted.
    """
    before, loss = (0 if one.trade is None else one.trade.most_loss_minor for one in (served, policy))
    if loss > (before if served.rule_book.currency == policy.rule_book.currency else 0):
        return {RAISED: loss}
    if is_accepted:
        raise invalid("accepted_losses", f"{RAISED} is not raised, and there is nothing to accept")
    return {}


def _describe_loss(verdict: str, most_minor: int | None, currency: str) -> str:
    if most_minor is None:
        return f"{verdict} does not hold: nothing bounds a day of a seller whose limit was lifted; take the lift back"
    amount = format_amount(most_minor, currency)
    if verdict == RAISED:
        return f"the policy allows one run to cost more than the served policy does: {amount} ({RAISED})"
    return f"{verdict} does not hold: one name can get {amount}"


def check_assumptions(text: str) -> Assumptions:
    """Parse the TOML text of assumptions. Raises InvalidInput."""
    if len(text.encode()) > MAX_ASSUMPTIONS_BYTES:
        raise invalid("assumptions", f"must have at most {MAX_ASSUMPTIONS_BYTES:,} bytes")
    try:
        return parse_assumptions(parse_toml(text))
    except ValueError as error:
        raise invalid("assumptions", f"is no TOML: {error}") from None
    except CertificateRefused as error:
        raise invalid("assumptions", str(error)) from None


def digest_assumptions(data: Mapping[str, object]) -> str:
    """Return the SHA-256 of assumptions' canonical JSON, in hexadecimal."""
    return sha256(canonical_json(data)).hexdigest()
