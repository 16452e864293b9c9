"""`sellertrust ledger import`, `unmatched` and `examples`: somebody's own files, where the database is."""

import shutil
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from scoring.errors import ConfigurationWrong, invalid
from scoring.mapping import ForeignMapping, mapping_of
from service.cli.common import Marketplace, open_ledger
from service.cli.output import Exit, Format, Output, emit, say
from service.progress import StepProgress
from service.settings import load


def register(app: typer.Typer) -> None:
    """Adds the commands to `sellertrust ledger`."""
    app.command("import")(import_command)
    app.command("unmatched")(unmatched_command)
    app.command("examples")(examples_command)


def import_command(
    mapping: Annotated[Path, typer.Argument(metavar="MAPPING", help="TOML file that says how rows become entries.")],
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the files; default: the mapping's.")] = None,
    rejects: Annotated[
        Path | None, typer.Option("--rejects", help="Where rejected rows go; default: MAPPING.rejects.csv here.")
    ] = None,
    unmatched: Annotated[
        Path | None,
        typer.Option("--unmatched", help="Queue of rows that found no seller; default: MAPPING.unmatched.csv here."),
    ] = None,
    matched: Annotated[
        Path | None,
        typer.Option("--matched", metavar="FILE", help="Import only the rows of this queue that a person has matched."),
    ] = None,
    marketplace: Marketplace = None,
) -> None:
    """Import somebody's own files (CSV, CSV.gz) through a mapping. Safe to rerun: nothing is added twice.

    Rows of an authority that find no seller wait in a queue. Fill in seller, decided_by and, if it was by an identifier
    that you verified, verified; then import the queue by --matched.
    """
    from service.heap import settle
    from service.importing import write_rejects
    from service.unmatched import import_and_queue, import_matched

    settle()
    compiled = mapping_of_file(mapping, marketplace)
    queue = matched or unmatched or unmatched_file(mapping)
    with open_ledger(load(), create=True) as ledger, StepProgress() as progress:
        if matched:
            report = import_matched(ledger, compiled, queue)
        else:
            report = import_and_queue(ledger, compiled, data or mapping.parent, queue, progress)
    say(
        f"{report.appended:,} entries appended to {compiled.marketplace}, {report.already_present:,} were there already"
    )
    if report.unmatched:
        say(f"{len(report.unmatched):,} rows found no seller and wait for a person: {queue}")
    if report.rejects:
        path = rejects or Path(f"{mapping.name.removesuffix('.toml')}.rejects.csv")
        write_rejects(report, path)
        say(f"error: {len(report.rejects):,} rows were rejected; mend them and import again: {path}")
        raise typer.Exit(Exit.REFUSED)


def unmatched_command(
    mapping: Annotated[Path, typer.Argument(metavar="MAPPING", help="The mapping that was imported.")],
    unmatched: Annotated[
        Path | None, typer.Option("--unmatched", help="The queue; default: MAPPING.unmatched.csv here.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """List the rows that found no seller and wait for a person."""
    from service.unmatched import read_queue

    rows = read_queue(unmatched or unmatched_file(mapping), mapping_of_file(mapping))
    shown = ("file", "line", "reason", "candidates", "seller", "verified", "decided_by")
    emit([{name: getattr(row, name) for name in shown} for row in rows], output)


def examples_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; made if absent.")] = Path("authorities"),
) -> None:
    """Copy out worked examples of authorities: mappings and sample files of customs, a patent office, and inspections."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted((Path(__file__).parents[1] / "authorities").iterdir()):
            if file.suffix in (".toml", ".csv"):
                if (folder / file.name).exists():
                    raise invalid("FOLDER", f"{folder / file.name} exists already; name another folder")
                shutil.copyfile(file, folder / file.name)
    except OSError as error:
        raise invalid("FOLDER", f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from None
    say(f"the examples are in {folder}; begin with: sellertrust ledger import {folder / 'sellers.mapping.toml'}")


def unmatched_file(mapping: Path) -> Path:
    """Where the rows of a mapping wait that found no seller: in the current folder, like the rejects."""
    return Path(f"{mapping.name.removesuffix('.toml')}.unmatched.csv")


def mapping_of_file(path: Path, marketplace: str | None = None) -> ForeignMapping:
    """The mapping in a TOML file, for another marketplace if told so. ConfigurationWrong says what is wrong with it."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ConfigurationWrong(f"there is no file {path} that can be read") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationWrong(f"{path} is not TOML: {error}") from None
    return mapping_of(content | ({"marketplace": marketplace} if marketplace else {}))
