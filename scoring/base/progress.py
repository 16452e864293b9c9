"""The callback by which long work reports its progress."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the running step, how much of it is done, and how much there is; equal numbers end the step."""
