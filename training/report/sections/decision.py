"""First sections: the decision in ten lines and the next step, then the gates."""

import shlex

from training.report.parts import (
    Blocks,
    Bullets,
    Chip,
    Command,
    Json,
    Reading,
    Row,
    Table,
    Verdict,
    count,
    listed,
    number,
    percent,
    plural,
    signed,
    significant,
)

TRAIN = "sellertrust train STUDY.toml"


def verdict(r: Reading) -> Blocks:
    """Return the decision of the gates, and the command to run next: rejected, to sign off, or passed."""
    unmet = [gate for gate in r.gates["gates"] if not gate["ok"]]
    failed = [gate for gate in unmet if gate["kind"] == "hard"]
    if failed:
        return [_describe_refusal(r, failed, must_sign=len(failed) < len(unmet))]
    if unmet:
        title = f"Passed, with {plural(len(unmet), 'gate')} to sign off"
        text = "No hard gate failed. Not met, and to be signed off by name when promoting:"
        command = _make_promote_command(r, " --sign-off YOUR-NAME")
        return [Verdict("warn", title, text, [f"{gate['gate']}: {gate['text']}" for gate in unmet], [command])]
    text = f"All {plural(len(r.gates['gates']), 'gate')} passed, and none asks for a signature."
    if r.is_champion:
        return [Verdict("good", "Passed: the present champion", f"{text} Servers answer by this model.")]
    text += " A running server takes the model over within seconds."
    return [Verdict("good", "Passed: ready to be promoted", text, (), [_make_promote_command(r)])]


def ten_lines(r: Reading) -> Blocks:
    """Say what a manager asks for, each in one line."""
    evaluation, judged = r.evaluation, r.evaluation["judged"]
    auc, leaks = judged["auc"]["lightgbm"], evaluation["checks"]["leakage"]
    train, test = evaluation["train"], evaluation["test"]
    lines = [
        f"It learned from {plural(train['rows'], 'row')} and was judged on {plural(test['rows'], 'later row')},"
        f" {count(test['bad'])} of them bad.",
        f"Of 100 pairs of a bad and a good seller it ranks {100 * auc['value']:.0f} the right way round; a coin ranks 50."
        if auc["value"] is not None
        else "No pair of a bad and a good seller is alike enough to judge its ranking.",
    ]
    names = {"points_rule": "a points rule", "logistic": "logistic regression", "champion": "the champion"}
    names |= {"unconstrained": "a model without its promises"}
    lines += [
        f"Against {name} it is {_describe_lead(judged['difference'][f'lightgbm-{other}'])}."
        for other, name in names.items()
        if auc["value"] is not None and f"lightgbm-{other}" in judged["difference"]
    ]
    if trained := train.get("auc"):
        lines.append(
            f"On the rows it learned from the AUC is {number(trained['lightgbm'])}: {_describe_overfit(trained, auc)}."
        )
    lines.append(f"It predicted {percent(evaluation['predicted'])} bad, and {percent(evaluation['base_rate'])} were.")
    passed = sum(bool(row["ok"]) for row in leaks)
    lines.append(f"{passed} of {plural(len(leaks), 'leak check')} hold: whether a feature knows what came later.")
    if (moved := evaluation["migration"]) and moved["same"] is not None:
        lines.append(f"{percent(1 - moved['same'])} of the rated sellers would change their tier.")
    return [Bullets(lines)]


def _describe_lead(interval: Json) -> str:
    if interval["low"] is None or interval["low"] <= 0 <= interval["high"]:
        return "not proven better or worse"
    return f"{'better' if interval['low'] > 0 else 'worse'}, by {number(abs(interval['value']))} of AUC"


def _describe_overfit(trained: Json, auc: Json) -> str:
    if auc["value"] is None or trained["lightgbm"] is None:
        return "nothing to compare it with"
    return f"{signed(trained['lightgbm'] - auc['value'])} against the test, which it never saw"


def _describe_refusal(r: Reading, failed: list[Json], *, must_sign: bool) -> Verdict:
    closed = [str(gate["gate"]) for gate in failed if not gate["overridable"]]
    commands = [Command(f"When the cause is corrected, train by the study {r.study!r} again:", TRAIN)]
    if closed:
        text = f"A failure of {listed(closed)} cannot be overridden: correct the cause and train again."
    else:
        text = (
            "Correct the cause and train again. Each of these may be overridden by a named person with a reason, which is"
            f" logged permanently: {listed([str(gate['gate']) for gate in failed])}."
        )
        options = " --override YOUR-NAME" + (" --sign-off YOUR-NAME" if must_sign else "")
        commands.append(_make_promote_command(r, options, "Only if a named person answers for it, against the gates:"))
    title = f"Not passed: {plural(len(failed), 'hard gate')} failed"
    return Verdict("bad", title, text, [f"{gate['gate']}: {gate['text']}" for gate in failed], commands)


def _make_promote_command(r: Reading, options: str = "", text: str = "") -> Command:
    command = f'sellertrust model promote {shlex.quote(r.digest)} \\\n    --actor YOUR-NAME --reason "WHY"{options}'
    return Command(text or "To promote it (servers follow within a second):", command)


def gates(r: Reading) -> Blocks:
    rows = r.gates["gates"]
    title = f"{sum(bool(gate['ok']) for gate in rows)} of {plural(len(rows), 'gate')} met"
    caption = (
        "A hard gate that fails stops promotion; certificate and parity cannot be overridden at all. An advisory gate that"
        " is not met needs a person's signature, not a better model."
    )
    head = ("gate", "kind", "result", "number", "limit", "what it says")
    return [Table(title, caption, head, [_make_gate_row(gate) for gate in rows])]


def _make_gate_row(gate: Json) -> Row:
    failed = Chip("bad", "failed") if gate["kind"] == "hard" else Chip("warn", "to sign")
    chip = Chip("good", "passed") if gate["ok"] else failed
    figures = [significant(gate["number"]), significant(gate["limit"])]
    return [str(gate["gate"]), str(gate["kind"]), chip, *figures, str(gate["text"])]


def describe_level(predicted: float, observed: float) -> str:
    """Return the ratio of `predicted` to `observed` in words: "predicts 3 % too high overall"."""
    off = predicted / observed - 1
    if abs(off) < 0.005:
        return "predicts the overall level to the per cent"
    return f"predicts {100 * abs(off):.0f} % too {'high' if off > 0 else 'low'} overall"
