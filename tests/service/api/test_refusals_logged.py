from pathlib import Path

import grpc
import pytest

from service.api.telemetry.call_records import REFUSAL_LINES_A_SECOND, FewLines
from service.engine import turnstile
from tests.helpers.callers import TokenIssuer, write_grants
from tests.helpers.limits import Limit
from tests.helpers.servers import running_server


def test_lines_beyond_those_of_a_second_are_left_out_and_counted() -> None:
    now = [10.0]
    lines = FewLines(3, lambda: now[0])
    assert [lines.take() for _ in range(5)] == [0, 0, 0, None, None]
    now[0] += 1
    assert [lines.take() for _ in range(2)] == [2, 0]


def test_refused_calls_are_all_counted_and_logged_sparingly(tmp_path: Path, limit: Limit) -> None:
    limit(turnstile, PROMPT_REFUSALS=1_000)
    issuer = TokenIssuer(tmp_path)
    write_grants(tmp_path / "grants.toml", issuer.table())
    with running_server(tmp_path, grants=tmp_path / "grants.toml", tls="mesh") as running:
        with grpc.insecure_channel(running.address) as channel:
            method = channel.unary_unary("/sellertrust.v1.LedgerService/GetViolation")
            for _ in range(300):
                with pytest.raises(grpc.RpcError):
                    method(b"", timeout=60)
        lines = running.lines()
        counted = running.registry.get_sample_value(
            "sellertrust_requests_total", {"method": "LedgerService/GetViolation", "code": "UNAUTHENTICATED"}
        )
    assert counted == 300
    assert len(lines) + sum(line.get("left_out", 0) for line in lines) <= 300
    assert len(lines) >= REFUSAL_LINES_A_SECOND
