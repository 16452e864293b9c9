"""The policy as a server has it, which is swapped while calls are answered."""

from scoring.policy.policy import Policy


class ServedPolicy:
    """The policy that answers. Shared by threads: a swap replaces one reference."""

    def __init__(self, configured: Policy) -> None:
        self.now = configured
        """The policy that answers now. Read it once in each call: another one may replace it."""
