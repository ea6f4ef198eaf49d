"""Debian's Chromium, driven by Playwright, and the service on a loopback port for it to look at."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from plimsoll.compose.listen import open_socket
from plimsoll.slo.service.access import Access
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from stack import require, wait_for

# A page takes as long as the machine is busy: Playwright's own 5 s are too few beside other tests.
expect.set_options(timeout=60_000)

RUNBOOKS = "# Runbooks\n\n## LLMKVCacheUsageHigh\n\nLook at the queue."


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser; nothing is downloaded."""
    path = require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def served(service: Service, access: Access | None = None, runbooks: str = RUNBOOKS) -> Iterator[str]:
    """Serve pages and API without the jobs, by default to everybody; gives the URL."""
    app = create_app(service, access, runbooks, limits={"reads": "10000/second"})
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    with open_socket("127.0.0.1", 0, None, "") as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        wait_for(lambda: server.started, "the service to listen", 60)
        yield "http://{}:{}".format(*listening.getsockname()[:2])
        server.should_exit = True
        thread.join()


# The focus, and whether a person sees where it is.
_FOCUS_SHOWN = """() => { const one = document.activeElement; if (one === document.body) return true;
    const style = getComputedStyle(one), box = one.getBoundingClientRect();
    const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== "none";
    return ring && box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth; }"""


def reach(wanted: Locator, key: str = "Tab") -> None:
    """Press a key until an element has the focus; wherever the focus is on the way, it is in view and has a ring."""
    page = wanted.page
    for _ in range(200):
        page.keyboard.press(key)
        assert page.evaluate(_FOCUS_SHOWN), page.evaluate("document.activeElement.outerHTML")
        if wanted.evaluate("(one) => one === document.activeElement"):
            return
    raise AssertionError(f"{wanted} isn't reached by {key}")


class Watched:
    """A page and all that went wrong on it: what it logged, and what it asked of other hosts."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.wrong: list[str] = []
        page.on("console", lambda message: self.wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on(
            "response",
            lambda answer: self.wrong.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None,
        )
        page.on("request", lambda request: None if request.url.startswith(url) else self.wrong.append(request.url))

    def open(self, path: str) -> Page:
        """Go to a page, and return once it has drawn."""
        self.page.goto(self.url + path)
        expect(self.page.locator(".chart:empty")).to_have_count(0)
        return self.page
