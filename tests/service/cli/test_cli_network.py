"""Identifiers become keyed digests on the operator's machine, before anything is sent."""

from pathlib import Path

from tests.helpers.shells import shell_of


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
