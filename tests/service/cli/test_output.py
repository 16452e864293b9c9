from collections.abc import Callable

import pytest

from service.cli.output import Format, emit, emit_one

TEXT = "see [/case 5], [exposure] of :bug: and [bold]this"


@pytest.mark.parametrize("show", [lambda row: emit([row], Format.TABLE), lambda row: emit_one(row, Format.TABLE)])
def test_a_stated_text_is_shown_to_the_letter(
    show: Callable[[dict[str, str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    show({"reason": TEXT})
    assert TEXT in capsys.readouterr().out
