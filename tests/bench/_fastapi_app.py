"""The alternative that a team would build, in its own environment: `python -m tests.bench._fastapi_app FOLDER KIND
PORT`.

`predict`: each request is one `Booster.predict` of inputs in memory. `table`: each request reads one row of a nightly
job's table.
"""

import json
import sys
from pathlib import Path

import lightgbm
import numpy as np
import psycopg
import uvicorn
from fastapi import FastAPI, HTTPException


def predicting(folder: Path, peer: dict[str, str]) -> FastAPI:
    app = FastAPI()
    booster = lightgbm.Booster(model_file=str(folder / "model.txt"), params={"num_threads": 1})
    stated = np.load(folder / "rows.npz")
    rows = dict(zip(stated["sellers"].tolist(), stated["x"][:, None, :], strict=True))

    @app.get("/score/{seller}")
    async def score(seller: str) -> dict[str, object]:
        row = rows.get(seller)
        if row is None:
            raise HTTPException(404)
        raw = float(booster.predict(row, raw_score=True, num_threads=1)[0])
        points = max(0, min(1_000, round(int(peer["base"]) - raw)))
        return {"seller": seller, "points": points, "tier": "trusted" if points >= 600 else "standard"}

    return app


def reading(folder: Path, peer: dict[str, str]) -> FastAPI:
    app = FastAPI()
    connection = psycopg.connect(peer["url"], autocommit=True)

    @app.get("/score/{seller}")
    async def score(seller: str) -> dict[str, object]:
        row = connection.execute("SELECT points, tier FROM nightly_score WHERE seller = %s", (seller,)).fetchone()
        if row is None:
            raise HTTPException(404)
        return {"seller": seller, "points": row[0], "tier": row[1]}

    return app


if __name__ == "__main__":
    place = Path(sys.argv[1])
    made = {"predict": predicting, "table": reading}[sys.argv[2]](place, json.loads((place / "peer.json").read_text()))
    uvicorn.run(made, host="127.0.0.1", port=int(sys.argv[3]), log_level="warning", access_log=False)
