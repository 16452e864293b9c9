import shlex

from scoring.model.promises import PROMISES
from training.report.numbers import count, percent, plural
from training.report.parts import Block, Bullets, Command, Text
from training.report.reading import Reading
from training.report.sections.decision import TRAIN


def limits(r: Reading) -> list[Block]:
    e, test = r.evaluation, r.evaluation["test"]
    few = (
        "few: intervals are wide, small differences are chance"
        if test["bad"] < 200
        else "enough for the whole, not for small groups"
    )
    found = [
        f"The test holds {plural(test['bad'], 'bad row')} of {count(test['rows'])}; that is {few}.",
        f"It was judged on {plural(len(r.lineage['test']), 'test point')}; a season or an event outside it was never seen.",
    ]
    for row in e["segments"]["file"]:
        if row["name"] == "thin":
            share = percent(row["rows"] / test["rows"])
            found.append(
                f"{plural(row['rows'], 'seller')} of the test had thin files ({share}); for them points rest on little, and"
                " the answer gives an interval."
            )
    if e["psi"]["score"]["value"] > e["psi"]["score"]["critical"]:
        found.append(
            "Scores moved between training and test: expect calibration to age, and watch it (sellertrust model monitor)."
        )
    if lost := e["certificate"].get("promises", {}).get("given_up"):
        promises = "; and that ".join(promise.text for promise in PROMISES if promise.name in lost)
        found.append(f"It gives up the promise that {promises}. It may be a challenger, and is never champion.")
    return [Bullets(found)]


def reproduce(r: Reading) -> list[Block]:
    """List the commands that make this model again, bit for bit."""
    text = (
        "The same digests of ledger and study, the same seed and the same libraries give the same trees, scale and"
        " certificate, whatever the champion. The model digest covers the evaluation too, so it is the same beside the"
        " same champion, and with the same looks at the test before."
    )
    return [
        Text(text),
        Command(f"Train by the study {r.study!r} on the same ledger; STUDY.toml is its file:", TRAIN),
        Command(
            "Verify the artifact whole, from digests to golden vectors, and list what is in it:",
            f"sellertrust model show {shlex.quote(r.digest)}",
        ),
    ]
