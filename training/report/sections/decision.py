"""First sections: gates and the next step, then the headline figures."""

import shlex
from typing import Any

from training.report.numbers import count, general, listed, number, percent, plural, signed
from training.report.parts import Block, Cell, Chip, Command, Table, Text, Tile, Tiles, Verdict
from training.report.reading import Reading

Json = Any
TRAIN = "sellertrust train STUDY.toml"


def verdict(r: Reading) -> list[Block]:
    """Return the decision of the gates, and the command to run next: rejected, to sign off, or passed."""
    wrong = [gate for gate in r.gates["gates"] if not gate["ok"]]
    failed = [gate for gate in wrong if gate["kind"] == "hard"]
    if failed:
        return [_refused(r, failed, must_sign=len(failed) < len(wrong))]
    if wrong:
        title = f"Passed, with {plural(len(wrong), 'gate')} to sign off"
        text = "No hard gate failed. Not met, and to be signed off by name when promoting:"
        command = _promote(r, " --sign-off YOUR-NAME")
        return [Verdict("warn", title, text, [f"{gate['gate']}: {gate['text']}" for gate in wrong], [command])]
    text = (
        f"All {plural(len(r.gates['gates']), 'gate')} passed, and none asks for a signature. A running server takes the"
        " model over within seconds."
    )
    return [Verdict("good", "Passed: ready to be promoted", text, (), [_promote(r)])]


def _refused(r: Reading, failed: list[Json], *, must_sign: bool) -> Verdict:
    closed = [str(gate["gate"]) for gate in failed if not gate["overridable"]]
    commands = [Command(f"When the cause is corrected, train by the study {r.study!r} again:", TRAIN)]
    if closed:
        text = f"A failure of {listed(closed)} cannot be overridden: correct the cause and train again."
    else:
        text = (
            "Correct the cause and train again. Each of these may be overridden by a named person with a reason, which is"
            f" logged for ever: {listed([str(gate['gate']) for gate in failed])}."
        )
        options = " --override YOUR-NAME" + (" --sign-off YOUR-NAME" if must_sign else "")
        commands.append(_promote(r, options, "Only if a named person answers for it, against the gates:"))
    title = f"Not passed: {plural(len(failed), 'hard gate')} failed"
    return Verdict("bad", title, text, [f"{gate['gate']}: {gate['text']}" for gate in failed], commands)


def _promote(r: Reading, options: str = "", text: str = "") -> Command:
    command = f'sellertrust model promote {shlex.quote(r.digest)} \\\n    --actor YOUR-NAME --reason "WHY"{options}'
    return Command(text or "To promote it (servers follow within a second):", command)


def gates(r: Reading) -> list[Block]:
    rows = r.gates["gates"]
    title = f"{sum(bool(gate['ok']) for gate in rows)} of {plural(len(rows), 'gate')} met"
    caption = (
        "A hard gate that fails stops promotion; certificate and parity cannot be overridden at all. An advisory gate that"
        " is not met needs a person's signature, not a better model."
    )
    head = ("gate", "kind", "result", "number", "limit", "what it says")
    return [Table(title, caption, head, [_gate(gate) for gate in rows])]


def _gate(gate: Json) -> list[Cell]:
    failed = Chip("bad", "failed") if gate["kind"] == "hard" else Chip("warn", "to sign")
    chip = Chip("good", "passed") if gate["ok"] else failed
    figures = [general(gate["number"]), general(gate["limit"])]
    return [str(gate["gate"]), str(gate["kind"]), chip, *figures, str(gate["text"])]


def headline(r: Reading) -> list[Block]:
    """Show AUC, its lead on logistic regression, AUC at equal volume, level and recall of loss as tiles, and sizes."""
    e = r.evaluation
    auc, ahead = e["auc"]["lightgbm"], e["difference"]["lightgbm-logistic"]
    like, recall = e["equal_volume"]["auc"]["lightgbm"], e["models"]["lightgbm"]["recall_of_loss"]
    observed, predicted = e["base_rate"], e["predicted"]
    tiles = [
        _tile(
            "AUC as served, out of time",
            auc,
            number,
            f"of 100 pairs of a bad and a good seller, the points as served rank {100 * auc['value']:.0f} the right way"
            " round",
        ),
        _tile("AUC above logistic regression", ahead, signed, _compare(ahead)),
        _tile(
            "AUC at equal volume",
            like,
            number,
            "the same over pairs that sell about as much in the window: what is left when volume tells nothing",
        ),
        Tile(
            "Predicted bad, all together",
            percent(predicted),
            f"{percent(observed)} turned out bad",
            misses(predicted, observed),
        ),
        _tile(
            "Recall of loss",
            recall,
            percent,
            "of all loss lies with the sellers it would stop, at the harm to good sellers that the study fixes",
        ),
    ]
    train, test = e["train"], e["test"]
    text = (
        f"Trained on {plural(train['rows'], 'row')}, {count(train['bad'])} of them bad, of"
        f" {plural(train['sellers'], 'seller')}; judged on {plural(test['rows'], 'later row')}, {count(test['bad'])} of them"
        " bad."
    )
    return [Tiles(tiles), Text(text)]


def _tile(name: str, interval: Json, form: Any, text: str) -> Tile:
    return Tile(name, form(interval["value"]), f"95 %: {form(interval['low'])} to {form(interval['high'])}", text)


def _compare(interval: Json) -> str:
    whom = "logistic regression on the same columns"
    if interval["low"] > 0:
        return f"better than {whom}: the whole interval lies above 0"
    if interval["high"] < 0:
        return f"worse than {whom}: the whole interval lies below 0"
    return f"not told apart from {whom}: the interval holds 0"


def misses(predicted: float, observed: float) -> str:
    """Return the ratio of `predicted` to `observed` in words: "predicts 3 % too high overall"."""
    off = predicted / observed - 1
    if abs(off) < 0.005:
        return "predicts the overall level to the per cent"
    return f"predicts {100 * abs(off):.0f} % too {'high' if off > 0 else 'low'} overall"
