from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from scoring.base.errors import ArtifactRefused, ModelNotFound
from sellertrust.names import model_name
from sellertrust.v1 import model_service_pb2 as model_pb
from service.api.reads import is_number, parse_page
from service.call_context import current_call
from service.contract.models import model_message, move_message, row_message
from service.contract.resource_names import parse_model
from service.ledger.clock.server_clock import wall_clock
from service.registry.figures import compare_models
from service.registry.gates import GateOverride
from service.registry.moves import is_digest
from service.registry.registry import REPORT, Registry


@dataclass(frozen=True)
class ModelServicer:
    """Handlers, documented in `model_service.proto`.

    `serving` returns the model in use; `refresh` adopts a move at once.
    """

    _registry: Registry | None
    _serving: Callable[[], str] = lambda: ""
    _refresh: Callable[[], object] = lambda: None

    def ListModels(self, request: model_pb.ListModelsRequest) -> model_pb.ListModelsResponse:
        """Return a page of models by digest, without evaluations. Raises ModelNotFound without a registry."""
        page = parse_page(request, is_digest)
        registry = self._require_registry()
        digests = [digest for digest in registry.digests() if digest > page.after]
        moves = registry.history()
        on_page = digests[: page.limit]
        return model_pb.ListModelsResponse(
            models=[model_message(registry, digest, moves, whole=False) for digest in on_page],
            next_page_token=page.make_token(on_page[-1]) if len(digests) > len(on_page) else "",
        )

    def GetModel(self, request: model_pb.GetModelRequest) -> model_pb.GetModelResponse:
        """Return a model with its evaluation, and the digest of the model in use here."""
        name = parse_model(request.name, "name")
        registry = self._require_registry()
        moves = registry.history()
        message = model_message(registry, registry.resolve(name, moves), moves, whole=True)
        return model_pb.GetModelResponse(model=message, serving_digest=self._serving())

    def DiffModels(self, request: model_pb.DiffModelsRequest) -> model_pb.DiffModelsResponse:
        """Return the figures that differ between two models, and both evaluations."""
        names = parse_model(request.first, "first"), parse_model(request.second, "second")
        registry = self._require_registry()
        moves = registry.history()
        first, second = (registry.resolve(name, moves) for name in names)
        rows = compare_models(registry.content(first), registry.content(second))
        return model_pb.DiffModelsResponse(
            first=model_name(first), second=model_name(second), rows=[row_message(row) for row in rows]
        )

    def PromoteModel(self, request: model_pb.PromoteModelRequest) -> model_pb.PromoteModelResponse:
        """Make a model champion, and try to serve it here: `serving_digest` shows whether that worked.

        Raises as `Registry.promote`.
        """
        name = parse_model(request.name, "name")
        registry = self._require_registry()
        digest = registry.promote(
            name,
            actor=request.actor,
            reason=request.reason,
            now=wall_clock(),
            override=GateOverride(request.override, request.sign_off),
            approval=current_call().approval,
        )
        return model_pb.PromoteModelResponse(champion=model_name(digest), serving_digest=self._adopt_move())

    def RollbackModel(self, request: model_pb.RollbackModelRequest) -> model_pb.RollbackModelResponse:
        """Make the previous champion champion again, without approval.

        With `champion` a retry changes nothing; without it, a second call undoes the first. Raises as
        `Registry.rollback`.
        """
        # A rollback never waits for approval: where one is needed, the gate lets it in as an emergency.
        is_emergency = current_call().approval is not None
        champion = parse_model(request.champion, "champion") if request.champion else ""
        registry = self._require_registry()
        digest = registry.rollback(
            actor=request.actor,
            reason=request.reason,
            now=wall_clock(),
            champion=champion,
            is_emergency=is_emergency,
        )
        return model_pb.RollbackModelResponse(champion=model_name(digest), serving_digest=self._adopt_move())

    def ListModelMoves(self, request: model_pb.ListModelMovesRequest) -> model_pb.ListModelMovesResponse:
        """Return a page of promotions and other moves, oldest first."""
        page = parse_page(request, is_number)
        begin = page.after_number
        end = begin + page.limit
        registry = self._require_registry()
        moves = registry.history()
        return model_pb.ListModelMovesResponse(
            moves=[move_message(number, move) for number, move in enumerate(moves[begin:end], begin + 1)],
            next_page_token=page.make_token(end) if len(moves) > end else "",
        )

    def GetModelReport(self, request: model_pb.GetModelReportRequest) -> model_pb.GetModelReportResponse:
        """Return a model's HTML report. Raises ModelNotFound, also without a report."""
        name = parse_model(request.name, "name")
        registry = self._require_registry()
        digest = registry.resolve(name)
        return model_pb.GetModelReportResponse(model=model_name(digest), html=registry.attachment(digest, REPORT))

    def _require_registry(self) -> Registry:
        if self._registry is None:
            raise ModelNotFound("this server has no registry of models", {"model": ""})
        return self._registry

    def _adopt_move(self) -> str:
        """Return the digest in use after the move's adoption. The registry's follower logs a rejection."""
        with suppress(ArtifactRefused):
            self._refresh()
        return self._serving()
