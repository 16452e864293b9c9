import shlex
from typing import Any

from scoring.model.promises import PROMISES
from training.report.numbers import count, percent, plural
from training.report.parts import Block, Bullets, Command, Facts, Text
from training.report.reading import Reading
from training.report.sections.decision import TRAIN

Json = Any


def limits(r: Reading) -> list[Block]:
    intended = [
        "To give each seller of one marketplace points, a tier, a badge and measures that can be taken back, beside reasons"
        " that name ledger entries.",
        "To order the sellers that people look at first.",
    ]
    never = [
        "Never to suspend a seller alone: that needs confirmed facts named by a policy rule.",
        "Not for another marketplace, another bad definition or another exposure than stated above.",
        "Not for judging persons, and not for allegations: only confirmed violations enter it.",
    ]
    return [
        Bullets("Intended use", intended),
        Bullets("Not intended", never),
        Bullets("Limits of this model", _warnings(r)),
    ]


def _warnings(r: Reading) -> list[str]:
    e = r.evaluation
    test, found = e.get("test") or {}, []
    bad, rows = test.get("bad"), test.get("rows")
    if isinstance(bad, int) and isinstance(rows, int):
        few = (
            "few: intervals are wide, small differences are chance"
            if bad < 200
            else "enough for the whole, not for small groups"
        )
        found.append(f"The test holds {plural(bad, 'bad row')} of {count(rows)}; that is {few}.")
    if points := r.lineage.get("test"):
        found.append(
            f"It was judged on {plural(len(points), 'test point')}; a season or an event outside it was never seen."
        )
    if thin := _thin(e):
        found.append(thin)
    if (score := (e.get("psi") or {}).get("score")) and score["value"] > score["critical"]:
        found.append(
            "Scores moved between training and test: expect calibration to age, and watch it (sellertrust model monitor)."
        )
    found.append(
        "Labels are detected violations: where nobody looks, nothing is found, and the model learns where people looked."
    )
    found.append(
        "It tells what goes together with later harm, not what causes it: a response curve is no advice to a seller."
    )
    if lost := ((e.get("certificate") or {}).get("promises") or {}).get("given_up"):
        promises = "; and that ".join(promise.text for promise in PROMISES if promise.name in lost)
        found.append(
            f"It gives up the promise that {promises}. It may be a challenger or a shadow, and is never champion."
        )
    return found


def _thin(e: Any) -> str:
    for row in (e.get("segments") or {}).get("file") or []:
        if str(row["name"]).startswith("thin"):
            share = percent(row["rows"] / (e["test"]["rows"] or 1))
            return (
                f"{plural(row['rows'], 'seller')} of the test had thin files ({share});"
                " for them points rest on little, and the answer gives an interval."
            )
    return ""


def reproduce(r: Reading) -> list[Block]:
    """List the commands that make this model again, bit for bit, and the digests to compare."""
    lineage = r.lineage
    digest = lineage.get("ledger_digest")
    blocks: list[Block] = [
        Command(f"Train by the study {r.study!r} on the same ledger; STUDY.toml is its file:", TRAIN),
        Command("Train twice and compare the digests:", f"{TRAIN} --verify"),
        Command(
            "Verify the artifact whole, from digests to golden vectors, and list what is in it:",
            f"sellertrust model show {shlex.quote(r.digest)}",
        ),
    ]
    rows = [("model digest", r.digest)]
    rows += [("study digest", str(lineage["study_digest"]))] if "study_digest" in lineage else []
    rows += [("ledger digest", str(digest))] if digest else []
    text = (
        "The same digests of ledger and study, the same seed and the same libraries give the same trees, scale and"
        " certificate, whatever the champion. The model digest covers the evaluation too, so it is the same beside the"
        " same champion, and with the same looks at the test before."
    )
    return [Text(text), *blocks, Facts(rows, code=True)]


def glossary(_: Reading) -> list[Block]:
    return [Facts(GLOSSARY)]


GLOSSARY = (
    (
        "AUC",
        "The chance that a bad seller is ranked below a good one by the points as served: 0.5 is a coin, 1 is perfect. Gini"
        " is 2 × AUC − 1.",
    ),
    (
        "AUC at equal volume",
        "The same chance over pairs whose orders in the window differ by a fifth at most: what volume cannot tell.",
    ),
    (
        "as served",
        "At the reference exposure and the reference of every context: what is known of a seller when it is asked about.",
    ),
    (
        "bad, good",
        "Whether a seller did, within the performance window, what the study calls bad. Read once, at maturity.",
    ),
    ("Brier score", "The mean squared error of a probability. It splits into reliability, resolution and uncertainty."),
    ("calibration", "Whether of a hundred sellers given 5 % five turn out bad. Slope 1 and intercept 0 are true."),
    (
        "certificate",
        "An exact proof over every tree that a feature moves the score one way only. Not a test on a sample.",
    ),
    (
        "champion, challenger",
        "The model that serves now, and the one that would. A promotion makes the second the first.",
    ),
    (
        "embargo",
        "Days left empty between training windows and the test, so that nothing of the test is known in training.",
    ),
    (
        "exposure",
        "Settled orders. Bad is defined per a reference exposure, so that selling more is not worse by itself.",
    ),
    ("hard gate, advisory gate", "A hard gate stops promotion. An advisory gate asks a person to sign off by name."),
    ("Holm", "A correction for testing several grades at once. Without it, one in twenty would fail by chance."),
    (
        "indeterminate",
        "Neither good nor bad at maturity: closed with claims still open. Counted, and left out of the figures.",
    ),
    ("interval, 95 %", "From drawing sellers with replacement a thousand times. Rows of one seller stay together."),
    (
        "KS",
        "The greatest distance between the shares of bad and good at or below the same points. 0 is none, 1 is complete.",
    ),
    ("lift", "How much of the bad is found by looking at the worst-scored share. Chance finds as much as it looks at."),
    ("log-loss", "The surprise at what happened, given the probability. Less is better; bold errors cost most."),
    ("maturity", "Days after the window before truth is read. What is overturned later never counts."),
    ("monotone", "One more confirmed violation never raises points, one overturned never lowers them."),
    ("observation point", "The day at which features are read, from what had been reported by then and nothing later."),
    ("p_bad", "The calibrated probability of bad over the reference exposure. For people to read; points decide."),
    ("points", "0 to 1000, higher is better: 600 at odds of 20 good to 1 bad, and 50 more double the odds."),
    (
        "PSI, CSI",
        "How far a distribution moved between training and test, of the score and of a feature. 0 is not at all.",
    ),
    (
        "recall of loss",
        "The share of all loss that lies with the sellers stopped, at a fixed share of good sellers harmed.",
    ),
    ("swap set", "Whom only one of two models rejects, when both reject as many. A better model swaps safe for bad."),
    ("thin file", "A seller with too little history to be rated. The policy says how little."),
    (
        "unconstrained twin",
        "The same features and settings without monotone constraints: what all promises cost together.",
    ),
)
