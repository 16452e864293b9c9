"""Parts shared by commands.

Slow imports (SQLAlchemy, LightGBM) belong in the commands that need them: `score` then starts in half the time.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scoring.base.errors import invalid
from scoring.entries.field_types import Word, parse_word
from sellertrust.client import Client
from sellertrust.v1.entry_pb2 import Entry
from service.cli.connecting import connect
from service.files import write_whole
from service.settings import load

ROOT = Path(__file__).parents[2]


@contextmanager
def open_client(marketplace: str | None = None, target: str | None = None) -> Iterator[tuple[Client, str]]:
    """Yield a connected client and the marketplace's id.

    By default the settings state both. `target` is HOST:PORT. Raises ConfigurationWrong for unusable credentials.
    """
    settings = load()
    with connect(settings, target) as connection:
        yield connection, marketplace or settings.marketplace


def parse_option(option: str, words: type[Word], text: str) -> Word:
    """Return the member that an option's text names, in any case. Raises InvalidInput that names the option."""
    try:
        return parse_word(words, text)
    except ValueError as error:
        raise invalid(option, str(error)) from None


def find_entries(connection: Client, marketplace: str, seller: str, names: Iterable[str]) -> dict[str, Entry]:
    """Return those of a seller's entries whose ids are in `names`, by id; unknown ids are left out.

    Reads all entries of the seller until each id is found.
    """
    wanted = {*names}
    entries: dict[str, Entry] = {}
    for entry in connection.list_entries(marketplace, seller) if wanted else ():
        if entry.entry_id in wanted:
            entries[entry.entry_id] = entry
            if len(entries) == len(wanted):
                break
    return entries


def write_address(ready_file: Path | None, address: str) -> None:
    """Write HOST:PORT as the only line of `ready_file`, if a file is stated. No reader sees half of it."""
    if ready_file is not None:
        write_whole(ready_file, f"{address}\n".encode())
