from hypothesis import given
from hypothesis import strategies as st

from scoring.base.errors import (
    FieldPath,
    FieldViolation,
    InvalidInput,
    LifecycleForbids,
    field_name,
    invalid,
    split_item,
)

NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)


def test_a_path_is_shown_with_the_place_in_a_list_in_brackets() -> None:
    assert field_name(("entries", 17, "violation", "harm")) == "entries[17].violation.harm"
    assert field_name(("sellers", 3)) == "sellers[3]"
    assert field_name(("page_size",)) == "page_size"
    assert field_name(()) == ""


@given(st.integers(0, 10_000), st.lists(NAMES, max_size=3))
def test_an_item_of_a_list_is_found_again_with_its_path(index: int, names: list[str]) -> None:
    within: FieldPath = tuple(names)
    assert split_item(("entries", index, *within)) == (index, within)
    assert split_item(within) == (None, within)


def test_an_error_shows_its_field_before_its_text() -> None:
    error = LifecycleForbids("cannot be changed", path=("entries", 0, "status", "action"))
    assert str(error) == error.message == "entries[0].status.action: cannot be changed"
    error.path = ()
    assert str(error) == error.message == "cannot be changed"
    assert str(invalid("page_token", "must be one")) == "page_token: must be one"
    assert InvalidInput([FieldViolation(("sellers", 1), "is twice there")]).violations[0].field == "sellers[1]"
