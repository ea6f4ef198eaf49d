"""The runbook of each alert on a phone, opened by the address that the alert has in its incident."""

import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, ViewportSize

from alert_cases import incidents
from browser import Watched, served
from paths import ROOT
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.pages.runbooks import ACTIONS
from plimsoll.slo.service.state import Service
from service_world import NOW, world
from world import spec

pytestmark = pytest.mark.browser
TEXT = (ROOT / "alerts" / "runbooks.md").read_text()
PHONE: ViewportSize = {"width": 360, "height": 740}


def written(alert: str) -> str:
    """What the page shows of the runbooks, with the places of the labels."""
    own, actions = TEXT.partition(f"### {alert}\n")[2], TEXT.partition(f"\n## {ACTIONS}\n")[2]
    return re.split(r"^##", own, maxsplit=1, flags=re.MULTILINE)[0] + re.split(r"^## ", actions, flags=re.MULTILINE)[0]


def test_each_alerts_runbook_fits_a_phone_and_shows_the_alerts_labels(browser: Browser, tmp_path: Path) -> None:
    service = Service(spec(), world(), Ledger(open_database(f"sqlite:///{tmp_path}/ledger.db")), clock=lambda: NOW)
    opened = {(one.alert, urlencode(one.labels)): one.labels for one in incidents()}
    context = browser.new_context(viewport=PHONE, is_mobile=True, has_touch=True)
    with served(service, runbooks=TEXT) as url:
        watched = Watched(context.new_page(), url)
        for (alert, query), labels in opened.items():
            page = watched.open(f"/runbooks/{alert}?{query}")
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], alert
            shown = page.locator("main").inner_text()
            assert "{{" not in shown and not re.search(r"<(pool|model|replica|instance|uuid|objective)>", shown), alert
            used = {name: value for name, value in labels.items() if re.search(rf"\${name}\b", written(alert))}
            assert [name for name, value in used.items() if value not in shown] == [], alert
            assert [name for name in labels if re.search(rf"\${name}\b", shown)] == [], alert
        assert watched.wrong == []
    context.close()
