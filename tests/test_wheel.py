"""The wheel beside distributions that have packages of the same names as our rooms.

Its dependencies come from the environment of the tests.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest

from hatch_build import ROOMS, ROOT, NameNotMapped, with_long_imports
from service.scores.book.code_digests import contract_digest, core_digest
from tests.helpers.databases import database
from tests.helpers.filled import prepare
from tests.helpers.servers import MARKET
from tests.helpers.shells import SECONDS, serving, shell_of

NOTEBOOK = """
import scoring, sellertrust, service, training
from scoring import NAME

from sellertrust.client import Client
from sellertrust.scoring.base.time import parse_day
from sellertrust.service.scores.book.code_digests import contract_digest, core_digest
from sellertrust.training.market.simulate import simulate

assert {NAME, service.NAME, training.NAME} == {"another distribution's"}
assert parse_day.__module__ == "sellertrust.scoring.base.time"
with sellertrust.local() as client:
    assert client.get_model().serving_digest
print(core_digest(), contract_digest())
"""


FIRST_SCORE = """
import sellertrust
from sellertrust.client import Entry, seller_name

with sellertrust.local() as trust:
    orders = {"day": "2026-01-31", "settled_orders": 900}
    trust.append_entries("m", [Entry(entry_id="1", seller=seller_name("m", "s"), exposure=orders)])
    print(trust.get_trust_score("m", "s").message.stamp.model_name)
"""


class Installed:
    def __init__(self, folder: Path) -> None:
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=SECONDS)
        [self.wheel] = folder.glob("*.whl")
        venv.create(folder / "venv")
        self.python = folder / "venv/bin/python"
        install = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            self.python,
            "install",
            "--no-deps",
            "--no-index",
            self.wheel,
        ]
        subprocess.run(install, check=True, capture_output=True, timeout=SECONDS)
        [site] = (folder / "venv/lib").glob("python*/site-packages")
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        for room in ROOMS:
            (site / room).mkdir()
            (site / room / "__init__.py").write_text('NAME = "another distribution\'s"\n')
        self.folder = folder

    def run(self, *command: object, **settings: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SELLERTRUST_", "PYTHON"))}
        done = subprocess.run(
            [self.python.with_name(str(command[0])), *map(str, command[1:])],
            env=kept | settings,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=10 * SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("wheel"))


@pytest.mark.long
def test_the_wheel_installs_nothing_but_sellertrust(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {"sellertrust"}
    tracked = subprocess.run(["git", "ls-files", *ROOMS], cwd=ROOT, check=True, capture_output=True, text=True)
    assert {f"sellertrust/{name}" for name in tracked.stdout.split()} <= names


@pytest.mark.long
def test_a_notebook_imports_it_beside_other_packages(installed: Installed) -> None:
    (installed.folder / "notebook.py").write_text(NOTEBOOK)
    assert installed.run("python", "notebook.py").split() == [core_digest(), contract_digest()]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_installed_command_trains_the_starter_model(installed: Installed) -> None:
    assert "demo " in installed.run("sellertrust", "--help")
    folder = installed.folder / "demo"
    assert "Every field of the answer is what it was before" in installed.run(
        "sellertrust", "demo", SELLERTRUST_DATA_DIR=str(installed.folder)
    )
    [trained] = (folder / "registry/models").iterdir()
    starter = ROOT / "service/registry/starter_model"
    message = f"the starter model is not the demo's: copy what {starter} holds from the demo's registry"
    assert (trained / "decay.json").read_bytes() == (starter / "decay.json").read_bytes(), message
    # BLAS adds up in another order on another processor, so that a leaf may split otherwise: 3 points were seen.
    here, shipped = (json.loads((model / "golden.json").read_bytes()) for model in (trained, starter))
    assert here["inputs"] == shipped["inputs"], message
    differences = [abs(one - other) for one, other in zip(here["points"], shipped["points"], strict=True)]
    assert max(differences) <= 5, message
    rows = installed.run("sellertrust", "rescore", "--processes", "2", "-o", "json", SELLERTRUST_DATA_DIR=str(folder))
    assert json.loads(rows)


@pytest.mark.long
def test_the_installed_server_answers_on_postgresql(installed: Installed, tmp_path: Path) -> None:
    with database("postgresql", tmp_path) as url:
        prepare(tmp_path, url)
        shell = shell_of(tmp_path, database_url=url)
        del shell.environment["PYTHONPATH"]
        with serving(shell, tmp_path, [installed.folder / "venv/bin/sellertrust"]) as address:
            score = ("sellertrust", "score", "s1", "--marketplace", MARKET, "--output", "json")
            assert json.loads(installed.run(*score, SELLERTRUST_TARGET=address))[0]["points"]


@pytest.mark.long
def test_an_empty_environment_gets_a_score(installed: Installed, tmp_path: Path) -> None:
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        pytest.skip("no uv: .ci/run installs it")
    folder = tmp_path / "venv"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SELLERTRUST_", "PYTHON"))}
    for command in (
        ("venv", "--quiet", "--python", sys.executable, folder),
        ("pip", "install", "--quiet", "--python", folder, "-c", ROOT / "requirements/dev.lock", installed.wheel),
    ):
        subprocess.run([uv, *command], env=kept, check=True, capture_output=True, timeout=250)
    [site] = folder.glob("lib/python*/site-packages")
    extras = ("polars", "psycopg", "starlette", "opentelemetry", "confluent_kafka", "jinja2", "pyspark")
    assert [name for name in extras if (site / name).exists()] == []
    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) < 320_000_000
    first = subprocess.run([folder / "bin/python", "-c", FIRST_SCORE], env=kept, check=True, capture_output=True)
    assert b"starter" in first.stdout
    settings = kept | {"SELLERTRUST_DATABASE_URL": "postgresql://x@localhost/x", "SELLERTRUST_DATA_DIR": str(tmp_path)}
    command = [folder / "bin/sellertrust", "serve"]
    refused = subprocess.run(command, env=settings, check=False, capture_output=True, text=True, timeout=SECONDS)
    assert refused.returncode == 6
    assert "pip install 'sellertrust[postgres]'" in refused.stderr


@pytest.mark.long
@pytest.mark.parametrize("project", ["", "proto"])
def test_packages_are_built_to_the_same_bytes(project: str, tmp_path: Path) -> None:
    built = []
    for number in range(2):
        folder = tmp_path / str(number)
        build(ROOT / project, folder, "wheel", "sdist")
        built.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert len(built[0]) == 2
    assert built[0] == built[1]
    [sdist] = (tmp_path / "0").glob("*.tar.gz")
    shutil.unpack_archive(sdist, tmp_path / "unpacked", filter="data")
    [source] = (tmp_path / "unpacked").iterdir()
    build(source, tmp_path / "again", "wheel")
    [wheel] = (tmp_path / "again").iterdir()
    assert wheel.read_bytes() == built[0][wheel.name]


def build(source: Path, folder: Path, *targets: str) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-d", folder, *[f"-t{target}" for target in targets]]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=SECONDS)


def test_the_notice_names_every_licence_that_is_not_permissive() -> None:
    locks = [(ROOT / f"requirements/{name}.lock").read_text() for name in ("training", "spark")]
    names = {name for lock in locks for name in re.findall(r"^([a-z0-9-]+)==", lock, re.M)}
    stated = set()
    for name in names:
        with suppress(PackageNotFoundError):  # of another system
            about = metadata(name)
            kinds = [line for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
            text = " ".join([about.get("License-Expression") or (about.get("License") or "")[:60], *kinds])
            if not re.search(r"Apache|BSD|MIT|ISC|PSF", text):
                stated.add(f"{name}: {text}")
    notice = (ROOT / "NOTICE").read_text()
    assert {one for one in stated if one not in notice} == set()


@pytest.mark.parametrize(
    ("source", "mapped"),
    [
        ("from scoring.base import time\n", "from sellertrust.scoring.base import time\n"),
        ("def f():\n    from service import cli\n", "def f():\n    from sellertrust.service import cli\n"),
        ("import training\n", "from sellertrust import training\n"),
        ("import scoringx, os\n", "import scoringx, os\n"),
        ('"""Imports `scoring.base.time`."""\n', '"""Imports `scoring.base.time`."""\n'),
        ('STUDY = "training.toml"\n', 'STUDY = "training.toml"\n'),
    ],
)
def test_imports_of_rooms_are_mapped_by_the_build(source: str, mapped: str) -> None:
    assert with_long_imports(source, "x.py") == mapped


def test_every_source_of_the_rooms_is_mapped() -> None:
    """Quick, so that a text that names a module fails before a release does."""
    for file in (file for room in ROOMS for file in (ROOT / room).rglob("*.py")):
        with_long_imports(file.read_text(), str(file))


@pytest.mark.parametrize(
    "statement",
    [
        "import scoring.base",
        "import os, scoring",
        "import scoring as core",
        'import_module("service.cli.train")',
        'import_module(f"service.cli.{name}")',
        'COMMAND = "from service.cli import main; main()"',
        'COMMAND = ("-c", "import service; service.main()")',
    ],
)
def test_the_build_refuses_what_it_cannot_map(statement: str) -> None:
    with pytest.raises(NameNotMapped, match=r"x\.py, line 2: "):
        with_long_imports(f"\n{statement}\n", "x.py")
