"""The loss certificate of a commit: it is valid, or its failed verdicts are accepted with the sum."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from scoring.base.canonical import canonical_json
from scoring.base.errors import CertificateRefused, FieldViolation, InvalidInput, LossNotAccepted, invalid
from scoring.base.money import format_amount
from scoring.base.parts import parse_toml
from scoring.base.time import format_day
from scoring.loss_certificate.assumptions import Assumptions, parse_assumptions
from scoring.loss_certificate.certificate import accept, certify, list_losses
from scoring.loss_certificate.exceptions import Granted
from scoring.loss_certificate.independent.checking import check_certificate
from scoring.loss_certificate.independent.world import NotProven
from scoring.loss_certificate.states import build_states
from scoring.policy.policy import MAX_TRADE_DAYS, Policy
from service.call_context import current_call

MAX_ASSUMPTIONS_BYTES = 20_000


@dataclass(frozen=True, slots=True)
class LossCheck:
    certificate: str = ""
    """Empty without assumptions."""
    assumptions: str = ""
    accepted: tuple[tuple[str, int], ...] = ()
    """(failed verdict, the most that one name can get in minor units)."""
    sequence: tuple[tuple[str, int], ...] = ()
    """(verdict, the most that one name gets in a run that began under earlier policies)."""
    owed_until: int = 0
    """The UTC day, since 1970-01-01, when the last such run has ended; 0 without one."""


NO_CHECK = LossCheck()


def check_loss(
    policy: Policy,
    assumptions: str,
    accepted: Sequence[tuple[str, int]],
    actor: str,
    look_at_granted: Callable[[], Granted],
    list_served: Callable[[int], Sequence[tuple[Policy, int]]],
) -> LossCheck:
    """Certify a policy to be committed; return the commit's certificate, NO_CHECK without assumptions.

    `assumptions`: the TOML text. `accepted`: each (failed verdict, sum in minor units) that `actor` accepts.
    `look_at_granted` reads the exceptions that persons granted. `list_served` takes a number of days up to today; it
    returns each policy served in them with its last UTC day, the oldest first, the present policy last.

    Raises LossNotAccepted naming each failed verdict, unless its sum or more is accepted. Raises InvalidInput for
    invalid `assumptions`, for a policy without a proven certificate, and for an accepted verdict that has not failed.
    """
    sums = dict(accepted)
    if not assumptions:
        if sums:
            problem = "must be empty where no assumptions are committed: without them there is no sum to accept"
            raise invalid("accepted_losses", problem)
        return NO_CHECK
    assumed = check_assumptions(assumptions)
    try:
        older, until = _list_owing(list_served(MAX_TRADE_DAYS + assumed.stop_days + assumed.confirm_days), assumed)
        found = certify(policy, assumed, progress=_require_caller, granted=look_at_granted(), older=older)
    except CertificateRefused as error:
        raise invalid("text", str(error)) from None
    try:
        found = accept(found, dict.fromkeys(sums, actor))
    except CertificateRefused as error:
        raise invalid("accepted_losses", str(error)) from None
    try:
        texts = [tomllib.loads(one.text) for one in (*older, policy)]
        check_certificate(texts[-1], found, assumed.data, _require_caller, texts[:-1])
    except NotProven as error:
        raise invalid("text", f"has a loss certificate that the independent check refuses: {error}") from None
    losses = list_losses(found)
    lost = {name: most for name, most in losses.items() if most is not None}
    refused = {name: most for name, most in losses.items() if most is None or sums.get(name, -1) < most}
    if refused:
        sentences = [f"{name} does not hold: {_describe_sum(most, assumed.currency)}" for name, most in refused.items()]
        if older:
            sentences.append(f"runs that began under policies before count until {format_day(until)}")
        raise LossNotAccepted(
            "; ".join([*sentences, "commit a policy that holds, or accept each verdict by name with its sum"]),
            {"losses": " ".join(f"{name}={'any' if most is None else most}" for name, most in refused.items())},
        )
    sequence = found["sequence"]["most_minor"] if older else {}
    return LossCheck(
        found["digest"], digest_assumptions(assumed.data), tuple(sorted(lost.items())), tuple(sequence.items()), until
    )


def _list_owing(served: Sequence[tuple[Policy, int]], assumed: Assumptions) -> tuple[list[Policy], int]:
    """Return the policies under which a present run may have begun, and the UTC day on which the last of these runs
    ends.
    """
    owing: list[Policy] = []
    until, [*_, (_, today)] = 0, served
    for policy, last_day in served:
        try:
            end = last_day + build_states(policy, assumed).run_days
        except CertificateRefused:
            continue
        if (owing or end > today) and owing[-1:] != [policy]:
            owing.append(policy)
        until = max(until, end) if owing else 0
    return owing, until


def _require_caller(*_: object) -> None:
    current_call().require_caller()


def _describe_sum(most_minor: int | None, currency: str) -> str:
    if most_minor is None:
        return "nothing bounds a day of a seller whose limit was lifted; take the lift back"
    return f"one name can get {format_amount(most_minor, currency)}"


def check_assumptions(text: str) -> Assumptions:
    """Parse the TOML text of assumptions. Raises InvalidInput."""
    if len(text.encode()) > MAX_ASSUMPTIONS_BYTES:
        raise invalid("assumptions", f"must have at most {MAX_ASSUMPTIONS_BYTES:,} bytes")
    try:
        data = parse_toml(text)
    except ValueError as error:
        raise invalid("assumptions", f"is no TOML: {error}") from None
    try:
        return parse_assumptions(data)
    except CertificateRefused as error:
        raise InvalidInput([FieldViolation(("assumptions",), str(error))]) from None


def digest_assumptions(data: Mapping[str, object]) -> str:
    return sha256(canonical_json(data)).hexdigest()
