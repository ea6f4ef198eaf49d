"""The time range of an SLO's page: chosen from the page, kept in the address, and followed by charts, tables, and downloads."""

import csv
import io
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from browser import Watched
from pages_world import HOUR, NOW
from plimsoll.slo.calendar import rfc3339

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", ["1h", "6h", "24h", "7d", "window"])
def test_each_range_is_a_link_that_charts_and_table_follow(browser: Browser, url: str, name: str) -> None:
    watched = Watched(browser.new_page(), url)
    page = watched.open("/slos/fast")
    expect(page.locator(".ranges [aria-current]")).to_have_text("1 day")
    text = {"1h": "1 hour", "6h": "6 hours", "24h": "1 day", "7d": "1 week", "window": "SLO window"}[name]
    page.get_by_role("link", name=text, exact=True).click()
    page.wait_for_url(f"**/slos/fast?range={name}#recent")
    expect(page.locator(".ranges [aria-current]")).to_have_text(text)
    hours = {"1h": 1, "6h": 6, "24h": 24, "7d": 168}.get(name, 28 * 24)
    chart = page.locator(".chart[data-chart=total]")
    since = str(chart.get_attribute("data-since"))
    expected = NOW - hours * HOUR
    assert since == rfc3339(expected)
    # The queue of five to six hours ago has the most bad requests.
    worst = page.locator("section[aria-labelledby=worst] tbody tr")
    expect(worst.first).to_contain_text("40 / 200" if hours > 5 else "1 / 200")
    assert watched.wrong == []
    page.close()


def test_a_range_from_a_moment_to_a_moment_is_shared_by_its_address_and_downloaded(browser: Browser, url: str) -> None:
    context = browser.new_context(timezone_id="America/New_York", accept_downloads=True)
    watched = Watched(context.new_page(), url)
    page = watched.open("/slos/fast")
    form = page.get_by_role("form", name="Time range from and to")
    form.get_by_label("From").fill("2023-11-14T11:20")  # five hours behind UTC
    form.get_by_label("To").fill("2023-11-14T12:20")
    form.get_by_role("button", name="Show").click()
    page.wait_for_url("**/slos/fast?from=2023-11-14T16%3A20%3A00Z&to=2023-11-14T17%3A20%3A00Z#recent")
    expect(page.locator(".ranges [aria-current]")).to_have_count(0)
    expect(page.locator("section[aria-labelledby=worst] tbody tr")).to_have_count(8)
    shared = Watched(browser.new_context(timezone_id="UTC").new_page(), url)
    other = shared.open(page.url.removeprefix(url))
    form = other.get_by_role("form", name="Time range from and to")
    expect(form.get_by_label("From")).to_have_value("2023-11-14T16:20")
    chart = other.locator(".chart[data-chart=bad]")
    assert chart.get_attribute("data-until") == "2023-11-14T17:20:00Z"
    with other.expect_download() as started:
        other.get_by_role("link", name="slots of this range").click()
    found = list(csv.DictReader(io.StringIO(Path(started.value.path()).read_text())))
    asked = {"from": "2023-11-14T16:20:00Z", "to": "2023-11-14T17:20:00Z"}
    listed = httpx.get(f"{url}/api/v1/slos/fast/slots", params=asked).json()["slots"]
    assert [(row["start"], row["good"]) for row in found] == [(one["start"], str(one["good"])) for one in listed]
    assert watched.wrong == shared.wrong == []
    context.close()


@pytest.mark.parametrize("query", ["from=2023-11-14T16:20:00Z&to=2023-11-14T16:20:00Z", "from=2020-01-01T00:00:00Z"])
def test_a_range_that_there_is_not_is_an_error(browser: Browser, url: str, query: str) -> None:
    page = browser.new_page()
    page.goto(f"{url}/slos/fast?{query}")
    expect(page.get_by_role("alert")).to_contain_text("at most 100 days")
    page.close()
