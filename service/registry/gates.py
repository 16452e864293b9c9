"""A model's gates, measured in training, and what a promotion needs to pass them.

`gates.json` lists them under `gates`.
The result follows from number and limit, not from "ok". `certificate` and `parity` are required.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scoring.base.canonical import parse_json
from scoring.base.errors import ArtifactRefused, GatesFailed, invalid

GATES = "gates.json"
NEVER_OVERRIDDEN = frozenset({"certificate", "parity"})
"""Promises of the service: no person can make a model monotone, or served inputs equal to training's."""


class GateResult(BaseModel):
    """A hard gate must pass or be overridden; an advisory gate must pass or be signed off."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)
    gate: str = Field(min_length=1)
    kind: Literal["hard", "advisory"]
    ok: bool
    number: float | None = None
    limit: float | None = None
    text: str = ""
    overridable: bool = True

    @property
    def is_hard(self) -> bool:
        return self.kind == "hard"


def parse_gates(data: bytes | None) -> tuple[GateResult, ...] | None:
    """Parse `gates.json`; None if the file is missing.

    Raises ArtifactRefused if it cannot be read, repeats a gate, or lacks the hard gates of the promises.
    """
    if data is None:
        return None
    try:
        rows = parse_json(data)["gates"]
        gates = tuple(_parse_gate(row) for row in rows)
    except ValidationError as error:
        wrong = error.errors()[0]
        field = ".".join(map(str, wrong["loc"]))
        raise ArtifactRefused(
            f"{GATES} of the model cannot be read ({field}: {wrong['msg']}); train it again"
        ) from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ArtifactRefused(f"{GATES} of the model cannot be read ({error}); train it again") from None
    if len({gate.gate for gate in gates}) != len(gates):
        raise ArtifactRefused(f"{GATES} of the model states a gate twice; train it again")
    if missing := NEVER_OVERRIDDEN - {gate.gate for gate in gates if gate.is_hard}:
        raise ArtifactRefused(
            f"{GATES} of the model must hold {', '.join(sorted(missing))} as hard gates; train it again"
        )
    return gates


def word_of_gates(gates: Sequence[GateResult] | None) -> str:
    """Return `passed`, `failed` if a hard gate failed, or `none`."""
    if gates is None:
        return "none"
    return "passed" if all(gate.ok for gate in gates if gate.is_hard) else "failed"


class GateOverride(NamedTuple):
    override: str = ""
    """The person who answers for failed hard gates; empty: nobody."""
    sign_off: str = ""
    """The one for failed advisory gates."""


NO_OVERRIDE = GateOverride()


def require_allowed(
    gates: Sequence[GateResult] | None, override: GateOverride = NO_OVERRIDE, *, served: bool = False
) -> dict[str, str]:
    """Return what the log records about the gates of a promotion, or reject the promotion.

    Missing gates (None) count as a failed hard gate, except for a model `served` as champion before. Raises GatesFailed
    if a name is missing or a failed gate cannot be overridden; InvalidInput if no failed gate needs the name.
    """
    failed = [gate for gate in gates or () if not gate.ok]
    fixed = [g.gate for g in failed if g.is_hard and (g.gate in NEVER_OVERRIDDEN or not g.overridable)]
    hard = [gate.gate for gate in failed if gate.is_hard and gate.gate not in fixed]
    advisory = [gate.gate for gate in failed if not gate.is_hard]
    if gates is None and not served:
        hard.append(GATES)
    demands = []
    if fixed:
        demands.append(f"{', '.join(fixed)} cannot be overridden: train another model")
    if hard and not override.override:
        demands.append(f"past {', '.join(hard)} it takes a named person's override (--override NAME)")
    if advisory and not override.sign_off:
        demands.append(f"{', '.join(advisory)} must be signed off by name (--sign-off NAME)")
    if demands:
        metadata = {"fixed": ",".join(fixed), "hard": ",".join(hard), "advisory": ",".join(advisory)}
        raise GatesFailed(f"gates of the model failed; {'; '.join(demands)}", metadata)
    for field, name, needed in (("override", override.override, hard), ("sign_off", override.sign_off, advisory)):
        if name and not needed:
            raise invalid(field, "must be left out: no gate that failed asks for it")
    figures = {"gates": word_of_gates(gates)}
    if hard:
        figures |= {"override": override.override, "overridden": ",".join(hard)}
    if advisory:
        figures |= {"sign_off": override.sign_off, "signed_off": ",".join(advisory)}
    return figures


def _parse_gate(row: object) -> GateResult:
    """Parse a gate; it passes only if its number is within the limit."""
    result = GateResult.model_validate(row)
    number, limit = result.number, 0.0 if result.gate in NEVER_OVERRIDDEN else result.limit
    # A hard gate without a measurement fails; an advisory one has nothing to sign off.
    is_within = number <= limit if number is not None and limit is not None else not result.is_hard
    return result.model_copy(update={"ok": result.ok and is_within, "limit": limit})
