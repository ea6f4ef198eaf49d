"""Log in with a token, and log out: pages for browsers. The session is a cookie (sessions.py)."""

import re
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from plimsoll.slo.service import sessions
from plimsoll.slo.service.auth import Authentication, TooManyWrongTokensError
from plimsoll.slo.service.pages.templates import page_templates

# A path of this service. Browsers read a second slash, and a backslash, as the start of another host, and skip control characters.
LOCAL_PATH = re.compile(r"/(?![/\\])[!-~]*")
WRONG = "Unknown token. Check that you pasted all of it."
TOO_MANY = "Too many wrong tokens. Wait a minute, then try again."


class Login:
    """The login page, its form, and the end of a session."""

    def __init__(self, auth: Authentication) -> None:
        self._auth = auth

    def unauthenticated(self, scope: Scope) -> Response:
        """Return the login page in place of the page that was asked for; the form leads on to that."""
        query = scope["query_string"].decode("latin-1")
        path = scope.get("raw_path", b"/").decode("latin-1").partition("?")[0]
        return self._page(Request(scope), f"{path}?{query}" if query else path, 401)

    def router(self) -> APIRouter:
        """Return the routes."""
        routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

        @routes.get("/login")
        def login_page(request: Request) -> Response:
            return self._page(request, request.query_params.get("next", "/"), 200)

        @routes.post("/login")
        async def log_in(request: Request) -> Response:
            return self._log_in(request, parse_qs((await request.body()).decode("latin-1")))

        @routes.post("/logout")
        async def log_out(request: Request) -> Response:
            caller = request.scope.get("plimsoll_caller")
            if caller is not None:
                self._auth.record("logout", request.scope, caller.name)
            response = RedirectResponse("/login", 303)
            response.delete_cookie(sessions.cookie_name(request.url.scheme), **_attributes(request))
            return response

        return routes

    def _log_in(self, request: Request, form: dict[str, list[str]]) -> Response:
        text, target = (form.get(name, [""])[0].strip() for name in ("token", "next"))
        try:
            token = self._auth.check(text, request.scope, "login_failed")
        except TooManyWrongTokensError:
            return self._page(request, target, 429, TOO_MANY)
        if token is None:
            return self._page(request, target, 401, WRONG)
        self._auth.record("login", request.scope, token.name)
        value = sessions.issue(token, self._auth.clock())
        response = RedirectResponse(_local(target), 303)
        name, age = sessions.cookie_name(request.url.scheme), sessions.SESSION_SECONDS
        response.set_cookie(name, value, max_age=age, **_attributes(request))
        return response

    def _page(self, request: Request, target: str, status: int, error: str = "") -> Response:
        context = {"target": _local(target), "error": error}
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        return page_templates().TemplateResponse(request, "login.html", context, status, headers)


def _local(target: str) -> str:
    """Return a path of this service: the given one, or / where it leads elsewhere."""
    return target if LOCAL_PATH.fullmatch(target) else "/"


def _attributes(request: Request) -> dict[str, Any]:
    """Return the cookie's attributes. Lax: a link from PagerDuty finds the session, a form of another site doesn't."""
    return {"path": "/", "httponly": True, "samesite": "lax", "secure": request.url.scheme == "https"}
