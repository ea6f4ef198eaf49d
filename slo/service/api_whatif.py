"""The API's route for what-if: another replica, mix or rate for a pool, judged by the pool's own latency objectives."""

from dataclasses import asdict
from math import isfinite
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from slo.capacity import plan, steps
from slo.capacity.whatif import Question, gpu_price, whatif
from slo.service.problems import READING
from slo.service.state import Service


class Asked(BaseModel):
    """What is asked of the simulation."""

    replica: str = Field(steps.names()[0], description="A replica whose step model is known.")
    prompt: int = Field(500, ge=1, le=131_072, description="Prompt tokens of a request.")
    output: int = Field(200, ge=1, le=16_384, description="Tokens generated for a request.")
    rate: float = Field(20.0, gt=0, le=100_000, description="Requests per second.")
    max_num_seqs: int = Field(256, ge=1, le=1024)
    kv_bytes: int = Field(2, ge=1, le=2, description="Bytes of a number in the KV cache.")


class PromiseOut(BaseModel):
    """What a pool's objectives promise together; null: nothing is promised of it."""

    ttft_seconds: float | None
    tpot_seconds: float | None
    target: float


class WhatIf(BaseModel):
    """The answer, by simulation. Bands are [low, high]."""

    pool: str
    replica: str
    promise: PromiseOut
    answer: dict[str, Any] | None = Field(
        description="memory (with its steps), carries (requests/s of one replica), nodes, n_minus_1, usd_per_million; "
        "null: such requests cannot keep the promise on that replica, however few they are."
    )
    simulated: Literal[True] = True


def add(api: APIRouter, service: Service) -> None:
    """Add the route."""
    pools = {pool.name: pool for pool in service.spec.pools}

    @api.get("/pools/{pool}/whatif", responses=READING)
    def ask(pool: str, asked: Annotated[Asked, Query()]) -> WhatIf:
        if pool not in pools:
            raise HTTPException(404, f"no pool {pool!r}; pools are {', '.join(pools)}")
        promise = plan.promise(service.spec, pools[pool])
        if promise is None:
            raise HTTPException(422, f"pool: {pool!r} has no objective for time to first token or per output token")
        try:
            answer = whatif(
                Question(
                    *(asked.replica, asked.prompt, asked.output, promise, asked.rate),
                    *(asked.max_num_seqs, asked.kv_bytes, gpu_price(pools[pool], asked.replica)),
                )
            )
        except ValueError as error:
            raise HTTPException(422, f"replica: {error}") from error
        limits = [value if isfinite(value) else None for value in (promise.ttft, promise.tpot)]
        return WhatIf(
            pool=pool,
            replica=asked.replica,
            promise=PromiseOut(ttft_seconds=limits[0], tpot_seconds=limits[1], target=promise.target),
            answer=None if answer is None else asdict(answer),
        )
