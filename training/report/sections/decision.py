"""First section: gates and the next step, then the headline figures with every baseline.

Parts raise Absent without their figures.
"""

import shlex
from collections.abc import Mapping
from typing import Any

from training.report.drawing import Scaled
from training.report.numbers import (
    MODELS,
    Num,
    count,
    general,
    listed,
    model_name,
    number,
    percent,
    plural,
    signed,
    spoken,
    stacked,
)
from training.report.parts import Block, Cell, Chip, Command, Pair, Table, Text, Tile, Tiles, Verdict
from training.report.reading import Absent, Reading

Json = Any


def verdict(r: Reading) -> list[Block]:
    """Return the block that states the decision of the gates, and the command to run next.

    One of: no decision, since no gates were recorded; rejected; passed with advisory gates to sign off; passed.
    """
    if not r.gates or not r.gates.get("gates"):
        text = (
            "No gates were recorded beside this model. Read it as a description; nothing here says it may be promoted."
        )
        return [Verdict("warn", "No decision: the gates are not there", text, commands=[_show(r)])]
    gates = r.gates["gates"]
    hard = [gate for gate in gates if gate["kind"] == "hard"]
    failed = [gate for gate in hard if not gate["ok"]]
    unsigned = [gate for gate in gates if gate["kind"] != "hard" and not gate["ok"]]
    if failed or not r.gates["passed"]:
        return [_refused(r, failed, unsigned)]
    passed = f"All {plural(len(hard), 'hard gate')} passed" if len(hard) != 1 else "The one hard gate passed"
    if unsigned:
        names = listed([str(gate["gate"]) for gate in unsigned])
        title = f"Passed, with {plural(len(unsigned), 'advisory gate')} to sign off"
        if unproven := [str(gate["gate"]) for gate in unsigned if gate.get("needed") is not None]:
            title = f"Not enough evidence in {listed(unproven)}: to sign off, or to wait for more bad rows"
            passed = f"No hard gate failed, and {plural(len(unproven), 'gate')} cannot tell from so few bad rows"
        text = f"{passed}. Not met, and to be signed off by name when promoting: {names}."
        return [
            Verdict(
                "warn", title, text, [str(gate["text"]) for gate in unsigned], [_promote(r, " --sign-off YOUR-NAME")]
            )
        ]
    text = f"{passed}, and no advisory gate asks for a signature. A running server takes the model over within seconds."
    return [Verdict("good", "Passed: ready to be promoted", text, (), [_promote(r)])]


def _refused(r: Reading, failed: list[Json], unsigned: list[Json]) -> Verdict:
    closed = [str(gate["gate"]) for gate in failed if not gate.get("overridable")]
    names = listed([str(gate["gate"]) for gate in failed])
    if not failed:
        text = "The gates are recorded as not passed, though none of the listed ones failed. Run the training again."
    elif closed:
        text = f"Nobody can override {listed(closed)}: correct the cause and train again."
    else:
        text = (
            f"Correct the cause and train again. Each of these may be overridden by a named person with a reason, which is"
            f" logged for ever: {names}."
        )
    title = f"Not passed: {plural(len(failed), 'hard gate')} failed" if failed else "Not passed"
    commands = [Command(f"When the cause is corrected, train by the study {r.study!r} again:", TRAIN)]
    if failed and not closed:
        signed_off = " --sign-off YOUR-NAME" if unsigned else ""
        commands.append(
            _promote(
                r, f" --override YOUR-NAME{signed_off}", "Only if a named person answers for it, against the gates:"
            )
        )
    return Verdict("bad", title, text, [f"{gate['gate']}: {gate['text']}" for gate in failed], commands)


def _promote(r: Reading, more: str = "", text: str = "") -> Command:
    command = (
        f'sellertrust model promote {shlex.quote(r.digest)} \\\n    --actor YOUR-NAME --reason "WHY"{more} --wait 60'
    )
    return Command(text or "To promote it (and wait until every server has it):", command)


def _show(r: Reading) -> Command:
    return Command("To look at the model:", f"sellertrust model show {shlex.quote(r.digest)}")


TRAIN = "sellertrust train STUDY.toml"


def gates(r: Reading) -> list[Block]:
    """Tabulate each gate with result, number, limit and sentence: hard ones first."""
    if not r.gates or not r.gates.get("gates"):
        raise Absent("no gates were recorded beside this model")
    found: list[Block] = []
    for kind, caption in (
        ("hard", "A hard gate that fails stops promotion; certificate and parity cannot be overridden at all."),
        ("advisory", "An advisory gate that is not met needs a person's signature, not a better model."),
    ):
        rows = [gate for gate in r.gates["gates"] if (gate["kind"] == "hard") == (kind == "hard")]
        met = sum(bool(gate["ok"]) for gate in rows)
        if rows:
            head = ("gate", "result", "number", "limit", "what it says")
            title = f"{kind.capitalize()} gates: {met} of {len(rows)} met"
            found.append(Table(title, caption, head, [_gate(gate) for gate in rows]))
    return found


def _gate(gate: Json) -> list[Cell]:
    failed = Chip("bad", "failed") if gate["kind"] == "hard" else Chip("warn", "to sign")
    chip = Chip("good", "passed") if gate["ok"] else failed
    return [str(gate["gate"]), chip, general(gate["number"]), general(gate["limit"]), str(gate["text"])]


def headline(r: Reading) -> list[Block]:
    """Show AUC, AUC above logistic regression, AUC at equal volume, and predicted against observed as tiles."""
    tiles = [_auc_tile(r)]
    logistic = (r.evaluation.get("difference") or {}).get("lightgbm-logistic")
    if logistic:
        text = _better(logistic, "logistic regression on the same columns")
        tiles.append(Tile("AUC above logistic regression", signed(logistic["value"]), _between(logistic, True), text))
    like = ((r.evaluation.get("equal_volume") or {}).get("auc") or {}).get("lightgbm")
    if like and like["value"] is not None:
        text = "the same over pairs that sell about as much in the window: what is left when volume tells nothing"
        tiles.append(Tile("AUC at equal volume", number(like["value"]), _between(like), text))
    observed, predicted = r.found("base_rate"), r.found("predicted")
    tiles.append(
        Tile(
            "Predicted bad, all together",
            percent(predicted),
            f"{percent(observed)} turned out bad",
            misses(predicted, observed),
        )
    )
    models = r.evaluation.get("models") or {}
    if recall := (models.get("lightgbm") or {}).get("recall_of_loss"):
        text = "of all loss lies with the sellers it would stop, at the harm to good sellers that the study fixes"
        tiles.append(Tile("Recall of loss", percent(recall["value"]), _between(recall, form=percent), text))
    return [Tiles(tiles)]


def _auc_tile(r: Reading) -> Tile:
    auc = r.found("auc.lightgbm")
    right = round(auc["value"] * 100)
    text = f"of 100 pairs of a bad and a good seller, the points as served rank {right} the right way round"
    return Tile("AUC as served, out of time", number(auc["value"]), _between(auc), text)


def _between(interval: Json, sign: bool = False, form: Any = None) -> str:
    form = form or (signed if sign else number)
    return f"95 %: {form(interval['low'])} to {form(interval['high'])}"


def _better(interval: Json, whom: str) -> str:
    if interval["low"] > 0:
        return f"better than {whom}: the whole interval lies above 0"
    if interval["high"] < 0:
        return f"worse than {whom}: the whole interval lies below 0"
    return f"not told apart from {whom}: the interval holds 0"


def misses(predicted: float, observed: float) -> str:
    """Return the ratio of `predicted` to `observed` in words: "predicts 3 % too high overall"."""
    if not observed:
        return "nobody turned out bad"
    off = predicted / observed - 1
    return "predicts the overall level to the per cent" if abs(off) < 0.005 else (
        f"predicts {abs(off):.0%} too {'high' if off > 0 else 'low'} overall".replace("%", " %")
    )  # fmt: skip


def baselines(r: Reading) -> list[Block]:
    """Tabulate AUC and further figures of every model on the same test rows."""
    auc = r.found("auc")
    models: Mapping[str, Json] = r.evaluation.get("models") or {}
    order = [name for name in MODELS if name in auc]
    order += [name for name in auc if name not in order]
    scale = Scaled(auc[name][key] for name in order for key in ("low", "high"))
    rows: list[list[Cell]] = []
    for name in order:
        a, m = auc[name], models.get(name) or {}
        row: list[Cell] = [model_name(name), scale.cell(a["value"], a["low"], a["high"], spoken(a))]
        if models:
            recall, brier = m.get("recall_of_loss"), m.get("brier") or {}
            row += [
                number(m.get("ks")),
                number(m.get("gini")),
                stacked(m.get("log_loss")),
                number(brier.get("value"), 4),
            ]
            row += [
                Pair(percent(recall["value"]), f"{percent(recall['low'])} to {percent(recall['high'])}")
                if recall
                else Num("–")
            ]
        rows.append(row)
    head = ["model", "AUC (95 %)", "KS", "Gini", "log-loss", "Brier", "recall of loss"][: len(rows[0])]
    best = max(order, key=lambda name: auc[name]["value"] or 0)
    title = f"Ranks best over all pairs: {model_name(best)}, AUC {number(auc[best]['value'])}"
    caption = (
        "All on the same out-of-time rows. AUC, KS, Gini and recall of loss are as served, at the reference exposure;"
        " log-loss and Brier's score are over each row's own orders in the window, which nobody knows who is served."
        " Volume alone, in the window or before it, says how much of an AUC is no trust at all; a dash stands where a"
        " model ranks only."
    )
    return [Table(title, caption, head, rows)]


def differences(r: Reading) -> list[Block]:
    pairs = {name: d for name, d in r.found("difference").items() if name.startswith("lightgbm-")}
    paired = r.evaluation.get("paired") or {}
    scale = Scaled((d[key] for d in pairs.values() for key in ("low", "high")), rule=0.0)
    rows: list[list[Cell]] = []
    for name, d in pairs.items():
        more = paired.get(name) or {}
        row: list[Cell] = [
            model_name(name.removeprefix("lightgbm-")),
            scale.cell(d["value"], d["low"], d["high"], spoken(d, sign=True)),
        ]
        if paired:
            loss, recall = more.get("log_loss"), more.get("recall_of_loss")
            row += [stacked(loss, 4, True), stacked(recall, 3, True)]
        rows.append(row)
    worse = [model_name(n.removeprefix("lightgbm-")) for n, d in pairs.items() if d["low"] > 0]
    title = f"Better than {listed(worse)}, beyond chance" if worse else "Better than no baseline by AUC, beyond chance"
    head = ["against", "difference of AUC (95 %)", "of log-loss", "of recall of loss"][: len(rows[0])]
    caption = (
        "Sellers are drawn with replacement, the same draws for both models. An interval that does not touch the dotted zero"
        " is a difference beyond chance; for log-loss less is better."
    )
    return [Table(title, caption, head, rows)]


def sizes(r: Reading) -> list[Block]:
    train, test = r.found("train"), r.found("test")
    sellers = f", of {plural(train['sellers'], 'seller')}" if "sellers" in train else ""
    text = (
        f"Trained on {plural(train['rows'], 'row')}, {count(train['bad'])} of them bad{sellers}; judged on"
        f" {plural(test['rows'], 'later row')}, {count(test['bad'])} of them bad."
    )
    return [Text(text)]


def equal_volume(r: Reading) -> list[Block]:
    """Tabulate the AUC of every model over pairs of like window volume, and the candidate's paired differences."""
    auc, pairs = r.found("equal_volume.auc"), r.found("equal_volume.difference")
    order = [name for name in dict.fromkeys([*MODELS, *auc]) if name in auc]
    if auc["lightgbm"]["value"] is None:
        raise Absent("no bad and good seller of this test sold about as much in the window")
    scale = Scaled(auc[name][key] for name in order for key in ("low", "high"))
    apart = Scaled((d[key] for d in pairs.values() for key in ("low", "high")), rule=0.0)
    rows: list[list[Cell]] = []
    for name in order:
        a, d = auc[name], pairs.get(f"lightgbm-{name}")
        row: list[Cell] = [model_name(name), scale.cell(a["value"], a["low"], a["high"], spoken(a))]
        row.append(apart.cell(d["value"], d["low"], d["high"], spoken(d, sign=True)) if d else Num("–"))
        rows.append(row)
    worse = [model_name(n.removeprefix("lightgbm-")) for n, d in pairs.items() if d["low"] is not None and d["low"] > 0]
    title = f"Between sellers of like volume better than {listed(worse) if worse else 'no baseline'}, beyond chance"
    caption = (
        f"Over {plural(r.found('equal_volume.pairs'), 'pair')} of a bad and a good row whose settled orders in the window"
        " differ by a fifth at most. Whoever sells more is bad more often, so over all pairs a count of incidents is paid"
        " for knowing who sells much; here it is not, and volume alone is next to a coin."
    )
    return [Table(title, caption, ["model", "AUC at equal volume (95 %)", "candidate less it (95 %)"], rows)]
