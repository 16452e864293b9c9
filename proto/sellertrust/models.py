"""The client of ModelService."""

import time
from collections.abc import Iterator
from functools import partial

import grpc

from sellertrust.errors import SellertrustCallError
from sellertrust.names import model_name
from sellertrust.requests import invoke, pages
from sellertrust.stubs import Stubs
from sellertrust.v1.model_service_pb2 import (
    DiffModelsRequest,
    DiffModelsResponse,
    GetModelReportRequest,
    GetModelRequest,
    GetModelResponse,
    ListModelMovesRequest,
    ListModelsRequest,
    Model,
    ModelMove,
    PromoteModelRequest,
    PromoteModelResponse,
    RollbackModelRequest,
    RollbackModelResponse,
)

MODEL_SECONDS = 15.0
"""Models are read and checked against their digests; people wait for that, no checkout does."""

PROMOTE_SECONDS = 120.0
"""A temporary process loads the model first."""

LOOK_SECONDS = 0.1


class Models(Stubs):
    """ModelService's methods of the client. A model is named by an alias, a digest, or its beginning."""

    def list_models(self, *, page_size: int = 100, deadline_seconds: float = MODEL_SECONDS) -> Iterator[Model]:
        """Yield the published models in the order of their digests. `deadline_seconds` is for one page."""
        request = ListModelsRequest(page_size=page_size)
        yield from pages(self._models.ListModels, request, "models", deadline_seconds)

    def get_model(self, model: str = "champion", *, deadline_seconds: float = MODEL_SECONDS) -> GetModelResponse:
        """Return one model, and `serving_digest`, the digest of the model in use."""
        return invoke(self._models.GetModel, GetModelRequest(name=model_name(model)), deadline_seconds)

    def diff_models(self, first: str, second: str, *, deadline_seconds: float = MODEL_SECONDS) -> DiffModelsResponse:
        """Return how two models differ, and their evaluations side by side."""
        request = DiffModelsRequest(first=model_name(first), second=model_name(second))
        return invoke(self._models.DiffModels, request, deadline_seconds)

    def promote_model(
        self,
        model: str,
        *,
        actor: str,
        reason: str,
        override: str = "",
        sign_off: str = "",
        proposal: str = "",
        deadline_seconds: float = PROMOTE_SECONDS,
    ) -> PromoteModelResponse:
        """Make a model champion.

        `override` and `sign_off` name the persons who answer for failed hard and advisory gates; a failed gate without
        one raises SellertrustCallError. `proposal` names the approved proposal of exactly this request, if the server
        requires one.
        """
        request = PromoteModelRequest(
            name=model_name(model),
            actor=actor,
            reason=reason,
            override=override,
            sign_off=sign_off,
            proposal=proposal,
        )
        return invoke(self._models.PromoteModel, request, deadline_seconds)

    def rollback_model(
        self, *, actor: str, reason: str, champion: str | None = None, deadline_seconds: float = PROMOTE_SECONDS
    ) -> RollbackModelResponse:
        """Make the previous champion champion again. Raises SellertrustCallError if there is none.

        `champion` is the whole digest to be replaced; a repeated call with it changes nothing. The default is the
        present champion's, which takes one more call; a repeated call then undoes the first.
        """
        if champion is None:
            champion = self.get_model("champion", deadline_seconds=deadline_seconds).model.digest
        request = RollbackModelRequest(actor=actor, reason=reason, champion=model_name(champion))
        return invoke(self._models.RollbackModel, request, deadline_seconds)

    def list_model_moves(self, *, page_size: int = 100, deadline_seconds: float = MODEL_SECONDS) -> Iterator[ModelMove]:
        """Yield every move of an alias, oldest first. `deadline_seconds` is for one page."""
        request = ListModelMovesRequest(page_size=page_size)
        yield from pages(self._models.ListModelMoves, request, "moves", deadline_seconds)

    def get_model_report(self, model: str = "champion", *, deadline_seconds: float = MODEL_SECONDS) -> bytes:
        request = GetModelReportRequest(name=model_name(model))
        return invoke(self._models.GetModelReport, request, deadline_seconds).html

    def wait_for_model(self, digest: str, *, timeout_seconds: float = 60.0) -> bool:
        """Wait until the server answers with the model of this whole digest; return False on timeout.

        An unreachable server may come back meanwhile; any other failure is raised.
        """
        deadline = time.monotonic() + timeout_seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                if self.get_model(digest, deadline_seconds=min(left, MODEL_SECONDS)).serving_digest == digest:
                    return True
            except SellertrustCallError as error:
                if error.code not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
                    raise
            self._waits.block(partial(time.sleep, min(LOOK_SECONDS, max(0.0, deadline - time.monotonic()))))
        return False
