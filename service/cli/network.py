import hmac
import sys
import unicodedata
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from scoring.base.enums import LinkKind, Source
from scoring.base.errors import invalid
from sellertrust.v1.network_service_pb2 import ExportCaseRequest, ListRingsResponse
from service.cli.common import open_client, parse_option
from service.cli.options import Actor, Marketplace, Reason
from service.cli.output import Format, Output, emit, emit_one, write
from service.cli.proposals import propose
from service.cli.rows import dict_of, row_of, row_of_all_fields
from service.settings import load

KEY_FILE = "link-key"
DEFAULT_STEPS = 2


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
    word = parse_option("KIND", LinkKind, kind).word
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    key, market = load_or_make_key(settings.data_dir / KEY_FILE), marketplace or settings.marketplace
    try:
        for line in sys.stdin:
            if plain := "".join(unicodedata.normalize("NFKC", line).casefold().replace("-", "").split()):
                write(hmac.new(key, "\x1f".join((market, word, plain)).encode(), sha256).hexdigest() + "\n")
    except UnicodeError:
        raise invalid("stdin", "must be text in UTF-8") from None


def show_command(
    seller: Annotated[str, typer.Argument(metavar="SELLER", help="Default: the rings of the marketplace.")] = "",
    steps: Annotated[int | None, typer.Option("--steps", min=1, max=4, help="How many links away; default: 2.")] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Also draw it into this SVG file.")] = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show whom links join to a seller, and why a link brings it terms; without SELLER all rings.

    Beside the rings it shows what links did by month, and the precision of each kind of link.
    """
    for name, value in {"--steps": steps, "--picture": picture}.items():
        if value is not None and not seller:
            raise invalid(name, "belongs to SELLER; name one, or leave it out")
    with open_client(marketplace) as (connection, market):
        if not seller:
            _show_rings(connection.list_rings(market), output)
            return
        network = connection.get_seller_network(market, seller, steps=steps or DEFAULT_STEPS)
    if picture is not None:
        from service.pictures import draw_network

        picture.write_text(draw_network(network), encoding="utf-8")
    if output is Format.JSON:
        emit_one(dict_of(network), output)
        return
    emit([row_of(seller, "seller steps violation suspended") for seller in network.sellers], output)
    for certificate in network.certificates:
        fields = "case sellers kinds=link_kinds strength_ppm from=start_time to=end_time accounts entries"
        emit_one(row_of(certificate, fields), output)


def _show_rings(response: ListRingsResponse, output: Format) -> None:
    if output is Format.JSON:
        emit_one(dict_of(response), output)
        return
    emit([row_of(ring, "size core violators joined settled_minor sellers") for ring in response.rings], output)
    for rows in (response.months, response.precisions):
        if rows:
            emit([row_of_all_fields(row) for row in rows], output)


def export_command(
    sellers: Annotated[list[str], typer.Argument(metavar="SELLER...", help="The sellers of the case, at most 100.")],
    authority: Annotated[str, typer.Option("--authority", help="The receiver, such as customs.")],
    legal_basis: Annotated[str, typer.Option("--legal-basis", help="The law that allows it.")],
    actor: Actor,
    reason: Reason,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Propose the export of a case for an authority.

    Once another person has approved it, proposal carry-out writes the signed bundle and a page for people.
    """
    from sellertrust.names import marketplace_name, seller_name
    from sellertrust.v1 import entry_pb2

    source = parse_option("--authority", Source, authority)
    with open_client(marketplace) as (connection, market):
        request = ExportCaseRequest(
            parent=marketplace_name(market),
            sellers=[seller_name(market, seller) for seller in sellers],
            authority=entry_pb2.Source.ValueType(source),
            legal_basis=legal_basis,
            actor=actor,
            reason=reason,
        )
        propose(connection, request, actor=actor, reason=reason, output=output)
