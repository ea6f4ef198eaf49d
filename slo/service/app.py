"""The SLO service as an ASGI application: API, pages, metrics, and health checks."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from plimsoll.slo import links
from plimsoll.slo.service import jobs, metrics
from plimsoll.slo.service.access import Access
from plimsoll.slo.service.api.router import router
from plimsoll.slo.service.auth import WRONG_TOKENS, Authentication
from plimsoll.slo.service.guard import Guard
from plimsoll.slo.service.http import openapi, problems
from plimsoll.slo.service.http.body import RequestLimit
from plimsoll.slo.service.http.etag import Etag
from plimsoll.slo.service.http.forwarded import ForwardedHeaders
from plimsoll.slo.service.pages import error, login, pages
from plimsoll.slo.service.state import Service

NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
HERE = Path(__file__).parent


def create_app(
    service: Service,
    access: Access | None = None,
    runbooks: str = "",
    limits: Mapping[str, str] | None = None,
    telemetry: TelemetryConfig | None = None,
    grafana: str = links.GRAFANA_URL,
) -> FastAPI:
    """Return the application. `access` states who may use it (default: everybody), `runbooks` is Markdown for /runbooks,
    `limits` override the rates `reads`, `writes`, and `wrong` (tokens), `telemetry` is a configuration of service.telemetry,
    `grafana` the address to which runbooks link.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        scheduler = jobs.scheduler(service)
        scheduler.start()
        following = asyncio.create_task(jobs.follow_clock(scheduler, service))
        yield
        following.cancel()
        scheduler.shutdown(wait=False)
        service.leader.resign(for_good=True)

    app = FastAPI(
        title=openapi.TITLE,
        version="1",
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        docs_url=None,
        redoc_url=None,
        telemetry=telemetry or NO_TELEMETRY,
    )
    _guard(app, service, access or Access(), dict(limits or {}))
    problems.install(app, error.as_page)
    openapi.install(app)
    app.include_router(router(service))
    app.include_router(pages.router(service, runbooks, grafana))
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    _operations(app, service)
    return app


def _guard(app: FastAPI, service: Service, access: Access, rates: dict[str, str]) -> None:
    """Add what every request passes, from the application outwards, and the login."""
    auth = Authentication(access, service.clock, rates.pop("wrong", WRONG_TOKENS))
    login_page = login.Login(auth)
    app.include_router(login_page.router())
    app.add_middleware(Etag, prefix="/api/")
    app.add_middleware(RequestLimit)
    app.add_middleware(Guard, auth=auth, login=login_page.unauthenticated, **rates)
    app.add_middleware(ForwardedHeaders, proxy=access.proxy)


def _operations(app: FastAPI, service: Service) -> None:
    own = metrics.registry(service)

    @app.get("/metrics", include_in_schema=False)
    def metrics_page() -> Response:
        return Response(generate_latest(own), media_type=CONTENT_TYPE_LATEST)

    # Not in the thread pool: it answers also while slow requests fill that.
    @app.get("/-/healthy", include_in_schema=False)
    async def healthy() -> PlainTextResponse:
        return PlainTextResponse("healthy\n")

    @app.get("/-/ready", include_in_schema=False)
    async def ready(request: Request) -> JSONResponse:
        reasons = service.not_ready_reasons()
        if reasons:
            return problems.problem(request.url.path, 503, " ".join(reasons), "not_ready")
        partial = [f"scrape: {problem}" for problem in service.source_problems]
        return JSONResponse({"status": "ready"} | ({"problems": partial} if partial else {}))
