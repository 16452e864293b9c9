"""Reflection is open on a loopback address, and elsewhere only by a setting."""

import builtins
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.helpers.callers import Authority, TokenIssuer, grant, write_grants
from tests.helpers.servers import MARKET, running_server
from tests.helpers.waiting import wait_until


def services(channel: grpc.Channel) -> list[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    [answer] = stub.ServerReflectionInfo(iter([request]), timeout=60)
    return [service.name for service in answer.list_services_response.service]


def file_of(channel: grpc.Channel, symbol: str) -> list[bytes]:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    [answer] = stub.ServerReflectionInfo(iter([request]), timeout=60)
    return [*answer.file_descriptor_response.file_descriptor_proto]


def test_on_loopback_reflection_shows_the_contract(tmp_path: Path) -> None:
    """On loopback it shows the contract to callers of no grant too."""
    authority = Authority(tmp_path)
    write_grants(tmp_path / "grants.toml", grant("dns:a.example", ["read_scores"]))
    settings: dict[str, Any] = {"grants": tmp_path / "grants.toml", **authority.server_settings()}
    with (
        running_server(tmp_path, **settings) as running,
        running.client(**authority.certificate(dns=["stranger.example"]).options()) as client,
    ):
        found = services(client.channel)
        assert {"sellertrust.v1.LedgerService", "grpc.health.v1.Health"} <= {*found}
        assert any(b"GetTrustScore" in file for file in file_of(client.channel, "sellertrust.v1.TrustScoreService"))


def test_behind_a_mesh_it_is_not_there(tmp_path: Path) -> None:
    write_grants(tmp_path / "grants.toml", TokenIssuer(tmp_path).table())
    mesh = {"grants": tmp_path / "grants.toml", "tls": "mesh"}
    with running_server(tmp_path, **mesh) as running, grpc.insecure_channel(running.address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            services(channel)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_silent_streams_of_it_hold_up_nothing_else(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        stub, over = reflection_pb2_grpc.ServerReflectionStub(client.channel), threading.Event()

        def silent() -> Iterator[reflection_pb2.ServerReflectionRequest]:
            yield reflection_pb2.ServerReflectionRequest(list_services="")
            over.wait(20)

        answers = [stub.ServerReflectionInfo(silent(), timeout=20) for _ in range(30)]

        def refused() -> int:
            return sum(call.done() and call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED for call in answers)

        wait_until(lambda: refused() >= 20)
        assert [*client.list_entries(MARKET)] == []
        for call in answers:
            call.cancel()
        over.set()


def test_without_its_package_a_server_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def missing(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("grpc_reflection"):
            raise ModuleNotFoundError(name, name="grpc_reflection")
        return load(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with running_server(tmp_path):
        pass
