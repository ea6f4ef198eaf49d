"""The service's pages as people meet them, in a real browser: on a desk, on a phone, by keyboard, on paper, without scripts."""

import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from browser import Watched, chromium, served
from recorded import Recorded
from slo.capacity.recommend import Recommendation
from slo.ledger.booking import SlotCount
from slo.ledger.database import open_database
from slo.ledger.pool_booking import PoolSlot
from slo.ledger.store import Ledger
from slo.service.state import Service
from slo.spec import load
from slo.windows import SLOT
from world import SPEC_TEXT, spec

pytestmark = pytest.mark.browser
NOW = 1_700_000_400.0
PAGES = ("/", "/slos/fast", "/pools/pool", "/reviews/2023-W46", "/runbooks")
HOUR = 3600


def pool_slot(at: int, back: float) -> PoolSlot:
    """A calm slot; six hours ago requests queue for an hour, and two hours ago a replica is lost."""
    queued, lost = 5 < back <= 6, 1.9 < back <= 2.1
    return PoolSlot(
        at,
        300.0,
        arrivals=200,
        finished=198,
        errors=0,
        refused=None,
        abandoned_queued=2 if queued else 0,
        prompt_tokens=90_000,
        generation_tokens=40_000,
        preemptions=0,
        queue_max=80.0 if queued else 2.0,
        queue_mean=35.0 if queued else 0.1,
        kv_max=0.84 if queued else 0.4,
        kv_mean=0.7 if queued else 0.3,
        replicas=3.0 if lost else 4.0,
        nodes=3.0 if lost else 4.0,
        gone=int(lost),
    )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two days of a pool, of which three hours were not observed."""
    ledger = Ledger(open_database(f"sqlite:///{tmp_path_factory.mktemp('pages')}/ledger.db"))
    counts, rows = [], []
    for at in range(int(NOW) - 48 * HOUR, int(NOW), SLOT):
        back = (NOW - at) / HOUR
        if 10 < back <= 13:
            continue
        row = pool_slot(at, back)
        bad = 40 if row.queue_max == 80 else 12 if row.gone else 1
        counts.append(SlotCount(at, 200 - bad, 200, 300.0, "request"))
        rows.append(row)
    ledger.book({("fast", "hash"): counts}, int(NOW) - 1200, {"pool": rows})
    service = Service(spec(), Recorded([]), ledger, clock=lambda: NOW)
    evidence = {"waiting_requests": {"a:8000": 84}, "capacity_tokens_per_second_per_replica": 520.0}
    advice = Recommendation("pool", "add", 2, 2, 4, ["84 requests wait", "<b>bold</b>"], evidence, 0.9, NOW)
    ledger.remember("pool", NOW - 60, asdict(advice))
    service._recommendations["pool"] = advice
    service.booked_at = NOW
    service.judge()
    yield service
    ledger.engine.dispose()


@pytest.fixture(scope="module")
def url(service: Service) -> Iterator[str]:
    with served(service) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


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
    expect(page.locator(".number")).to_have_text(f"{budget['budget_left']:.1%}")
    found = httpx.get(f"{url}/api/v1/slos/fast/attribution").json()
    expect(page.locator(".verdict")).to_have_text(found["verdict"])
    shares = page.locator(".shares tbody tr")
    assert shares.count() == len(found["shares"]) == 3
    for share, row in zip(found["shares"], shares.all(), strict=True):
        assert f"{share['bad']:,}" in row.inner_text()
    assert [re.sub(r"\s+", " ", row.inner_text()).split(" ")[-1] for row in shares.all()] == ["help", "help", "not"]
    expect(page.get_by_role("heading", name="Worst slots of the window")).to_be_visible()
    page.close()


def test_the_pools_page_gives_the_advice_with_its_reasons_and_shows_text_as_text(browser: Browser, url: str) -> None:
    page = Watched(browser.new_page(), url).open("/pools/pool?hours=6")
    expect(page.locator(".card .number")).to_have_text("add 2")
    expect(page.locator(".reasons")).to_contain_text("<b>bold</b>")
    expect(page.locator(".ranges [aria-current]")).to_have_text("6 hours")
    expect(page.locator(".u-legend").first).to_have_text("atlatesttokens/s asked for438carried433capacity2,080")
    page.get_by_text("What it rests on").click()
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
    service.judge()
    try:
        page = watched.open("/pools/pool?hours=6")
        expect(page.locator(".chart").first).to_have_text("Unknown: nothing was observed in this time.")
    finally:
        service.clock = lambda: NOW
        service.judge()
        watched.page.close()


@pytest.mark.parametrize("path", PAGES[:4])
def test_everything_that_can_be_clicked_is_reached_by_keyboard_and_shows_it(
    browser: Browser, url: str, path: str
) -> None:
    page = Watched(browser.new_page(), url).open(path)
    wanted = page.locator("a[href]:visible, summary:visible").count()
    seen = set()
    for _ in range(3 * wanted):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            """() => { const all = [...document.querySelectorAll('a[href], summary')], one = document.activeElement;
                       return [all.indexOf(one), getComputedStyle(one).outlineStyle]; }"""
        )
        if name >= 0:
            seen.add(name)
            assert outline != "none", name
    assert len(seen) == wanted
    page.close()


@pytest.mark.parametrize("path", PAGES[:4])
def test_on_paper_there_is_the_content_and_no_menu(browser: Browser, url: str, path: str, tmp_path: Path) -> None:
    page = Watched(browser.new_page(), url).open(path)
    page.emulate_media(media="print")
    expect(page.locator("header")).to_be_hidden()
    expect(page.get_by_role("heading", level=1).first).to_be_visible()
    file = tmp_path / "page.pdf"
    page.pdf(path=file, format="A4")
    assert file.read_bytes().count(b"/Type /Page\n") + file.read_bytes().count(b"/Type /Page ") <= 8
    page.close()


def test_what_burns_comes_first_and_the_advice_stands_above_it(browser: Browser, tmp_path: Path) -> None:
    more = "  - {id: slow, pool: pool, indicator: {time_per_output_token: 40ms}, target: 95%, window: 28d}\n"
    ledger = Ledger(open_database(f"sqlite:///{tmp_path}/ledger.db"))
    objectives = load(SPEC_TEXT + more)
    for name, good in (("fast", 200), ("slow", 100)):
        counts = [SlotCount(int(NOW) - SLOT * back, good, 200, 300.0, "request") for back in range(1, 13)]
        ledger.book({(name, "hash"): counts}, int(NOW))
    with served(Service(objectives, Recorded([]), ledger, clock=lambda: NOW)) as url:
        page = Watched(browser.new_page(), url).open("/")
        assert page.locator(".card h2").all_inner_texts() == ["slow", "fast", "pool"]
        expect(page.locator("main")).to_contain_text("Capacity: pool insufficient data")
        page.close()
    ledger.engine.dispose()


def test_without_scripts_every_number_is_there(browser: Browser, url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}/slos/fast")
    expect(page.locator(".verdict")).to_be_visible()
    expect(page.locator("time").first).to_contain_text("UTC")
    context.close()


def test_a_page_that_is_looked_at_renews_itself(browser: Browser, url: str, service: Service) -> None:
    watched = Watched(browser.new_page(), url)
    watched.page.clock.install()
    page = watched.open("/slos/fast")
    before = page.locator(".number").inner_text()
    count = SlotCount(int(NOW) - SLOT, 0, 200, 300.0, "request")
    service.ledger.correct("fast", count, "ann", "a test", NOW)
    service.judge()
    page.clock.run_for(16_000)
    expect(page.locator(".number")).not_to_have_text(before)
    expect(page.locator(".chart canvas").first).to_be_visible()
    assert watched.wrong == []
    page.close()
