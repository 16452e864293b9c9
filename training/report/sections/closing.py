import shlex

from training.report.parts import Block, Command, Text
from training.report.reading import Reading
from training.report.sections.decision import TRAIN


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
