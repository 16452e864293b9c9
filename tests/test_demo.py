"""The demo, as a newcomer runs it: the whole way in one command, and nothing of it left running."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from service.cli import demo
from service.cli.demo import MARKER, comment_on_ranking, wait_for_server
from service.ledger.store import Ledger
from tests.builders import identity

ROOT = Path(__file__).parents[1]
SECONDS = 120
STEPS = ("simulate 600 sellers", "import the files", "train, certify and publish", "serve", "ask over gRPC", "report")


def start(*arguments: object) -> subprocess.Popen[str]:
    """`sellertrust demo` in a session of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SELLERTRUST_")}
    return subprocess.Popen(
        [sys.executable, "-c", "from service.cli import main; main()", "demo", *map(str, arguments)],
        env=environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "proto")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def assert_alone(process: subprocess.Popen[str]) -> None:
    """Nobody is left in the session of a process that has ended; who is, does not stay."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    pytest.fail("the demo left a process behind")


def test_the_demo_shows_a_wrong_decision_and_its_exact_retraction_and_leaves_nothing_running(tmp_path: Path) -> None:
    """Simulated, imported, trained, published, served and asked; the answer after the overturn is the one before."""
    folder = tmp_path / "demo"
    with start("--sellers", 600, "--folder", folder) as process:
        stdout, stderr = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    assert_alone(process)
    assert "every field of the answer but its stamp and freshness is identical to the one before" in stderr
    assert "0 rows rejected" in stderr
    assert "certified monotone, registered as ch" in stderr

    steps = {line.split()[0]: line.split() for line in stdout.splitlines() if line.startswith(("before", "alleged"))}
    for then in ("confirmed", "overturned"):
        steps[then] = next(line.split() for line in stdout.splitlines() if line.startswith(then))
    assert steps["before"][1:] == steps["overturned"][1:]
    points = {then: int(words[2]) for then, words in steps.items()}
    assert points["alleged"] == points["before"] > points["confirmed"]
    assert "COUNTERFEIT_CONFIRMED" in steps["confirmed"]

    told = stdout[stdout.index("step ") :]
    for step in (*STEPS, "in all"):
        assert re.search(rf"^{re.escape(step)}.* [\d.]+$", told, re.MULTILINE), step
    assert f"export SELLERTRUST_DATA_DIR={folder} SELLERTRUST_MARKETPLACE=demo" in stderr
    assert "open http://127.0.0.1:8080/demo" in stderr
    assert "sellertrust badge serve --demo\n" in stderr
    assert {"ledger.db", "registry", "files", "exports"} <= {path.name for path in folder.iterdir()}


def test_a_demo_that_does_not_show_what_it_is_to_show_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as one whose server does not start: no setting of whoever runs it is wrong."""
    (tmp_path / "server.log").write_text("no port is free\n")
    with subprocess.Popen([sys.executable, "-c", ""]) as server:
        server.wait()
        with pytest.raises(typer.Exit) as end:
            wait_for_server(server, tmp_path / "ready")
    assert end.value.exit_code == 1
    assert capsys.readouterr().err == "error: the demo failed: the server did not start:\nno port is free\n\n"


def test_a_demo_whose_server_is_slow_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine its log may still be empty: then that would be all there is to read."""
    (tmp_path / "server.log").write_text("")
    monkeypatch.setattr(demo, "STARTING_SECONDS", 0)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as server:
        with pytest.raises(typer.Exit):
            wait_for_server(server, tmp_path / "ready")
        server.kill()
    assert "did not start within 0 s, on a busy machine perhaps; run the demo again" in capsys.readouterr().err


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05}


@pytest.mark.parametrize(
    ("logistic", "rule", "said"),
    [
        (0.79, 0.80, ""),
        (0.81, 0.79, "here the logistic regression ranks higher, by less than chance explains"),
        (0.79, 0.82, "here the points rule ranks higher, by less than chance explains"),
        (0.79, 0.95, "here the points rule ranks higher, by more than chance explains"),
    ],
)
def test_a_simpler_ranking_that_is_better_is_not_left_without_a_word(logistic: float, rule: float, said: str) -> None:
    row = {"auc": estimate(0.8), "auc_logistic": estimate(logistic), "auc_points_rule": estimate(rule)}
    comment = comment_on_ranking(row)
    assert comment.startswith(said)
    assert bool(comment) == bool(said)


@pytest.mark.long
def test_a_demo_that_is_told_to_stop_takes_its_server_along(tmp_path: Path) -> None:
    """SIGTERM while it serves, as a supervisor would."""
    with start("--sellers", 600, "--folder", tmp_path / "demo") as process:
        assert process.stderr is not None
        assert any(line.startswith("serving on 127.0.0.1:") for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + signal.SIGTERM
    assert_alone(process)


def test_a_demo_beside_a_server_of_the_last_one_is_refused_and_nothing_is_deleted(tmp_path: Path) -> None:
    """Else the server would answer from files that are gone, and its next append would go into the new ledger."""
    (tmp_path / MARKER).touch()
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", create=True, serving=True) as ledger:
        ledger.append("demo", [identity()])
        with start("--sellers", 600, "--folder", tmp_path) as process:
            _, stderr = process.communicate(timeout=SECONDS)
        assert process.returncode == 6
        assert "another server has" in stderr
        assert ledger.last()[0] == 1
        assert (tmp_path / "ledger.db").exists()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_place_that_holds_something_else_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    """The demo empties its folder: somebody's own would be gone."""
    place = tmp_path / "mine"
    if kind == "folder":
        place.mkdir()
        (place / "thesis.txt").write_text("years of work")
    else:
        place.write_text("years of work")
    with start("--folder", place) as process:
        stdout, stderr = process.communicate(timeout=SECONDS)
    assert process.returncode == 6
    assert (stdout, stderr) == ("", f"error: {place} holds something else; give the demo an empty folder by --folder\n")
    assert (place / "thesis.txt" if kind == "folder" else place).read_text() == "years of work"
