from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the step, its done part, and its total; equal numbers end the step."""
