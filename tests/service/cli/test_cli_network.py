"""Identifiers become keyed digests on the operator's machine, before anything is sent."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.helpers.builders import MARKET, link
from tests.helpers.processes import COMMAND, run_from_nothing
from tests.helpers.servers import running_server
from tests.helpers.shells import Shell, shell_of


def digests(folder: Path, kind: str, text: str, marketplace: str = "acme") -> list[str]:
    return shell_of(folder)("network", "digest", kind, "-m", marketplace, stdin=text)[0].split()


def test_a_digest_is_keyed_by_kind_and_marketplace(tmp_path: Path) -> None:
    plain = "DE89 3704 0044 0532 0130 00\nde89-370400440532013000\n"
    first, again = digests(tmp_path, "bank_account", plain)
    assert first == again
    assert len(first) == 64
    others = [
        *digests(tmp_path, "payout", "DE89370400440532013000"),
        *digests(tmp_path, "bank_account", "DE89370400440532013000", "other"),
        *digests(tmp_path / "elsewhere", "bank_account", "DE89370400440532013000"),
    ]
    assert len({first, *others}) == 4
    assert "shoe" in shell_of(tmp_path).error(2, "network", "digest", "shoe", stdin="1")


@pytest.mark.long
def test_a_digest_is_of_utf8_in_any_locale(tmp_path: Path) -> None:
    environment = shell_of(tmp_path).environment
    done = [
        subprocess.run(
            [*COMMAND, "network", "digest", "owner"],
            input=text,
            env=environment | {"PYTHONIOENCODING": locale},
            capture_output=True,
            check=False,
        )
        for locale, text in (("utf-8", "café".encode()), ("latin-1", "café".encode()), ("utf-8", b"caf\xe9"))
    ]
    assert done[0].stdout == done[1].stdout != b""
    assert (done[2].returncode, b"must be text in UTF-8" in done[2].stderr) == (2, True)


@pytest.mark.long
def test_a_picture_needs_no_extra(tmp_path: Path) -> None:
    (tmp_path / "jinja2.py").write_text("raise ModuleNotFoundError(name='jinja2')\n")
    with running_server(tmp_path) as running:
        environment = shell_of(tmp_path, target=running.address).environment
        environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])
        shell = Shell(environment, run_from_nothing)
        running.ledger.append(MARKET, [link("l1", "s-1", "iban"), link("l2", "s-2", "iban")])
        assert "rings" not in shell.json("network", "show")
        shell("network", "show", "s-2", "--picture", tmp_path / "links.svg")
    assert "s-1</text>" in (tmp_path / "links.svg").read_text()
