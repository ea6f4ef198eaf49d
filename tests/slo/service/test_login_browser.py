"""Log in as people do: a real browser, on the machine's own address, from a link of PagerDuty, and behind a proxy."""

import contextlib
import http.server
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect

from plimsoll.compose.listen import SERVICE_TOKEN, open_socket
from plimsoll.exporters.connections import server_options
from plimsoll.slo.hosts import Hosts
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.access import Access, Proxy
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.sessions import SESSION_SECONDS
from plimsoll.slo.service.state import Service
from plimsoll.slo.service.tokens import new_token
from recorded import Recorded
from thread_server import serving
from world import spec

pytestmark = pytest.mark.browser
NOW = 1_700_000_400.0
LINK = "/pools/pool?hours=6&ref=alert%2F1"
TEXT, READER = new_token("oncall", "read")


class Site:
    """A service and its clock."""

    def __init__(self, url: str) -> None:
        self.url, self.now = url, NOW


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    yield context
    context.close()


@contextmanager
def service_on(host: str, folder: Path, access: Access) -> Iterator[Site]:
    """Serve pages and API on all addresses; the URL has the given one."""
    site = Site("")
    ledger = Ledger(open_database(f"sqlite:///{folder}/ledger.db"))
    service = Service(spec(), Recorded([]), ledger, clock=lambda: site.now)
    app = create_app(service, access, runbooks="# Runbooks\n\n## LLMKVCacheUsageHigh\n\nLook at the queue.")
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", **server_options()))
    with open_socket("0.0.0.0", 0, "required", SERVICE_TOKEN) as listening, serving(server, listening):
        site.url = f"http://{host}:{listening.getsockname()[1]}"
        yield site
    ledger.engine.dispose()


def own_address() -> str:
    """An address of this machine that isn't loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        with contextlib.suppress(OSError):
            probe.connect(("198.51.100.1", 9))  # sends nothing: it only chooses a route
        address = str(probe.getsockname()[0])
    if address.startswith(("127.", "0.")):
        pytest.skip("this machine has only loopback")
    return address


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with service_on(own_address(), tmp_path, Access([READER])) as running:
        yield running


def log_in(page: Page, text: str = TEXT) -> None:
    page.get_by_label("Token").fill(text)
    page.get_by_role("button", name="Log in").click()


def test_a_link_leads_through_the_login_to_its_target_and_log_out_ends_it(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    pager = "data:text/html," + quote(f"<a href='{site.url}{LINK}'>Pool</a>")  # a page of another site
    page.goto(pager)
    page.get_by_role("link", name="Pool").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    log_in(page)
    page.wait_for_url(site.url + LINK)
    expect(page.get_by_role("heading", level=1)).to_contain_text("pool")
    other = context.new_page()
    other.goto(pager)  # the session is found from another site's link, too
    other.get_by_role("link", name="Pool").click()
    expect(other.get_by_role("heading", level=1)).to_contain_text("pool")
    page.get_by_role("link", name="SLOs").first.click()
    expect(page.get_by_role("heading", level=1).first).to_have_text("SLOs")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    assert context.cookies() == []


def test_the_runbooks_need_no_login(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    wrong: list[int] = []
    page.on("response", lambda answer: wrong.append(answer.status) if answer.status >= 400 else None)
    page.goto(f"{site.url}/runbooks#llmkvcacheusagehigh")
    expect(page.locator(".runbooks")).to_contain_text("Look at the queue.")
    assert wrong == []


def test_a_wrong_token_is_stated_and_the_target_kept(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    page.goto(site.url + LINK)
    log_in(page, "wrong")
    expect(page.get_by_role("alert")).to_contain_text("Unknown token")
    assert context.cookies() == []
    log_in(page)
    page.wait_for_url(site.url + LINK)


def test_an_expired_session_leads_to_the_login_and_back(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    page.goto(site.url + LINK)
    log_in(page)
    page.wait_for_url(site.url + LINK)
    site.now += SESSION_SECONDS
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    log_in(page)
    page.wait_for_url(site.url + LINK)
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def test_a_page_that_is_looked_at_when_its_session_ends_asks_for_a_login(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    page.goto(site.url + LINK)
    log_in(page)
    page.wait_for_url(site.url + LINK)
    page.clock.install()
    page.reload()
    site.now += SESSION_SECONDS
    page.clock.run_for(16_000)
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_login_page_fits_works_by_keyboard_and_breaks_no_policy(
    browser: Browser, site: Site, width: int, dark: bool, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme="dark" if dark else "light")
    page = context.new_page()
    logged: list[str] = []
    page.on("console", lambda message: logged.append(message.text))
    page.goto(site.url + "/login")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.get_by_label("Token")).to_be_focused()
    page.screenshot(path=os.environ.get("LOGIN_PICTURE", str(tmp_path)) + f"/login-{width}-{dark}.png")
    page.keyboard.type(TEXT)
    page.keyboard.press("Enter")
    page.wait_for_url(site.url + "/")
    expect(page.locator("header")).to_contain_text("oncall")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Chromium notes that it ignores one header where there is no TLS.
    assert [text for text in logged if "Cross-Origin-Opener-Policy" not in text] == []
    context.close()


class _Front(http.server.BaseHTTPRequestHandler):
    """A reverse proxy as OIDC's: who comes through is ann, and it states for whom it asks."""

    upstream, name = "", ""

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        left_out = {"host", "connection", "x-forwarded-user", "x-forwarded-groups", "x-forwarded-for"}
        headers = {key: value for key, value in self.headers.items() if key.lower() not in left_out}
        headers |= {"X-Forwarded-User": "ann", "X-Forwarded-Groups": "sre", "X-Forwarded-Host": self.headers["Host"]}
        headers |= {"X-Forwarded-For": self.client_address[0], "X-Forwarded-Proto": "http"}
        answer = httpx.request(self.command, self.upstream + self.path, headers=headers, content=body, trust_env=False)
        self.send_response(answer.status_code)
        for key, value in answer.headers.items():
            if key.lower() not in ("content-length", "content-encoding", "transfer-encoding", "connection", "date"):
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = _forward

    def log_message(self, *_: Any) -> None:
        """Write nothing."""


@contextmanager
def proxied(upstream: str) -> Iterator[str]:
    handler = type("Front", (_Front,), {"upstream": upstream})
    with http.server.ThreadingHTTPServer(("0.0.0.0", 0), handler) as front:
        thread = threading.Thread(target=front.serve_forever, daemon=True)
        thread.start()
        yield f"http://slo.localhost:{front.server_port}"
        front.shutdown()


def test_behind_a_proxy_its_user_is_in_at_once_and_no_one_else(context: BrowserContext, tmp_path: Path) -> None:
    address = own_address()
    proxy = Proxy([ip_network("127.0.0.1/32")], "X-Forwarded-User", [("X-Forwarded-Groups", "sre")])
    access = Access([READER], Hosts(), proxy)
    with service_on("127.0.0.1", tmp_path, access) as site, proxied(site.url) as url:
        page = context.new_page()
        page.goto(url + LINK)
        expect(page.get_by_role("heading", level=1)).to_contain_text("pool")
        expect(page.locator("header")).to_contain_text("ann")
        expect(page.get_by_role("button", name="Log out")).to_have_count(0)  # the proxy's session isn't ours to end
        made = page.evaluate(
            """async () => (await fetch("/api/v1/exclusions", {method: "POST", headers: {"Content-Type": "application/json"},
               body: JSON.stringify({from: "2023-11-14T01:00:00Z", to: "2023-11-14T02:00:00Z", reason: "test"})})).json()"""
        )
        assert made["created_by"] == "ann"
        page.set_extra_http_headers({"X-Forwarded-User": "ann"})
        page.goto(site.url.replace("127.0.0.1", address) + LINK)
        expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
