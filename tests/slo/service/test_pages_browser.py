"""The service's pages as people meet them, in a real browser: on a desk, on a phone, by keyboard, on paper, without scripts."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from browser import Watched, served
from pages_world import HOUR, NOW
from plimsoll.slo.calendar import SLOT
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.spec.objectives import load
from recorded import Recorded
from world import SPEC_TEXT

pytestmark = pytest.mark.browser
WHATIF = "/pools/pool/whatif?request_rate=5&input_tokens=300&output_tokens=20"
# Red, green, and blue of --ok and --exhausted in page.css: every chart has a line or bars in one of them.
LIGHT, DARK = ["0,114,178", "194,58,0"], ["86,180,233", "255,122,69"]
PAGES = (
    "/",
    "/slos/fast",
    "/pools/pool",
    "/reviews/2023-W46",
    WHATIF,
    "/slos/fast/counted",
    "/reviews/2023-11",
    "/runbooks",
    "/docs",
)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
def test_every_page_draws_and_fits_says_nothing_wrong_and_asks_no_other_host(
    browser: Browser, url: str, width: int, dark: bool
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light")
    watched = Watched(context.new_page(), url)
    for path in PAGES:
        page = watched.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.locator(".chart").count() == page.locator(".chart canvas").count(), path
        assert page.title().endswith("Plimsoll")
    assert watched.wrong == []
    context.close()


def test_the_objectives_page_says_where_it_stands_and_whether_more_nodes_would_help(browser: Browser, url: str) -> None:
    page = Watched(browser.new_page(), url).open("/")
    page.get_by_role("link", name="fast").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("fast")
    budget = httpx.get(f"{url}/api/v1/slos/fast").json()
    expect(page.locator(".number")).to_have_text(f"{budget['budget_remaining']:.1%}")
    found = httpx.get(f"{url}/api/v1/slos/fast/attribution").json()
    expect(page.locator(".summary")).to_have_text(found["summary"])
    causes = page.locator(".causes tbody tr")
    assert causes.count() == len(found["causes"]) == 3
    for cause, row in zip(found["causes"], causes.all(), strict=True):
        assert f"{cause['bad']:,}" in row.inner_text()
    assert [re.sub(r"\s+", " ", row.inner_text()).split(" ")[-1] for row in causes.all()] == ["Yes", "Yes", "No"]
    expect(page.get_by_role("heading", name="Worst slots")).to_be_visible()
    page.close()


def test_the_pools_page_gives_the_advice_with_its_reasons_and_shows_text_as_text(browser: Browser, url: str) -> None:
    page = Watched(browser.new_page(), url).open("/pools/pool?hours=6")
    expect(page.locator(".card .number")).to_have_text("Add 2 nodes")
    expect(page.locator(".reasons")).to_contain_text("<b>bold</b>")
    rows = [re.sub(r"\s+", " ", row.inner_text()) for row in page.locator(".choices tbody tr").all()]
    assert rows == [
        "4 99.1% 16.00 Recommended: Demand and backlog",
        "3 94.0% 12.00 With 3 nodes, 6.0% of requests are expected to miss the target (allowed 5%), by queue replay of the last 15 min.",
        "2 70.0% No data Current: With 2 nodes, 30.0% of requests are expected to miss the target (allowed 5%), by queue replay of the last 15 min.",
    ]
    expect(page.locator(".ranges [aria-current]")).to_have_text("6 hours")
    expect(page.locator(".u-legend").first).to_have_text("TimelatestDemand (tokens/s)438Throughput433Capacity2,080")
    page.get_by_text("Evidence").click()
    expect(page.locator(".evidence")).to_contain_text("a:8000: 84")
    page.close()


def test_time_that_nobody_watched_is_a_gap_and_a_chart_without_numbers_says_unknown(
    browser: Browser, url: str, service: Service
) -> None:
    watched = Watched(browser.new_page(), url)
    answered = watched.page.goto(f"{url}/api/v1/pools/pool/slots?from=2023-11-14T09:20:00Z&to=2023-11-14T12:20:00Z")
    assert answered is not None
    assert answered.json()["slots"] == []
    service.clock = lambda: NOW + 7 * HOUR
    service.evaluate()
    try:
        page = watched.open("/pools/pool?hours=6")
        expect(page.locator(".chart").first).to_have_text("No data in this range.")
    finally:
        service.clock = lambda: NOW
        service.evaluate()
        watched.page.close()


@pytest.mark.parametrize("path", PAGES)
def test_everything_that_can_be_clicked_is_reached_by_keyboard_in_order_and_back(
    browser: Browser, url: str, path: str
) -> None:
    page = Watched(browser.new_page(), url).open(path)
    page.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")
    reached = "a[href], summary, input, select, button"
    wanted = page.locator(reached).locator("visible=true").count()
    for key in ("Tab", "Shift+Tab"):
        order: list[int] = []
        for _ in range(10 * wanted):
            page.keyboard.press(key)
            name, outline = page.evaluate(
                """(reached) => { const all = [...document.querySelectorAll(reached)], one = document.activeElement;
                                  return [all.indexOf(one), getComputedStyle(one).outlineStyle]; }""",
                reached,
            )
            assert name < 0 or outline != "none", name
            if name >= 0 and order[-1:] != [name]:  # parts of a time are one input
                order.append(name)
            if len(order) == wanted:
                break
        forward = order if key == "Tab" else order[::-1]
        first = forward.index(min(forward))
        assert len(order) == wanted, key
        assert forward[first:] + forward[:first] == sorted(set(forward)), key
    page.close()


@pytest.mark.parametrize(("path", "most"), list(zip(PAGES, (2, 2, 3, 2, 2, 2, 2, 1, 10), strict=True)))
def test_paper_has_the_whole_content_in_light_colors_and_nothing_to_press(
    browser: Browser, url: str, path: str, most: int, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark")
    page = Watched(context.new_page(), url).open(path)
    assert _drawn_in(page, DARK) == page.locator(".chart canvas").count()
    page.set_viewport_size({"width": 690, "height": 1000})  # A4 at 96 dpi less the margins of page.css
    page.emulate_media(media="print", color_scheme="dark")
    for pressed in page.locator("header, nav, form, input, select, button:not(thead button), a[download]").all():
        expect(pressed).to_be_hidden()
    expect(page.get_by_role("heading", level=1).first).to_be_visible()
    assert page.locator(".chart canvas").count() == page.locator(".chart:visible canvas").count()
    assert _drawn_in(page, LIGHT) == page.locator(".chart canvas").count()
    cut = """() => [...document.querySelectorAll("main *")].filter((one) => one.clientWidth > 0 && !one.matches(".uplot, .uplot *")
        && (one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== "visible"
            || one.getBoundingClientRect().right > innerWidth + 1)).map((one) => one.outerHTML.slice(0, 80))"""
    assert page.evaluate(cut) == []
    file = tmp_path / "page.pdf"
    page.pdf(path=file, format="A4")
    assert len(re.findall(rb"/Type /Page\b(?!s)", file.read_bytes())) <= most
    context.close()


def _drawn_in(page: Page, colors: list[str]) -> int:
    """How many charts have lines or bars in one of the colors."""
    count = """(colors) => [...document.querySelectorAll(".chart canvas")].filter((one) => {
        const pixels = one.getContext("2d").getImageData(0, 0, one.width, one.height).data;
        for (let at = 0; at < pixels.length; at += 4)
            if (pixels[at + 3] === 255 && colors.includes(pixels.slice(at, at + 3).join(","))) return true;
        return false; }).length"""
    found: int = page.evaluate(count, colors)
    return found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_review_on_paper_has_every_section_whole_and_dark_on_white(browser: Browser, url: str, dark: bool) -> None:
    paper = {"width": 690, "height": 1000}  # A4 at 96 dpi less the margins of page.css
    context = browser.new_context(viewport=paper, color_scheme="dark" if dark else "light")  # type: ignore[arg-type]
    page = Watched(context.new_page(), url).open("/reviews/2023-W46")
    shown = [text for text in page.locator("h1, h2, caption, th").all_inner_texts() if text]
    page.emulate_media(media="print", color_scheme="dark" if dark else "light")
    assert [text for text in page.locator("h1, h2, caption, th").all_inner_texts() if text] == shown
    for heading in ("Weekly review 2023-W46", "Capacity", "pool", "Traffic and cost of pool"):
        expect(page.locator("h1, h2, caption").get_by_text(heading, exact=True).first).to_be_visible()
    clipped = """() => [...document.querySelectorAll('table')].filter((one) => {
        const box = one.getBoundingClientRect(), sheet = one.closest('.sheet, .scroll').getBoundingClientRect();
        return one.scrollWidth > one.clientWidth || box.right > sheet.right + 1 || box.right > innerWidth; }).length"""
    assert page.evaluate(clipped) == 0
    inks = page.evaluate(
        "() => [...document.querySelectorAll('td, th, h1, h2, li, p')].map((one) => getComputedStyle(one).color)"
    )
    assert max(sum(map(int, re.findall(r"\d+", ink)[:3])) for ink in inks) < 3 * 128, "every ink is dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgba(0, 0, 0, 0)"
    context.close()


def test_on_a_phone_no_table_of_the_review_has_to_be_pushed_sideways(browser: Browser, url: str) -> None:
    page = Watched(browser.new_page(viewport={"width": 375, "height": 800}), url).open("/reviews/2023-W46")
    hidden = "[...document.querySelectorAll('.sheet')].map(one => one.scrollWidth - one.clientWidth)"
    assert set(page.evaluate(hidden)) == {0}
    cell = page.locator(".stack td", has_text="95%").first
    assert cell.evaluate("one => getComputedStyle(one, '::before').content") == '"Target"', (
        "what it is stands beside it"
    )


def test_what_if_is_asked_from_the_pools_page_by_keyboard_and_answered(browser: Browser, url: str) -> None:
    watched = Watched(browser.new_page(), url)
    page = watched.open("/pools/pool")
    page.get_by_role("link", name="What-if analysis").click()
    expect(page.get_by_role("button", name="Run simulation")).to_be_visible()
    assert "Calculation" not in httpx.get(f"{url}/pools/pool/whatif").text, "the form doesn't wait for a simulation"
    expect(page.locator(".card")).to_contain_text(
        "455 input + 202 output tokens (observed, last 7 days)", timeout=60_000
    )
    expect(page.locator(".card")).to_contain_text("for 0.667 requests/s (observed peak, last 7 days)")
    page.get_by_label("Requests per second").fill("40")
    page.get_by_label("Tensor parallel size").select_option("8")
    page.keyboard.press("Enter")
    page.wait_for_url("**tensor_parallel_size=8**")
    told = httpx.get(
        f"{url}/api/v1/pools/pool/whatif", params={"request_rate": 40, "tensor_parallel_size": 8}, timeout=30
    ).json()
    low, high = told["result"]["nodes"]
    expect(page.locator(".number")).to_have_text(f"{low}–{high}" if low != high else f"{low}")
    expect(page.locator(".card")).to_contain_text("Step times are estimated, not measured")
    assert page.locator(".steps tr").count() == len(told["calculation"])
    expect(page.get_by_label("Requests per second")).to_have_value("40")
    assert watched.wrong == []
    page.close()


def test_a_what_if_that_cannot_be_answered_keeps_what_was_written_and_says_why(browser: Browser, url: str) -> None:
    page = browser.new_page()
    page.goto(f"{url}/pools/pool/whatif?workload_mix=<b>5&request_rate=7")
    expect(page.get_by_role("alert")).to_contain_text("INPUT/OUTPUT/PERCENT")
    expect(page.get_by_label("Workload mix")).to_have_value("<b>5")
    page.goto(f"{url}/pools/pool/whatif?gpu=L40S-48GB&tensor_parallel_size=1")
    expect(page.locator(".number")).to_have_text("Not feasible")
    expect(page.locator(".steps")).to_contain_text("are missing for weights and overhead")
    page.close()


def test_what_burns_comes_first_and_the_advice_stands_above_it(browser: Browser, tmp_path: Path) -> None:
    more = "  - {id: slow, pool: pool, indicator: {time_per_output_token: 40ms}, target: 95%, window: 28d}\n"
    ledger = Ledger(open_database(f"sqlite:///{tmp_path}/ledger.db"))
    objectives = load(SPEC_TEXT + more)
    for name, good in (("fast", 200), ("slow", 100)):
        counts = [SlotCount(int(NOW) - SLOT * back, good, 200, 300.0, "request") for back in range(1, 13)]
        ledger.record({(name, "hash"): counts}, int(NOW))
    with served(Service(objectives, Recorded([]), ledger, clock=lambda: NOW)) as url:
        page = Watched(browser.new_page(), url).open("/")
        assert page.locator(".card h2").all_inner_texts() == ["slow", "fast", "pool"]
        expect(page.locator("main")).to_contain_text("Capacity: pool — insufficient data")
        page.close()
    ledger.engine.dispose()


def test_without_scripts_every_number_is_there(browser: Browser, url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}/slos/fast")
    expect(page.locator(".summary")).to_be_visible()
    expect(page.locator("time").first).to_contain_text("UTC")
    context.close()


def test_a_page_that_is_looked_at_renews_itself(browser: Browser, url: str, service: Service) -> None:
    watched = Watched(browser.new_page(), url)
    watched.page.clock.install()
    page = watched.open("/slos/fast")
    before = page.locator(".number").inner_text()
    count = SlotCount(int(NOW) - SLOT, 0, 200, 300.0, "request")
    service.ledger.correct("fast", count, "ann", "a test", NOW)
    service.evaluate()
    page.clock.run_for(16_000)
    expect(page.locator(".number")).not_to_have_text(before)
    expect(page.locator(".chart canvas").first).to_be_visible()
    assert watched.wrong == []
    page.close()
