import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple
from urllib.parse import urlsplit

import typer

from scoring.base.errors import ConfigurationWrong, invalid
from service.bootstrap import open_ledger
from service.cli.options import Marketplace, Rejects
from service.cli.output import Exit, Format, Output, emit_one, say
from service.settings import load

if TYPE_CHECKING:
    from service.ingest.sources.feed import FeedReport

ONCE_PATIENCE_SECONDS = 60.0
"""The wait of `--once` for a silent broker or database. Without `--once`: endless."""

_FORM = "kafka://HOST:PORT[,HOST:PORT]/TOPIC"
_SERVERS = re.compile(r"[^/@\s,]+:\d+(,[^/@\s,]+:\d+)*")
_TOPIC = re.compile(r"[A-Za-z0-9._-]+")


class KafkaTopic(NamedTuple):
    servers: str
    topic: str


def feed_command(
    url: Annotated[str, typer.Argument(metavar="URL", help=f"{_FORM}.")],
    marketplace: Marketplace = None,
    rejects: Rejects = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source", help="Name under which the ledger keeps positions; default: the URL. A new one reads all."
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop when everything is read, for batch jobs.")] = False,
    credentials: Annotated[
        Path | None,
        typer.Option(
            "--credentials",
            exists=True,
            dir_okay=False,
            help="A file of librdkafka's settings, key=value.",
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Append the entries of a Kafka topic (protobuf or JSON) until SIGTERM. Safe to rerun.

    Each message is appended once; the position is committed with the entries. Rejected messages go to a file
    with reason and payload, by default in the data folder. One feed reads one topic into one marketplace.
    With --once, exit code 4 if messages were rejected.
    """
    from service.garbage_collection import freeze_loaded_objects
    from service.ingest.sources.feed import Feed
    from service.ingest.sources.kafka import KafkaSource
    from service.ingest.sources.rejects import RejectFile

    freeze_loaded_objects()
    topic = _parse_url(url)
    settings = load()
    market = marketplace or settings.marketplace
    path = rejects or settings.data_dir / f"{topic.topic}.rejects.jsonl"
    with open_ledger(settings, create=True) as ledger, RejectFile(path) as file:
        kafka = KafkaSource(*topic, _read_kafka_settings(credentials), source or "")
        try:
            feed = Feed(ledger, market, kafka, file, ONCE_PATIENCE_SECONDS if once else None)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: feed.stop())
            say(f"feeding {kafka.name} into {market}")
            report = feed.run(once=once, on_progress=_make_rejects_reporter(path))
        finally:
            kafka.close()
    row = {name: getattr(report, name) for name in ("appended", "already_present", "rejected", "positions")}
    if output is Format.TABLE:
        row["positions"] = [f"{partition}:{position}" for partition, position in sorted(report.positions.items())]
    emit_one(row, output)
    if report.rejected and once:
        say(f"error: {report.rejected:,} messages were rejected; mend them and send them again: {path}")
        raise typer.Exit(Exit.REFUSED)


def _make_rejects_reporter(path: Path) -> "Callable[[FeedReport], None]":
    reported = 0

    def notice(report: "FeedReport") -> None:
        nonlocal reported
        if report.rejected > reported:
            reported = report.rejected
            say(f"{reported:,} messages rejected so far, kept in {path}")

    return notice


def _parse_url(url: str) -> KafkaTopic:
    """Parse the URL of a Kafka topic.

    Raises InvalidInput for other URLs, and, without repeating it, for one with a user or password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # its text can repeat a password
        raise invalid("URL", f"must be {_FORM}") from None
    topic = parts.path.removeprefix("/")
    if "@" in parts.netloc:
        raise invalid("URL", "must hold no user or password, which other users of this machine see; use --credentials")
    is_whole = _SERVERS.fullmatch(parts.netloc) and _TOPIC.fullmatch(topic)
    if parts.scheme != "kafka" or not is_whole or parts.query or parts.fragment:
        raise invalid("URL", f"must be {_FORM}")
    return KafkaTopic(parts.netloc, topic)


def _read_kafka_settings(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        raise ConfigurationWrong(f"{path} cannot be read as text in UTF-8") from None
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    if any(not equals for _, equals, _ in pairs):
        raise ConfigurationWrong(f"{path} must hold key=value on every line, such as security.protocol=SASL_SSL")
    return {key.strip(): value.strip() for key, _, value in pairs}
