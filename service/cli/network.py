import hmac
import sys
import unicodedata
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from scoring.base.enums import LinkKind
from scoring.base.errors import invalid
from scoring.entries.field_types import parse_word
from service.cli.common import client
from service.cli.options import Marketplace
from service.cli.output import Format, Output, emit, emit_one, format_count, say, write
from service.cli.rows import dict_of, row_of
from service.settings import load

app = typer.Typer()

KEY_FILE = "link-key"


@app.command("digest")
def digest_command(
    kind: Annotated[str, typer.Argument(help="The kind of link, such as bank_account.")],
    marketplace: Marketplace = None,
) -> None:
    """Write the keyed digest of each identifier on stdin, one a line, for entries of the kind link.

    The key is link-key of the data folder; a first call makes it. Case, blanks and dashes do not count. Digests differ by
    marketplace and kind, so nobody links across them. Replace the key, and earlier links match no new ones.
    """
    from service.api.telemetry.logs import load_or_make_key

    settings = load()
    try:
        word = parse_word(LinkKind, kind).name.lower()
    except ValueError as error:
        raise invalid("KIND", str(error)) from None
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    key, where = load_or_make_key(settings.data_dir / KEY_FILE), marketplace or settings.marketplace
    for line in sys.stdin:
        if plain := "".join(unicodedata.normalize("NFKC", line).casefold().replace("-", "").split()):
            write(hmac.new(key, "\x1f".join((where, word, plain)).encode(), sha256).hexdigest() + "\n")


@app.command("show")
def show_command(
    seller: Annotated[str, typer.Argument(help="The seller's id.")],
    steps: Annotated[int, typer.Option("--steps", min=1, max=4, help="How many links away.")] = 2,
    picture: Annotated[Path | None, typer.Option("--picture", help="Also draw it into this SVG file.")] = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show whom links join to a seller, and why a link brings it terms."""
    from service.web.network_picture import draw_network

    with client(marketplace) as (connection, where):
        found = connection.get_seller_network(where, seller, steps=steps)
    if picture is not None:
        picture.write_text(draw_network(found), encoding="utf-8")
    if output is Format.JSON:
        emit_one(dict_of(found), output)
        return
    emit([row_of(one, "seller steps violation suspended") for one in found.sellers], output)
    for one in found.certificates:
        fields = "case sellers kinds=link_kinds strength_ppm from=start_time to=end_time accounts entries"
        emit_one(row_of(one, fields), output)


@app.command("rings")
def rings_command(
    least_size: Annotated[int, typer.Option("--least-size", min=2, help="Only rings of so many sellers.")] = 3,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """List the rings of a marketplace, what links did by month, and the precision of each kind of link."""
    with client(marketplace) as (connection, where):
        found = connection.list_rings(where, least_size=least_size)
    if output is Format.JSON:
        emit_one(dict_of(found), output)
        return
    emit([row_of(one, "size core violators joined settled_minor sellers") for one in found.rings], output)
    for rows in (found.months, found.precisions):
        if rows:
            emit([row_of(one, " ".join(field.name for field in one.DESCRIPTOR.fields)) for one in rows], output)


@app.command("refresh")
def refresh_command(marketplace: Marketplace = None) -> None:
    """Measure the precision of links from persons' decisions, and state what time alone changed; once a day."""
    with client(marketplace) as (connection, where):
        done = connection.refresh_links(where)
    say(
        f"{format_count(done.statement_count, 'statement')} about links; {format_count(done.case_count, 'case')} changed"
    )
