"""The page of the what-if analysis: a form, the result, and the calculation."""

from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from pydantic import ValidationError

from plimsoll.slo.capacity.model import memory
from plimsoll.slo.capacity.model.hardware import BITS, SIZES
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.whatif.request import WhatIfRequest
from plimsoll.slo.reports.calibration import calibrated, calibration
from plimsoll.slo.service.api.whatif import simulated
from plimsoll.slo.service.http.parameters import require_pool
from plimsoll.slo.service.http.problems import ApiError
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.objectives import Pool

CHOICES = {
    "engine": [("", "vLLM"), ("sglang", "SGLang"), ("trtllm", "TensorRT-LLM")],
    "gpu": [("", "Same as baseline"), *((name, name) for name in memory.gpus())],
    "tensor_parallel_size": [("", "Same as baseline"), *((str(size), str(size)) for size in SIZES)],
    "expert_parallel": [("", "Slices on all GPUs"), ("true", "Whole on each GPU (expert parallel)")],
    "weight_bits": [("", "Same as baseline"), *((str(bits), f"{bits} bits") for bits in BITS)],
    "disaggregated": [("", "In each replica"), ("true", "Also as a pair of roles")],
    "kv_cache_bits": [("", "Same as baseline"), ("16", "16 bits"), ("8", "8 bits (FP8)")],
}


def add(pages: APIRouter, templates: Jinja2Templates, service: Service) -> None:
    """Add the page."""
    templates.env.globals["band"] = _band
    templates.env.globals["calibration_of"] = lambda pool: calibration(service.records, pool)

    @pages.get("/pools/{pool}/whatif")
    async def whatif_page(request: Request, pool: str) -> HTMLResponse:
        # An empty field is not an input.
        asked = {name: value for name, value in request.query_params.items() if value.strip()}
        context: dict[str, Any] = {"pool": require_pool(service, pool), "asked": asked}
        if not request.query_params:  # a simulation takes a second: the page asks for it (static/whatif.js)
            context["pending"] = True
        else:
            context |= await _result(service, pool, asked)
        return await run_sync(_page, templates, service, request, context)


async def _result(service: Service, pool: str, asked: dict[str, str]) -> dict[str, Any]:
    """Return the result, or what is wrong with the inputs."""
    try:
        return {"found": await simulated(service, pool, WhatIfRequest.model_validate(asked))}
    except ValidationError as error:
        first = error.errors()[0]
        return {"wrong": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"}
    except ApiError as error:
        return {"wrong": error.detail}


def _page(templates: Jinja2Templates, service: Service, request: Request, context: dict[str, Any]) -> HTMLResponse:
    pool: Pool = context["pool"]
    label = "Measured on this pool" if calibrated(service.records, pool) else "The pool's model and GPUs, as planned"
    same = [name for name in step_time.names() if step_time.replica(name).shape == memory.shape_of(pool.model)]
    budgets = service.evaluated().budgets.values()
    context["simulated"] = any(one.counted.simulated for one in budgets if one.objective.pool == pool.name)
    context["choices"] = {
        **CHOICES,
        "replica": [("", label), *((name, name) for name in same)],
        "compare_api": [("", "None"), *((name, name) for name in service.records.prices.apis)],
    }
    status = 422 if "wrong" in context else 200
    return templates.TemplateResponse(request, "whatif.html", context, status_code=status)


def _band(band: tuple[float, float], form: str) -> str:
    """Write a range, as one number where both ends read the same."""
    low, high = (form.format(value) for value in band)
    return low if low == high else f"{low}–{high}"
