"""`sellertrust model shadow-report`: how the shadow's answers differ from the champion's."""

from typing import Annotated, Any

import typer

from scoring.time import format_time
from service.cli.models import open_registry
from service.cli.output import Format, Output, emit, emit_one, say, write
from service.settings import load


def register(model: typer.Typer) -> None:
    """Adds `shadow-report` to `sellertrust model`."""
    model.command("shadow-report")(shadow_report)


def shadow_report(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An alias, or the beginning of a digest.")] = "shadow",
    output: Output = Format.TABLE,
) -> None:
    """Compare what the shadow would have answered with what the champion did, on live requests of this data folder.

    Differences are the shadow's points less the champion's, of every rated answer; dropped requests came while too many
    waited, failed ones could not be scored again or written down.
    """
    from service.shadow_report import report_of

    settings = load()
    digest = open_registry(settings).resolve(model)
    found = {"shadow": digest, **report_of(settings.data_dir / "shadow", digest).as_dict()}
    for name in ("first_observe_time", "last_observe_time"):
        found[name] = None if found[name] is None else format_time(found[name])
    if output is Format.JSON:
        emit_one(found, output)
        return
    if not found["compared"]:
        say("nothing was compared yet: the alias shadow must point to a model while a server answers requests")
    plain: dict[str, Any] = {name: value for name, value in found.items() if not isinstance(value, list)}
    emit_one({**plain, "champions": list(plain["champions"])}, output)
    for name in ("tiers", "most_different"):
        if found[name]:
            write("\n")
            emit(found[name], output)
