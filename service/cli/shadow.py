from typing import Any

import typer

from scoring.base.errors import invalid
from scoring.base.time import format_time
from service.bootstrap import open_registry
from service.cli.models import login_name, now
from service.cli.options import Model, Operator, Reason
from service.cli.output import Format, Output, emit, emit_one, say, write
from service.settings import load

app = typer.Typer()


@app.command("shadow")
def shadow(
    model: Model = "",
    reason: Reason = "",
    actor: Operator = "",
    output: Output = Format.TABLE,
) -> None:
    """Let a model score live requests beside the champion, or compare what it would have answered. No answer changes.

    With MODEL and --reason it becomes the shadow; without both, the report on the present one is shown. Running servers
    begin within seconds. To end it, name the champion. The comparison covers this data folder.
    Differences are the shadow's points less the champion's, of every rated answer. Dropped requests came while too many
    waited. Failed ones could not be scored again or recorded.
    """
    if bool(model) != bool(reason):
        raise invalid(
            "--reason", "belongs to MODEL: state both to make a model the shadow, or neither to see its report"
        )
    if not model:
        _report(output)
        return
    from service.registry.moves import SHADOW

    digest = open_registry(load()).point(SHADOW, model, actor=actor or login_name(), reason=reason, now=now())
    say(f"shadow is now {digest[:12]}; see: sellertrust model shadow")


def _report(output: Format) -> None:
    from service.registry.moves import SHADOW
    from service.scores.shadow_report import summarize_shadow

    settings = load()
    digest = open_registry(settings).resolve(SHADOW)
    found = {"shadow": digest, **summarize_shadow(settings.data_dir / "shadow", digest)}
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
