"""The policy file: the shipped one, or the one that the settings name."""

import tomllib
from pathlib import Path

from scoring.errors import PolicyRefused
from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy
from service.settings import Settings

SHIPPED_POLICY = Path(__file__).with_name("default.toml")


def load_policy(settings: Settings) -> Policy:
    """Read the configured policy, or the shipped one if none is configured.

    PolicyRefused names the fault if it cannot be read or is invalid.
    """
    path = settings.policy or SHIPPED_POLICY
    try:
        return parse_policy(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyRefused(f"the policy {path} cannot be read: {error}") from None
