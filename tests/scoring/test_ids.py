import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scoring.entries.field_types import is_id

PATTERN = re.compile(r"[A-Za-z0-9._~:-]{1,128}")


@pytest.mark.long
@given(st.one_of(st.text(max_size=140), st.from_regex(PATTERN, fullmatch=True), st.from_regex(PATTERN)))
@example("")
@example("a" * 128)
@example("a" * 129)
@example("a\n")
@example("a b")
@example("\N{ARABIC-INDIC DIGIT ONE}")
def test_an_id_is_what_its_form_says(text: str) -> None:
    assert is_id(text) == (PATTERN.fullmatch(text) is not None)
