import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.cli.lazy import COMMANDS, load_command
from tests.helpers.shells import bare_shell
from tests.reference_pages import command_tree

HEAVY = {"alembic", "cryptography", "grpc", "lightgbm", "numpy", "psycopg", "pydantic", "sqlalchemy"}
CLIENT = {"grpc", "pydantic"}
LISTED = """
import atexit, sys
atexit.register(lambda: sys.stderr.write("loaded: " + " ".join(sys.modules)))
sys.argv = ["sellertrust", *sys.argv[1:]]
from service.cli import main
main()
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--help"], set()),
        (["score", "s-1"], CLIENT),
        (["ledger", "list"], CLIENT),
        (["violation", "queue"], CLIENT),
    ],
)
def test_start_loads_only_needed_packages(arguments: list[str], allowed: set[str], tmp_path: Path) -> None:
    """SQLAlchemy, numpy and cryptography cost a second; a server's client needs none."""
    environment = bare_shell(tmp_path).environment
    command = [sys.executable, "-c", LISTED, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    loaded = set(done.stderr.rpartition("loaded: ")[2].split())
    assert "service.cli.app" in loaded
    assert loaded & HEAVY <= allowed


def test_summaries_are_first_sentences_of_help() -> None:
    """The list of commands is data, so it costs no import."""
    for name, row in COMMANDS.items():
        command: Any = load_command(name)
        assert " ".join(command.help.split()).startswith(row.summary), name
        assert row.summary.endswith("."), name


def test_help_shows_whole_summaries(tmp_path: Path) -> None:
    shell = bare_shell(tmp_path)
    for arguments in ([], ["ledger"]):
        shown, _ = shell(*arguments, "--help")
        assert "..." not in shown.partition("Commands:")[2], arguments
    assert len(command_tree().commands) == len(COMMANDS) + 1


@pytest.mark.long
def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    command = tmp_path / "sellertrust"
    command.write_text(f"#!{sys.executable}\nfrom service.cli import main\n\nmain()\n")
    command.chmod(0o755)
    script = """
eval "$(sellertrust --show-completion)"
function=$(complete -p sellertrust | sed 's/.* -F \\([^ ]*\\).*/\\1/')
complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); "$function" sellertrust; echo "${COMPREPLY[@]}"; }
complete_words sellertrust sc
complete_words sellertrust ledger ap
complete_words sellertrust score --obs
"""
    environment = bare_shell(tmp_path).environment
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["score", "append", "--observe-time"], done.stderr
