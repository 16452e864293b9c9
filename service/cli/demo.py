"""The demo: a marketplace from nothing in half a minute, and the story of five sellers."""

import io
import os
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from scoring.base.errors import ConfigurationWrong, SellertrustError
from sellertrust.client import Client, seller_name
from sellertrust.v1.entry_pb2 import HARM_EXTREME, SOURCE_BRAND, Entry, ViolationReported
from service.api.telemetry.logs import make_log
from service.bootstrap import DEMO_FOLDER, build_server, open_ledger, open_registry, run_server
from service.cli.badge import DEFAULT_ADDRESS as BADGES
from service.cli.common import ROOT
from service.cli.demo_market import write_files
from service.cli.demo_story import Story, tell
from service.cli.imports import mapping_of_file
from service.cli.models import compare_plainly
from service.cli.output import say, write
from service.cli.train import finish_job, make_job
from service.cli.training_data import study_of
from service.demo_cast import ACCUSED, GOOD, MARKETPLACE, NOW, OFFENDER, OTHER
from service.garbage_collection import freeze_loaded_objects
from service.ingest.file_import import import_files
from service.ingest.outcomes import write_outcomes
from service.ledger.clock.demo_clock import MARKER
from service.ledger.database.one_writer import WriterLock
from service.ledger.store import Ledger
from service.policy.policy_file import load_policy
from service.setting_forms import PREFIX
from service.settings import Settings, load

DESK = "127.0.0.1:8081"
SELLERS = 5_000
STUDIES = ROOT / "training" / "studies"
AUTHORITIES = ROOT / "service" / "ingest" / "authorities"
OUTCOMES = "customs.outcomes.csv"


def run() -> None:
    """Make a marketplace in the folder `demo` of the data folder, and tell the story.

    Renames a folder with an earlier demo. Raises ConfigurationWrong for a folder with other files.
    """
    folder = _folder_of_demo()
    make_room(folder)
    settings, files = load_settings_of(folder), folder / "files"
    write(f"A market of {SELLERS:,} sellers and two years, in which it is {NOW:%-d %B %Y}. This takes half a minute.\n")
    began = time.monotonic()
    write_files(SELLERS, files)
    with open_ledger(settings, create=True, serving=True) as ledger:
        freeze_loaded_objects()
        appended = import_history(ledger, files)
        write(f"  ledger  {appended:,} entries from six files, no row rejected\n")
        _train_model(settings)
        run_story(settings, ledger)
    say(f"\n{time.monotonic() - began:.0f} s")
    say(f"Go on: {_find_command_name()} demo --serve")


def import_history(ledger: Ledger, files: Path) -> int:
    """Import the files of `write_files` by the demo's mappings; return the number of entries appended."""
    return sum(
        _import_mapping(ledger, folder, name, files)
        for folder, name in ((STUDIES, "marketplace"), (AUTHORITIES, "sellers"))
    )


def run_story(settings: Settings, ledger: Ledger) -> Story:
    """Serve the ledger in this process while the story runs, and return the story."""
    folder = settings.data_dir
    with _serve_in_process(settings, ledger) as client:
        story = tell(client, lambda name: _import_mapping(ledger, AUTHORITIES, name, folder / "files"))
        write_outcomes(
            ledger, mapping_of_file(AUTHORITIES / "customs.mapping.toml", MARKETPLACE), folder / "files", folder
        )
        story.tell(f"{OUTCOMES} goes back to customs: each report of its file, with what became of it.")
        return story


def serve() -> None:
    """Serve the demo's market and its page of badges until Ctrl-C, and print three calls to copy.

    Runs the demo first if there is no data. Of the environment, only SELLERTRUST_DATA_DIR and SELLERTRUST_ADDRESS count.
    """
    folder = _folder_of_demo()
    if not (folder / OUTCOMES).exists():
        run()
    settings = load_settings_of(folder, ADDRESS=load().address, LOG_LEVEL="error")
    with ExitStack() as stack:
        greet = lambda server: _print_calls(server.address, *stack.enter_context(_serve_web(server.address, folder)))  # noqa: E731
        run_server(settings, greet)


def _print_calls(address: str, badges: str, desk: str) -> None:
    write(
        f"Serving the demo's market on {address}; it is {NOW:%-d %B %Y} in it. Ctrl-C ends it.\n"
        f"A shop with its badges, for a browser: http://{badges}/demo\n"
        f"A seller's own page: http://{badges}/my/{MARKETPLACE}/{OFFENDER.seller}\n"
        f"The public report: http://{badges}/report/{MARKETPLACE}/{NOW:%Y}.html\n"
        f"The desk of the marketplace's staff: {desk}\n"
        "In another terminal:\n"
    )
    target = "" if address == Settings().target else f"{PREFIX}TARGET={address} "
    command = "./dev sellertrust" if _find_command_name() == "./dev" else _find_command_name()
    for call in (
        f"score {GOOD.seller} {OFFENDER.seller}",
        f"score {OFFENDER.seller} --explain",
        f"violation list --seller {ACCUSED.seller}",
    ):
        write(f"  {target}{command} {call} --marketplace {MARKETPLACE}\n")
    write(
        "The page from which every score can be added up by hand:\n"
        f"  {command} model show champion --card --server {address}\n"
    )
    sys.stdout.flush()


@contextmanager
def _serve_web(server_address: str, folder: Path) -> Iterator[tuple[str, str]]:
    from service.web.desk.app import DeskOptions
    from service.web.desk.staff import CodeSignIn
    from service.web.public.evidence import EvidenceFolder
    from service.web.public.seller import SellerPages
    from service.web.server import BadgeServer, Options

    with Client(server_address) as client:
        bring_evidence(client, folder / "evidence")
        sellers = SellerPages(client, None, EvidenceFolder(folder / "evidence"))
        sign_in = CodeSignIn(client)
        desk = DeskOptions(DESK, sign_in, MARKETPLACE, folder / "desk.db", evidence=str(folder / "evidence"))
        try:
            web = BadgeServer(client, Options(BADGES, MARKETPLACE), say, desk, sellers)
        except ConfigurationWrong:
            desk = desk._replace(address="127.0.0.1:0")
            web = BadgeServer(client, Options("127.0.0.1:0", MARKETPLACE), say, desk, sellers)
        thread = threading.Thread(target=web.run, name="web")
        thread.start()
        try:
            yield web.address, desk.link(web.desk_address)
        finally:
            web.stop()
            thread.join()


def bring_evidence(client: Client, folder: Path) -> None:
    """Report three listings with pictures, for the desk's queue; once."""
    from service.web.pages import GOODS

    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, member in enumerate((OFFENDER, ACCUSED, OTHER)):
        drawing = GOODS[member.seller]["drawing"]
        picture = (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 660 290" font-family="sans-serif" font-size="18">'
            '<rect width="660" height="290" fill="#eef0ed"/><text x="20" y="30">Listing</text>'
            f'<text x="350" y="30">Reference</text><svg x="0" y="40" width="320" height="240">{drawing}</svg>'
            f'<svg x="340" y="40" width="320" height="240"><g opacity=".75">{drawing}</g></svg></svg>'
        )
        file = folder / f"demo-{member.seller}.svg"
        file.write_text(picture, encoding="utf-8")
        entry = Entry(entry_id=f"demo-report-{number}", seller=seller_name(MARKETPLACE, member.seller))
        entry.occur_time.FromDatetime(NOW - timedelta(days=2 + number))
        entry.violation.CopyFrom(
            ViolationReported(
                violation_type="unsafe_product",
                harm=HARM_EXTREME,
                source=SOURCE_BRAND,
                notifier="brand-of-the-demo",
                listing=f"listing-{member.seller}",
                brand="Fernhill",
                right="EU-018-2231",
                evidence_uri=str(file),
                evidence_sha256=sha256(picture.encode()).hexdigest(),
            )
        )
        entries.append(entry)
    client.append_entries(MARKETPLACE, entries)


def _train_model(settings: Settings) -> None:
    from training.pipeline.run import run as run_training

    job = make_job(settings, study_of(STUDIES / "marketplace.toml"), None, _silent)
    trained = run_training(job, _silent)
    row = finish_job(open_registry(settings), job, trained, publish=True)
    if row["alias"] != "champion":
        failed = ", ".join(row["failed_hard"] + row["failed_advisory"])
        raise SellertrustError(f"the demo failed: the model did not pass its gates ({failed})")
    passed = len(trained.gates["gates"])
    write(f"  model   trained, certified monotone, champion: all {passed} gates passed\n")
    for sentence in compare_plainly(row):
        write(textwrap.fill(sentence, 110, initial_indent="          ", subsequent_indent="          ") + "\n")


def _silent(_step: str, _done: int, _total: int) -> None:
    """Show no progress."""


def _import_mapping(ledger: Ledger, mappings: Path, name: str, data: Path) -> int:
    mapping = mapping_of_file(mappings / f"{name}.mapping.toml", MARKETPLACE)
    report = import_files(ledger, mapping, data, _silent)
    if report.rejects:
        first = report.rejects[0][2]
        raise SellertrustError(
            f"the demo failed: {len(report.rejects)} rows of {name} were rejected, the first since {first}"
        )
    return report.appended


@contextmanager
def _serve_in_process(settings: Settings, ledger: Ledger) -> Iterator[Client]:
    log = make_log("json", "error", io.StringIO())
    server = build_server(settings, ledger, load_policy(settings), open_registry(settings), log=log)
    with server, Client(server.address) as client:
        yield client


def _folder_of_demo() -> Path:
    return (load().data_dir / DEMO_FOLDER).absolute()


def load_settings_of(folder: Path, **options: str) -> Settings:
    """Return a demo's settings, `options` included, without the environment."""
    values = {"DATA_DIR": str(folder), "ADDRESS": "127.0.0.1:0", "METRICS_ADDRESS": ""}
    return load({f"{PREFIX}{name}": value for name, value in (values | options).items()})


def make_room(folder: Path) -> None:
    """Make a demo's folder; rename an earlier demo there.

    Raises ConfigurationWrong if the folder holds something else, or a server uses the earlier ledger.
    """
    if (folder / MARKER).exists():
        lock = WriterLock(folder / "ledger.db")
        lock.claim()  # otherwise a server would go on writing to the renamed ledger
        lock.release()
        number = next(n for n in range(1, 10_000) if not folder.with_name(f"{folder.name}-{n}").exists())
        folder.rename(folder.with_name(f"{folder.name}-{number}"))
        say(f"The earlier demo is kept as {folder.name}-{number}; delete it when you like.")
    elif folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConfigurationWrong(
            f"{folder} holds something else; set SELLERTRUST_DATA_DIR to another folder, in which the demo makes its own"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text(f"{NOW:%Y-%m-%dT%H:%M:%SZ}\n")


def _find_command_name() -> str:
    return "./dev" if "DEV_VENV" in os.environ else "sellertrust"
