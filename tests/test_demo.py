import csv
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from scoring.base.errors import ConfigurationWrong
from service.bootstrap import open_ledger, open_registry
from service.cli import demo
from service.cli.demo_market import write_files
from service.cli.demo_story import Story
from service.demo_cast import ACCUSED, CAST, GOOD, MARKETPLACE, NEWCOMER, OFFENDER, OTHER
from service.ledger.clock.demo_clock import MARKER
from service.ledger.store import Ledger
from service.policy.policy_file import SHIPPED_POLICY
from tests.helpers.builders import identity
from tests.helpers.models import publish

ROOT = Path(__file__).parents[1]
SECONDS = 300


def start(*arguments: object, **settings: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SELLERTRUST_") and k != "DEV_VENV"}
    return subprocess.Popen(
        [sys.executable, "-c", "from service.cli import main; main()", *map(str, arguments)],
        env=environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "proto")])} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    with process:
        stdout, stderr = process.communicate(timeout=SECONDS)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return process.returncode, stdout, stderr
    pytest.fail("the demo left a process behind")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Story]:
    """Return the folder and story of a market of one simulated seller and the cast, with an existing model.

    The cut-offs are low for this model's points: badges fall by the policy's standing.
    """
    place, policy = tmp_path_factory.mktemp("data") / "demo", tmp_path_factory.mktemp("policy") / "low.toml"
    cut_offs = "[cut_offs]\nstandard = 10\ntrusted = 20\nexemplary = 999\n"
    policy.write_text(re.sub(r"\[cut_offs\]\n(?:\w+ = \d+\n)+", cut_offs, SHIPPED_POLICY.read_text()))
    demo.make_room(place)
    settings = demo.load_settings_of(place, POLICY=str(policy))
    write_files(1, place / "files")
    publish(open_registry(settings))
    with open_ledger(settings, create=True) as ledger:
        demo.import_history(ledger, place / "files")
        return place, demo.run_story(settings, ledger)


def test_the_story_ends_with_what_was_right(told: tuple[Path, Story]) -> None:
    _, story = told
    before, after = ({m: story.score(step, m) for m in CAST} for step in ("before", "appeal"))
    for member in (OFFENDER, OTHER):
        assert after[member].points < before[member].points
        assert (before[member].badge, after[member].badge) == ("trusted", "none")
    recalled = story.score("recall", ACCUSED)
    assert recalled.points < before[ACCUSED].points
    assert recalled.badge == "none"
    for member in (ACCUSED, GOOD, NEWCOMER):
        assert (after[member].badge, after[member].points) == (before[member].badge, before[member].points)
    assert not before[NEWCOMER].HasField("points")
    seized, recalled_other = story.score("seizure", OFFENDER), story.score("recall", OTHER)
    assert seized.points < before[OFFENDER].points
    assert (seized.badge, recalled_other.badge) == ("none", "none")
    said = re.search(r"would have been paid out on (\S+)\. Now it is held until ([0-9-]+)", story.lines[2])
    assert said is not None
    assert said[1] < said[2]
    assert len(story.lines) == 6
    assert f"terms of {OFFENDER.seller}" in story.lines[2]


def test_the_outcomes_for_customs_are_a_file(told: tuple[Path, Story]) -> None:
    with (told[0] / demo.OUTCOMES).open() as file:
        rows = {row["licence"]: row["sellertrust_status"] for row in csv.DictReader(file)}
    assert rows == {OFFENDER.licence_number: "confirmed"}


@pytest.mark.long
def test_the_demo_ends_by_itself_and_serves_its_data(tmp_path: Path) -> None:
    code, stdout, stderr = ended(start("demo", SELLERTRUST_DATA_DIR=str(tmp_path)))
    assert code == 0, stderr
    assert "champion: all" in stdout
    assert "Among sellers of like sales the model ranks a bad seller below a good one in " in stdout
    assert "Every field of the answer is what it was before" in stdout
    told = r"^(?:\d  |   )(.+): badge (\w+) -> (\w+), points (\d+) -> (\d+)\.$"
    changes = re.findall(told, stdout, re.MULTILINE)
    falls = [(name, badge != then, int(after) < int(before)) for name, badge, then, before, after in changes]
    hit = [(member.shop_name, True, True) for member in (OFFENDER, ACCUSED, OTHER)]
    assert falls == [*hit, (ACCUSED.shop_name, True, False)]
    assert re.search(r"^\d+ s$", stderr, re.MULTILINE)
    assert stderr.endswith("Go on: sellertrust demo --serve\n")

    with start("demo", "--serve", SELLERTRUST_DATA_DIR=str(tmp_path), SELLERTRUST_ADDRESS="127.0.0.1:0") as serving:
        assert serving.stdout is not None
        lines = [next(serving.stdout) for _ in range(11)]
        url = lines[1].split()[-1]
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert GOOD.shop_name in answer.read().decode()
        with urllib.request.urlopen(lines[2].split()[-1], timeout=30) as answer:
            assert "sign-out" not in answer.read().decode()  # nobody signed in
        with urllib.request.urlopen(lines[4].split()[-1], timeout=30) as answer:
            assert "Sign in to the trust desk" in answer.read().decode()
        card = shlex.split(lines[10])[1:]
        code, answer_text, problem = ended(start(*card))
        assert (code, "points of one row of each" in answer_text) == (0, True), problem
        said = ""
        for line in lines[6:9]:
            target, _, *call = shlex.split(line)
            code, answer_text, problem = ended(start(*call, SELLERTRUST_TARGET=target.partition("=")[2]))
            assert code == 0, problem
            said += answer_text
        assert all(name in said for name in (GOOD.seller, OFFENDER.seller, "COUNTERFEIT_CONFIRMED", "overturned"))
        cases, until = ["", "case", "list", "--marketplace", MARKETPLACE], time.monotonic() + SECONDS
        while "caution" not in cases[0]:  # nobody has looked at the desk
            assert time.monotonic() < until
            code, cases[0], problem = ended(start(*cases[1:], SELLERTRUST_TARGET=target.partition("=")[2]))
            assert code == 0, problem
        serving.send_signal(signal.SIGINT)
        assert ended(serving)[0] == 0


def test_an_earlier_demo_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "demo"
    for number in range(3):
        demo.make_room(place)
        assert {path.name for path in place.iterdir()} == {MARKER}
        (place / "ledger.db").write_text(f"of run {number}")
    kept = {path.name: (path / "ledger.db").read_text() for path in tmp_path.iterdir()}
    assert kept == {"demo-1": "of run 0", "demo-2": "of run 1", "demo": "of run 2"}
    assert "The earlier demo is kept as demo-2" in capsys.readouterr().err


@pytest.mark.long
def test_a_demo_that_is_served_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / MARKER).touch()
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", create=True, serving=True) as ledger:
        ledger.append("demo", [identity()])
        with pytest.raises(ConfigurationWrong, match="another server has"):
            demo.make_room(tmp_path)
        assert ledger.last()[0] == 1
        assert (tmp_path / "ledger.db").exists()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_place_with_something_else_is_left_alone(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "mine"
    if kind == "folder":
        place.mkdir()
        (place / "thesis.txt").write_text("years of work")
    else:
        place.write_text("years of work")
    with pytest.raises(
        ConfigurationWrong, match=f"{place} holds something else; set SELLERTRUST_DATA_DIR to another folder"
    ):
        demo.make_room(place)
    assert (place / "thesis.txt" if kind == "folder" else place).read_text() == "years of work"
