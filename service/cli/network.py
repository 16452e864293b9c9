import hmac
import json
import sys
import unicodedata
from hashlib import sha256
from pathlib import Path
from typing import Annotated, cast

import typer

from scoring.base.enums import LinkKind, Source
from scoring.base.errors import invalid
from service.cli.common import client, parse_option
from service.cli.options import Marketplace
from service.cli.output import Exit, Format, Output, emit, emit_one, format_count, say, write
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
    word = parse_option("KIND", LinkKind, kind).name.lower()
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
    for certificate in found.certificates:
        fields = "case sellers kinds=link_kinds strength_ppm from=start_time to=end_time accounts entries"
        emit_one(row_of(certificate, fields), output)


@app.command("rings")
def rings_command(
    least_size: Annotated[int, typer.Option("--least-size", min=2, help="Only rings of at least so many sellers.")] = 3,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """List the rings of a marketplace, what links did by month, and the precision of each kind of link."""
    with client(marketplace) as (connection, where):
        found = connection.list_rings(where, least_size=least_size)
    if output is Format.JSON:
        emit_one(dict_of(found), output)
        return
    emit([row_of(ring, "size core violators joined settled_minor sellers") for ring in found.rings], output)
    for rows in (found.months, found.precisions):
        if rows:
            emit([row_of(row, " ".join(field.name for field in row.DESCRIPTOR.fields)) for row in rows], output)


@app.command("refresh")
def refresh_command(marketplace: Marketplace = None) -> None:
    """Measure the precision of links, and state what time alone changed; the mechanism does so daily."""
    with client(marketplace) as (connection, where):
        done = connection.refresh_links(where)
    say(
        f"{format_count(done.statement_count, 'statement')} about links; {format_count(done.case_count, 'case')} changed"
    )


@app.command("export")
def export_command(
    sellers: Annotated[list[str], typer.Argument(help="The sellers of the case, at most 100.")],
    authority: Annotated[str, typer.Option("--authority", help="The receiver, such as customs.")],
    legal_basis: Annotated[str, typer.Option("--legal-basis", help="The law that allows it.")],
    actor: Annotated[str, typer.Option("--actor", help="Who exports it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why.")],
    proposal: Annotated[str, typer.Option("--proposal", help="The approved proposal; without it, one is made.")] = "",
    folder: Annotated[Path, typer.Option("--folder", help="Where case.json and case.html go.")] = Path(),
    marketplace: Marketplace = None,
) -> None:
    """Propose the export of a case for an authority; once two persons approved it, write the signed bundle.

    Call it first without --proposal, have another person approve the proposal, then repeat the call with --proposal.
    """
    from sellertrust.proposals import proposal_name
    from sellertrust.requests import marketplace_name, seller_name
    from sellertrust.v1 import entry_pb2
    from sellertrust.v1.network_service_pb2 import ExportCaseRequest, ExportCaseResponse

    source = parse_option("--authority", Source, authority)
    with client(marketplace) as (connection, where):
        request = ExportCaseRequest(
            parent=marketplace_name(where),
            sellers=[seller_name(where, seller) for seller in sellers],
            authority=entry_pb2.Source.ValueType(source),
            legal_basis=legal_basis,
            actor=actor,
            reason=reason,
        )
        if not proposal:
            new_proposal = connection.create_proposal(request, actor=actor, reason=reason)
            say(f"{new_proposal.name} is proposed; another person approves it: sellertrust proposal decide")
            return
        approved = connection.get_proposal(proposal_name(proposal.rpartition("/")[2], where))
        if approved.WhichOneof("request") != "export_case":
            raise invalid("--proposal", "is of another request")
        done = cast(ExportCaseResponse, connection.carry_out(approved))
    signed = {name: getattr(done, name) for name in ("bundle", "signature", "public_key")}
    (folder / "case.json").write_text(json.dumps(signed), encoding="utf-8")
    (folder / "case.html").write_text(done.html, encoding="utf-8")
    say(f"{folder / 'case.json'} and case.html written, signed by {done.public_key}")


@app.command("check")
def check_command(
    file: Annotated[Path, typer.Argument(help="A case.json.")],
    public_key: Annotated[str, typer.Option("--public-key", help="Who signed it, in hex.")],
) -> None:
    """Check an exported case: its signature, and the proof of each entry. Exit code 4 if anything is wrong."""
    from scoring.base.canonical import parse_json
    from service.contract.case_export import find_faults

    try:
        signed = parse_json(file.read_text(encoding="utf-8"))
        faults = find_faults(signed["bundle"].encode(), signed["signature"], public_key)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise invalid("FILE", f"{file} is no exported case") from None
    for fault in faults:
        say(f"error: {fault}")
    if faults:
        raise typer.Exit(Exit.REFUSED)
    say("signed by this key, and each entry is proven to be in its ledger")
