"""What a team would build instead, for an environment of its own: `python -m tests.bench._fastapi_app FOLDER KIND PORT`.

`predict`: each request is one `Booster.predict` of the seller's inputs, which lie in memory. `book`: this project's own book
behind the same framework, answering bytes of the contract.
"""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import lightgbm
import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException, Response


def predicting(folder: Path) -> FastAPI:
    """Scores by the model and the sellers of a folder."""
    app = FastAPI()
    booster = lightgbm.Booster(model_file=str(folder / "model.txt"), params={"num_threads": 1})
    stated = np.load(folder / "rows.npz")
    rows = dict(zip(stated["sellers"].tolist(), stated["x"][:, None, :], strict=True))
    scale, offset = json.loads((folder / "scale.json").read_text())

    @app.get("/score/{seller}")
    async def score(seller: str) -> dict[str, object]:
        row = rows.get(seller)
        if row is None:
            raise HTTPException(404)
        raw = float(booster.predict(row, raw_score=True, num_threads=1)[0])
        points = max(0, min(1_000, round(offset + scale * raw)))
        return {"seller": seller, "points": points, "tier": "trusted" if points >= 600 else "standard"}

    return app


def remembering(folder: Path) -> FastAPI:
    """Scores from the book of the ledger that a file names."""
    from service.bootstrap import build_scorer
    from service.ledger.store import Ledger
    from service.policy.policy_file import load_policy
    from service.registry.registry import Registry
    from service.scores.book.asked import Asked
    from service.scores.book.book import Book
    from service.settings import load

    settings = load({"SELLERTRUST_DATA_DIR": str(folder)})
    url, marketplace = json.loads((folder / "ledger.json").read_text())
    ledger = Ledger.open(url)
    scorer = build_scorer(ledger, load_policy(settings), Registry(folder / "registry"))
    book = Book(ledger, scorer, 100_000, 2.0, 3_600.0, 2)

    @asynccontextmanager
    async def following(app: FastAPI) -> AsyncIterator[None]:
        book.start()
        yield
        book.close()

    app = FastAPI(lifespan=following)

    @app.get("/score/{seller}")
    async def score(seller: str) -> Response:
        answer = book.get(f"marketplaces/{marketplace}/sellers/{seller}", Asked(0, None, ledger.cut))
        return Response(answer, media_type="application/x-protobuf")

    return app


if __name__ == "__main__":
    made = {"predict": predicting, "book": remembering}[sys.argv[2]](Path(sys.argv[1]))
    uvicorn.run(made, host="127.0.0.1", port=int(sys.argv[3]), log_level="warning", access_log=False)
