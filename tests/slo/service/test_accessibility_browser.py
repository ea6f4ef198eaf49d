"""Every page against axe-core's rules for WCAG 2.2 A and AA: light and dark, on a desk and on a phone, with all that can be opened open."""

import httpx
import pytest
from playwright.sync_api import Browser, expect

from axe import violations
from browser import Watched, served
from pages_world import HOUR, NOW
from plimsoll.slo.error_budget.exclusions import Exclusion
from plimsoll.slo.ledger.manual_changes import exclude
from plimsoll.slo.service.access import Access
from plimsoll.slo.service.state import Service
from plimsoll.slo.service.tokens import new_token

pytestmark = pytest.mark.browser
WHATIF = "/pools/pool/whatif?request_rate=5&input_tokens=300&output_tokens=20&concurrency=1,4"
PAGES = {
    "SLOs": "/",
    "SLO": "/slos/fast",
    "counted by day": "/slos/fast/counted",
    "counted by slot": "/slos/fast/counted?range=6h",
    "pool": "/pools/pool",
    "what-if": WHATIF,
    "what-if rejected": "/pools/pool/whatif?workload_mix=5",
    "review": "/reviews/2023-W46",
    "latest review": "/reviews",
    "month": "/reviews/2023-11",
    "runbooks": "/runbooks",
    "runbook": "/runbooks/LLMKVCacheUsageHigh",
    "API": "/docs",
    "error": "/slos/unknown",
}
SCREENS = [(width, theme) for width in (1280, 375) for theme in ("light", "dark")]


@pytest.fixture(scope="module")
def service(service: Service) -> Service:
    exclude(service.ledger.engine, Exclusion(NOW - HOUR, NOW, "ann", "load test", None, "pool"), NOW)
    service.evaluate()
    return service


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_no_page_violates_a_rule(browser: Browser, url: str, width: int, theme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)  # type: ignore[arg-type]
    found = {}
    for name, path in PAGES.items():
        page = Watched(context.new_page(), url).open(path)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.get_by_role("heading", level=1).count() > 0, name
        found[name] = violations(page)
        page.close()
    context.close()
    assert {name: one for name, one in found.items() if one} == {}


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_neither_does_the_login(browser: Browser, service: Service, width: int, theme: str) -> None:
    _, reader = new_token("oncall", "read")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)  # type: ignore[arg-type]
    with served(service, Access([reader])) as url:
        page = context.new_page()
        page.goto(f"{url}/")
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("alert").wait_for()
        assert violations(page) == []
    context.close()


def test_an_error_is_a_page_to_a_browser_and_a_document_to_others(browser: Browser, url: str) -> None:
    page = browser.new_page()
    answer = page.goto(f"{url}/pools/unknown")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("alert")).to_contain_text("Unknown pool 'unknown'. Use one of: pool.")
    page.get_by_role("link", name="all SLOs").click()
    expect(page.get_by_role("heading", level=1).first).to_have_text("SLOs")
    page.close()
    assert httpx.get(f"{url}/pools/unknown").json()["code"] == "unknown_pool"
    assert httpx.get(f"{url}/api/v1/pools/unknown/cost", headers={"Accept": "text/html"}).json()["status"] == 404


def test_a_violation_is_found(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content("<html lang=en><title>t</title><main><h1>t</h1><img src='data:,'></main>")
    assert [rule for rule, _ in violations(page)] == ["image-alt"]
    page.close()
