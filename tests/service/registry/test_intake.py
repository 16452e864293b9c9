"""The throwaway process: whatever a model does to it, the server that asked goes on."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from scoring.errors import ArtifactRefused
from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.registry import intake
from service.registry.registry import Registry
from tests import tried_models
from tests.scoring.worlds import artifact, policy
from tests.service.registry.models import parts_of, publish


@pytest.fixture(autouse=True)
def _nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try is a process: that is what these tests are about."""
    monkeypatch.setattr(intake, "try_out", tried_models.real)


def replaced(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """The process runs another program, as a model text that gets the better of LightGBM would make it."""
    monkeypatch.setattr(intake, "_COMMAND", (intake.sys.executable, "-c", program))


def test_a_sound_model_is_loaded_and_its_digest_told() -> None:
    """By a fresh interpreter."""
    assert intake.try_out(artifact().parts) == artifact().digest


def test_a_model_that_is_none_is_refused_with_the_reason() -> None:
    """The words are those of the check that failed."""
    with pytest.raises(ArtifactRefused, match=r"model\.txt of the artifact was altered"):
        intake.try_out({**parts_of(0), "model.txt": b"tree\n"})


def children() -> set[int]:
    """The processes that this one has started and not yet waited for."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid, _, rest = status.read_text().partition(" (")
            if int(rest.rpartition(") ")[2].split()[1]) == os.getpid():
                found.add(int(pid))
    return found


@pytest.mark.parametrize(
    ("program", "message", "seconds"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"ended by signal 11 \(SIGSEGV\)", 60),
        ("import os; os._exit(9)", "ended with code 9", 60),
        ("pass", "ended with code 0", 60),
        ("import time; time.sleep(60)", "not loaded within 0.5 s", 0.5),
        ("while True: pass", "not loaded within 0.5 s", 0.5),
        ("print('f' * 64)", "is that of another digest", 60),
    ],
)
def test_a_process_that_dies_hangs_or_lies_is_a_refusal(
    program: str, message: str, seconds: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And it is gone afterwards."""
    digest = publish(Registry(tmp_path))
    replaced(monkeypatch, program)
    monkeypatch.setattr(intake.try_out, "__kwdefaults__", {"seconds": seconds, "memory_bytes": 1 << 30})
    before = children()
    with pytest.raises(ArtifactRefused, match=message):
        Registry(tmp_path).admit(digest)
    assert children() <= before  # the suite's own databases and servers may end meanwhile


def test_a_model_that_kills_its_process_is_not_published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is tried before whoever publishes loads it, and leaves no trace."""
    registry = Registry(tmp_path)
    replaced(monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr("service.registry.registry.open_verified", None)  # whoever publishes does not come to it
    with pytest.raises(ArtifactRefused, match="SIGSEGV"):
        publish(registry)
    assert (list(registry.digests()), registry.history()) == ([], [])


def test_memory_has_a_limit() -> None:
    """64 MB do not hold LightGBM and a model: the process fails, whichever part of it is first to."""
    with pytest.raises(ArtifactRefused, match=r"needs more than 64 MB|ended (with|by)"):
        intake.try_out(artifact().parts, memory_bytes=64 << 20)


def test_the_process_knows_nothing_of_the_servers_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment is named one by one."""
    monkeypatch.setenv("SELLERTRUST_DATABASE_URL", "postgresql://u:hunter2@h/d")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    replaced(monkeypatch, "import os; print(sorted(os.environ))")
    told = intake.try_out({})
    assert "OMP_NUM_THREADS" in told
    assert "SELLERTRUST" not in told
    assert "AWS" not in told


def test_a_server_whose_process_dies_keeps_the_old_model_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal is retried more and more rarely, and forgotten once it works."""
    registry = Registry(tmp_path / "registry")
    first, second = publish(registry), publish(registry, 1)
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", create=True) as ledger:
        scorer = build_scorer(ledger, policy(), Registry(tmp_path / "registry"))
        assert scorer.champion.digest == first
        registry.promote(second, actor="a", reason="r", now=1)
        stop, reports = threading.Event(), []
        with monkeypatch.context() as patched:
            replaced(patched, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
            follower = threading.Thread(target=scorer.champion.follow, args=(stop, reports.append, 0.01))
            follower.start()
            deadline = time.monotonic() + 60
            while not reports and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(0.5)  # in which it looks fifty times, and says it once
            assert scorer.champion.digest == first
            assert len(reports) == 1
            assert "SIGSEGV" in reports[0]
        deadline = time.monotonic() + 60
        while scorer.champion.digest != second and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        follower.join()
        assert (scorer.champion.digest, len(reports)) == (second, 1)


def test_a_rollback_needs_no_process_and_is_taken_over_from_what_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a server that served the model before, and by one that has only just started."""
    registry = Registry(tmp_path / "registry")
    first, second = publish(registry), publish(registry, 1)
    registry.promote(second, actor="a", reason="r", now=1)
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", create=True) as ledger:
        scorer = build_scorer(ledger, policy(), Registry(tmp_path / "registry"))
        assert scorer.champion.digest == second
        stop, reports = threading.Event(), []
        follower = threading.Thread(target=scorer.champion.follow, args=(stop, reports.append))
        follower.start()
        deadline = time.monotonic() + 60
        while scorer.champion._kept is None and time.monotonic() < deadline:  # it warms up after its start
            time.sleep(0.05)
        held = {scorer.champion._artifact, scorer.champion._kept}
        replaced(monkeypatch, "raise SystemExit(1)")
        for expected in (first, second, first):
            began = time.monotonic()
            assert registry.rollback(actor="a", reason="r", now=2) == expected
            while scorer.champion.digest != expected and time.monotonic() < began + 60:
                time.sleep(0.005)
            assert (scorer.champion.digest, reports) == (expected, [])
            assert {scorer.champion._artifact, scorer.champion._kept} == held  # nothing is loaded anew
        stop.set()
        follower.join()
