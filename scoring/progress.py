"""How long work tells how far it has come."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the step that is under way, how much of it is done, and how much there is (equal: it has ended)."""
