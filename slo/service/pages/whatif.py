"""The page that asks what-if of a pool: a form, and the answer with its arithmetic."""

from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from pydantic import ValidationError

from plimsoll.slo.capacity.model import memory
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.whatif.hardware_scaling import BITS, SIZES
from plimsoll.slo.capacity.whatif.measured_scaling import MEASURED
from plimsoll.slo.reports.calibration import calibrated, calibration
from plimsoll.slo.service.api.pools import known
from plimsoll.slo.service.api.whatif import AskedOf, answered
from plimsoll.slo.service.state import Service

CHOICES = {
    "replica": [(name, name) for name in step_time.names()],
    "gpu": [("", "as the replica"), *((name, name) for name in memory.gpus())],
    "gpus": [("", "as the replica"), *((str(size), str(size)) for size in SIZES)],
    "weight_bits": [("", "as the replica"), *((str(bits), f"{bits} bits") for bits in BITS)],
    "kv_bytes": [("", "as the replica"), ("2", "16 bits"), ("1", "8 bits (FP8)")],
}


def add(pages: APIRouter, templates: Jinja2Templates, service: Service) -> None:
    """Add the page."""
    templates.env.globals["band"] = _band
    templates.env.globals["calibration_of"] = lambda pool: calibration(service.records, pool)

    @pages.get("/pools/{pool}/whatif")
    def whatif_page(request: Request, pool: str) -> HTMLResponse:
        known(service, pool)
        apis = [("", "none"), *((name, name) for name in service.records.prices.apis)]
        # A field that was left empty is one that was not asked.
        asked = {name: value for name, value in request.query_params.items() if value.strip()}
        own = (
            [(MEASURED, "the pool's own, as measured")] if calibrated(service.records, service.spec.pool(pool)) else []
        )
        choices = {**CHOICES, "replica": [*own, *CHOICES["replica"]], "api": apis}
        context: dict[str, Any] = {"pool": service.spec.pool(pool), "asked": asked, "choices": choices}
        try:
            context["found"] = answered(service, pool, AskedOf.model_validate(asked))
        except ValidationError as error:
            first = error.errors()[0]
            context["wrong"] = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        except HTTPException as error:
            context["wrong"] = error.detail
        status = 422 if "wrong" in context else 200
        return templates.TemplateResponse(request, "whatif.html", context, status_code=status)


def _band(band: tuple[float, float], form: str) -> str:
    """Write a band as one number where both ends read the same."""
    low, high = (form.format(value) for value in band)
    return low if low == high else f"{low} to {high}"
