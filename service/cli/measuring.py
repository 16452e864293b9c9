"""What the gates of a training ask of a server: features read again over gRPC, and how long a single score takes."""

import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from scoring.errors import ArtifactRefused
from scoring.model.artifact import Artifact
from scoring.policy.policy import Policy
from sellertrust.client import Client
from service.bootstrap import build_server, open_ledger
from service.registry.registry import Registry
from service.settings import Settings

if TYPE_CHECKING:
    from training.pipeline.job import Sample

CALLS = 300
"""Single scores that are timed, after a tenth of them that warm up."""


class Measuring:
    """Measures on a server of its own, over a socket, on the configured ledger."""

    def __init__(self, settings: Settings, marketplace: str, policy: Policy) -> None:
        self._settings = settings
        self._marketplace = marketplace
        self._policy = policy
        self._sellers: list[str] = []

    def parity(self, sample: "Sample") -> int:
        """Count the rows of a sample whose inputs, computed from entries over gRPC, differ in a bit.

        Starts a server for it. The sample's sellers are those whose latency `latency` measures.
        """
        from service.cli.parity import inputs_of, rows_of

        self._sellers = list(sample.sellers)
        differing = 0
        with self._server(None) as client:
            for seller, day, x in zip(sample.sellers, sample.days, sample.x, strict=True):
                messages = list(client.list_entries(self._marketplace, seller))
                rows = rows_of(self._marketplace, seller, messages)
                again = inputs_of(rows, seller, day, sample.study.features, sample.study.constants)
                differing += again.tobytes() != x.tobytes()
        return differing

    def latency(self, artifact: Artifact, reference: Artifact) -> Mapping[str, float]:
        """Measure GetTrustScore over a socket in milliseconds, by a model and a reference in turn.

        Returned by name: `p50` and `p99`, the model's; `p50_ratio` and `p99_ratio`, the model's over the reference's, so
        that what else the machine does, which slows both, is no property of the model. Starts two servers.
        """
        took: tuple[list[float], list[float]] = ([], [])
        with self._server(artifact) as client, self._server(reference) as other:
            for number in range(CALLS + CALLS // 10):
                seller = self._sellers[number % len(self._sellers)]
                turns = ((client, took[0]), (other, took[1]))
                for asked, times in turns if number % 2 else turns[::-1]:
                    started = time.perf_counter()
                    asked.get_trust_score(self._marketplace, seller, on_error="unknown")
                    times.append((time.perf_counter() - started) * 1000)
        found: dict[str, float] = {}
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            own, others = (float(np.quantile(times[CALLS // 10 :], share)) for times in took)
            found |= {name: round(own, 3), f"{name}_ratio": round(own / max(others, 1e-6), 3)}
        return found

    @contextmanager
    def _server(self, artifact: Artifact | None) -> Iterator[Client]:
        from service.api.logs import make_log

        here = self._settings.model_copy(
            update={
                "address": "127.0.0.1:0",
                "metrics_address": "",
                "drain_seconds": 0.0,
                "book_sellers": 0,  # what is timed is to be computed
                "tls_certificate": None,
                "tls_key": None,
                "tls_client_ca": None,
            }
        )
        with open_ledger(self._settings) as ledger:
            log = make_log("json", "error", io.StringIO())
            registry = None if artifact is None else OneModel(artifact)
            server = build_server(here, ledger, self._policy, registry, log=log)
            with server, Client(server.address, deadline_seconds=30) as client:
                yield client


class OneModel(Registry):
    """A registry of one model, loaded already, which is its champion."""

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact

    def champion(self) -> str:
        """Return the digest of the one model."""
        return self._artifact.digest

    def load(self, digest: str) -> Artifact:
        """Return the one model; ArtifactRefused for any other digest."""
        if digest != self._artifact.digest:
            raise ArtifactRefused("this registry holds one model alone", {"model": digest})
        return self._artifact
