from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from cryptography.x509 import NameAttribute
from cryptography.x509.oid import NameOID

from tests.helpers.callers import Authority, grant, write_grants
from tests.helpers.servers import running_server


def test_only_the_name_of_a_caller_is_shown(tmp_path: Path) -> None:
    canary, authority = "canary-7c1f", Authority(tmp_path)
    write_grants(tmp_path / "grants.toml", grant("dns:brand.example", ["read_ledger"]))
    oids = (NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.SERIAL_NUMBER)
    hidden: dict[str, Any] = {
        "common_name": canary,
        "emails": [f"{canary}@example.org"],
        "more": [NameAttribute(oid, canary) for oid in oids],
    }
    granted = authority.certificate(dns=["brand.example"], **hidden)
    nobody = [
        authority.certificate(**hidden),
        authority.certificate([f"urn:{canary}", f"spiffe://{canary}/a"], **hidden),
    ]
    headers = (
        "x-canary",
        "x-forwarded-client-cert",
        "x-forwarded-for",
        "forwarded",
        "traceparent",
        "baggage",
        "cookie",
    )
    settings: dict[str, Any] = authority.server_settings() | {
        "grants": tmp_path / "grants.toml",
        "metrics_address": "127.0.0.1:0",
    }
    with running_server(tmp_path, **settings) as running:
        for shown in (granted, *nobody):
            with running.client(**shown.options()) as client:
                method: Any = client.channel.unary_unary("/sellertrust.v1.TrustScoreService/GetTrustScore")
                for value in ("", f"Bearer {canary}", f"Basic {canary}"):
                    metadata: list[tuple[str, Any]] = [(name, canary) for name in (*headers, f"x-{canary}")]
                    metadata += [("x-canary-bin", canary.encode())] + [("authorization", value)] * bool(value)
                    with pytest.raises(grpc.RpcError) as caught:
                        method(b"", metadata=metadata, timeout=60)
                    assert canary not in str(caught.value.details()) + repr(caught.value.trailing_metadata())
                    assert canary not in repr(caught.value.initial_metadata())
        with urlopen(f"http://{running.server.metrics_address}/metrics") as answer:
            assert canary not in answer.read().decode()
    callers_logged = [line.get("caller") for line in running.lines()[-9:]]
    assert callers_logged == ["dns:brand.example", *[None] * 8]
    assert canary not in running.log.getvalue()
