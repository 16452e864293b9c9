from collections.abc import Callable
from types import SimpleNamespace

import pytest

from service.cli.output import Format, emit, emit_one
from service.cli.progress import StepProgress

TEXT = "see [/case 5], [exposure] of :bug: and [bold]this"


@pytest.mark.parametrize("show", [lambda row: emit([row], Format.TABLE), lambda row: emit_one(row, Format.TABLE)])
def test_a_stated_text_is_shown_to_the_letter(
    show: Callable[[dict[str, str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    show({"reason": TEXT})
    assert TEXT in capsys.readouterr().out


def test_progress_off_a_terminal_writes_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("service.cli.progress.time", SimpleNamespace(monotonic=lambda: now))
    with StepProgress() as progress:
        for done in range(5):
            progress("sellers", done, 4)
            now += 4
    assert capsys.readouterr().err == "sellers ...\nsellers: 75 %\nsellers: done in 16.0 s\n"
