"""Draws the pictures of the service's pages (`make pictures`): the demo's past, in headless Chromium. The data is labeled as simulated."""

import tempfile
from pathlib import Path

import httpx

from browser import Watched, chromium, served
from plimsoll.compose.demo.history.load import store_history
from plimsoll.compose.inputs import DEMO_OBJECTIVES, read_objectives
from plimsoll.slo.calendar import WEEK, start_of, week_of
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.state import Service
from recorded import Recorded

OUT = Path(__file__).parents[2] / "docs" / "img"
NOW = start_of("2026-W49") + 36 * 3600.0  # Tuesday noon
REVIEW = f"/reviews/{week_of(NOW - WEEK)}"
# File -> path, width, height and theme.
PICTURES = {
    "page-slos": ("/", 1280, 640, "light"),
    "page-slo": ("/slos/chat-ttft?range=window", 1280, 900, "light"),
    "page-counted": ("/slos/chat-ttft/counted", 1280, 640, "dark"),
    "page-review": (REVIEW, 1280, 700, "light"),
    "page-phone": ("/", 375, 812, "dark"),
}


def main() -> None:
    """Draw each."""
    spec = read_objectives(str(DEMO_OBJECTIVES))
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(open_database(f"sqlite:///{folder}/ledger.db"))
        store_history(spec, ledger, NOW)
        service = Service(spec, Recorded([]), ledger, clock=lambda: NOW)
        service.ingested_at = NOW
        service.evaluate()
        with served(service) as url, chromium() as browser:
            httpx.get(f"{url}{REVIEW}", timeout=600)  # the forecasts, once
            for name, (path, width, height, theme) in PICTURES.items():
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if theme == "dark" else "light",
                    timezone_id="UTC",
                )
                Watched(context.new_page(), url).open(path).screenshot(path=OUT / f"{name}.png")
                context.close()
        ledger.engine.dispose()


if __name__ == "__main__":
    main()
