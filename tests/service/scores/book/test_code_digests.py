import pytest

from service.scores.book.code_digests import digest_code

SOURCE = '''"""A module."""

from scoring.policy.parts import tier_of
from scoring.base.time import DAY

LIMIT = 3
"""Entries."""


def days(time: int) -> int:
    """Return days."""
    return time // DAY  # whole ones
'''


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ('"""Return days."""', '"""Return the days."""', True),
        ("  # whole ones", "", True),
        ('"""Entries."""\n', "", True),
        ("from scoring.policy.parts import tier_of\n", "from scoring.base.tiers import tier_of\n", True),
        ("time // DAY", "time / DAY", False),
        ("LIMIT = 3", "LIMIT = 4", False),
        ("from scoring.base.time import DAY", "from scoring.base.time import HOUR as DAY", False),
    ],
)
def test_a_move_or_a_comment_leaves_the_digest(old: str, new: str, is_same: bool) -> None:
    assert old in SOURCE
    assert (digest_code(SOURCE.replace(old, new)) == digest_code(SOURCE)) is is_same
    moved = "\n".join(sorted(SOURCE.splitlines()[2:4], reverse=True))
    assert digest_code(SOURCE.replace("\n".join(SOURCE.splitlines()[2:4]), moved)) == digest_code(SOURCE)
