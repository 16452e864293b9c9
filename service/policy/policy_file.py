from dataclasses import replace
from pathlib import Path

from scoring.base.canonical import JsonObject
from scoring.base.errors import PolicyRefused
from scoring.base.money import read_minor_units
from scoring.base.parts import parse_toml
from scoring.policy.cases import PolicyCase, parse_cases
from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy
from service.settings import Settings

SHIPPED_POLICY = Path(__file__).with_name("general.toml")


def load_policy(settings: Settings) -> Policy:
    """Read the configured policy, else the shipped one. Raises PolicyRefused."""
    return read_policy(settings.policy or SHIPPED_POLICY)


def read_policy(path: Path) -> Policy:
    text = _read_text(path)
    try:
        return parse_policy_text(text)
    except PolicyRefused as error:
        raise error.of(path) from None


def parse_policy_text(text: str, *, was_committed: bool = False) -> Policy:
    """Parse the TOML text of a policy. Raises PolicyRefused with every fault.

    A policy that `was_committed` is not searched for contradictions.
    """
    try:
        data = read_policy_data(text)
    except ValueError as error:
        raise PolicyRefused(f"is no TOML: {error}") from None
    return replace(parse_policy(data, was_committed=was_committed), text=text)


def read_policy_data(text: str) -> JsonObject:
    """Read the unchecked data of a policy, its amounts in minor units. Raises ValueError."""
    data = parse_toml(text)
    return dict(read_minor_units(data, str(data.get("currency", ""))))


def read_policy_cases(path: Path) -> tuple[PolicyCase, ...]:
    data = read_toml(path)
    try:
        return parse_cases(data)
    except PolicyRefused as error:
        raise error.of(path) from None


def read_toml(path: Path) -> JsonObject:
    """Read TOML data without checking its meaning. Raises PolicyRefused."""
    try:
        return read_policy_data(_read_text(path))
    except ValueError as error:
        raise PolicyRefused(f"{path} is no TOML: {error}") from None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PolicyRefused(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PolicyRefused(f"{path} is no text in UTF-8") from None
