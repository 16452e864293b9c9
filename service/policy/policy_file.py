"""The policy file: the shipped one, or the one that the settings name."""

import tomllib
from pathlib import Path
from typing import Any

from scoring.errors import PolicyRefused
from scoring.policy.cases import Case, parse_cases
from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy
from service.settings import Settings

SHIPPED_POLICY = Path(__file__).with_name("default.toml")


def load_policy(settings: Settings) -> Policy:
    """Read the configured policy, or the shipped one if none is configured.

    PolicyRefused names the fault if it cannot be read or is invalid.
    """
    return read_policy(settings.policy or SHIPPED_POLICY)


def read_policy(path: Path) -> Policy:
    """Read and check a policy file.

    PolicyRefused names the file and the fault if it cannot be read or is invalid.
    """
    data = read_toml(path)
    try:
        return parse_policy(data)
    except PolicyRefused as error:
        raise PolicyRefused(f"{path}: {error}") from None


def read_cases(path: Path) -> tuple[Case, ...]:
    """Read and check a file of cases.

    PolicyRefused names the file and the fault if it cannot be read or is invalid.
    """
    data = read_toml(path)
    try:
        return parse_cases(data)
    except PolicyRefused as error:
        raise PolicyRefused(f"{path}: {error}") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Read the TOML data of a policy file, or of its cases, unchecked.

    PolicyRefused if it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyRefused(f"{path} cannot be read: {error}") from None
