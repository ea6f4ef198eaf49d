"""Draws the pictures of all six dashboards (`make pictures`) with Grafana's component libraries in headless Chromium.

No Grafana server takes part: captions say "drawn by Grafana's component libraries", never "loaded in Grafana". panels.tsx
draws state timelines and tables itself. The data is simulated (`past_fleet`), over a real Prometheus.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx

from http_server import Quiet, listening
from past_fleet import EPOCH, INCIDENTS, MINUTE, SPEC, past
from plimsoll.dashboards.build import boards
from stack import require

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".cache" / "pictures"
OUT = ROOT / "docs" / "img"
CHOSEN = {"replica": {"replica": "node-1"}}  # variables chosen in a picture; all others are All
BANNER = "SIMULATED DATA: the demo fleet's engine model; drawn by Grafana's component libraries, without a Grafana"
PAGE = """<!doctype html><html><head><meta charset=utf-8><link rel=icon href=data:,><link rel=stylesheet href=bundle.css><style>body{{margin:0;background:#111217;color:#ccccdc;font-family:sans-serif}}
#root{{width:1600px}}</style></head><body><div id=root></div><script>window.FROM={start};window.TO={end};window.BANNER={banner};window.CHOSEN={chosen};
window.grafanaBootData={{user:{{orgRole:"Viewer",timezone:"utc",locale:"en-GB",language:"en-US"}},settings:{{featureToggles:{{}},
buildInfo:{{version:"13.1.1",env:"production"}},datasources:{{}},panels:{{}},apps:{{}},theme2:{{}},licenseInfo:{{}},bootData:{{}}}},navTree:[]}};
window.DASHBOARD={board};</script><script src=bundle.js></script></body></html>"""


def bundle() -> None:
    """Install the libraries, once per package.json, and bundle the drawing code."""
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted = (HERE / "package.json").read_text()
    stamp = CACHE / "installed.json"
    for path in HERE.iterdir():
        if path.suffix in (".mjs", ".ts", ".tsx", ".json"):
            shutil.copy(path, CACHE)
    if not stamp.exists() or stamp.read_text() != wanted:
        print("installing Grafana's component libraries (once, some 640 MB)", flush=True)
        flags = ["--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(["npm", "install", *flags], cwd=CACHE, check=True)
        stamp.write_text(wanted)
    subprocess.run(["node", "build.mjs", "."], cwd=CACHE, check=True)


@contextmanager
def served(pages: dict[str, str], prometheus: str) -> Iterator[str]:
    """Serve the pages and the bundle, and forward /prometheus, so that the browser needs one origin."""
    bundled = {"bundle.js": "text/javascript; charset=utf-8", "bundle.css": "text/css; charset=utf-8"}

    class Handler(Quiet):
        def do_GET(self) -> None:
            if self.path.startswith("/prometheus/"):
                response = httpx.get(prometheus + self.path.removeprefix("/prometheus"), timeout=60)
                self._send(response.content, response.status_code, "application/json")
            elif self.path[1:] in bundled:
                self._send((CACHE / self.path[1:]).read_bytes(), 200, bundled[self.path[1:]])
            elif self.path[1:] in pages:
                self._send(pages[self.path[1:]].encode(), 200, "text/html; charset=utf-8")
            else:
                self._send(b"", 404, "text/plain")

        def _send(self, body: bytes, status: int, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with listening(Handler) as address:
        yield f"http://{address}"


def page(name: str, board: str, start: float, end: float) -> str:
    """Return the page that draws one dashboard over a time range in Unix seconds."""
    times = [json.dumps(datetime.fromtimestamp(at, UTC).isoformat()) for at in (start, end)]
    return PAGE.format(
        start=times[0],
        end=times[1],
        banner=json.dumps(BANNER),
        chosen=json.dumps(CHOSEN.get(name, {})),
        board=board.replace("</", "<\\/"),
    )


def main() -> None:
    """Draw every dashboard, or those named on the command line."""
    bundle()
    chosen = sys.argv[1:] or [name.removesuffix(".json") for name in boards(SPEC)]
    OUT.mkdir(parents=True, exist_ok=True)
    with past(CACHE / "past") as prometheus:
        # Ends while one engine is stalled, after all other incidents.
        start, end = EPOCH + 8 * MINUTE, EPOCH + INCIDENTS["wedged engine"][1] * MINUTE - 30
        names = {name.removesuffix(".json"): text for name, text in boards(SPEC).items()}
        pages = {name: page(name, text, start, end) for name, text in names.items()}
        with served(pages, prometheus.url) as url:
            for name in chosen:
                begun = time.monotonic()
                command = ["node", "shot.mjs", f"{url}/{name}", str(OUT / f"{name}.png")]
                ran = subprocess.run(
                    command,
                    cwd=CACHE,
                    check=True,
                    capture_output=True,
                    text=True,
                    env={"CHROMIUM": require("chromium"), "PATH": "/usr/bin:/bin:/usr/local/bin"},
                )
                report = json.loads(ran.stdout.splitlines()[-1])
                print(
                    f"{OUT / name}.png in {time.monotonic() - begun:.0f} s; without data: {report['empty'] or 'none'}",
                    flush=True,
                )
                for problem in dict.fromkeys((*report["errors"], *report["problems"])):
                    print(f"  {problem[:300]}")


if __name__ == "__main__":
    main()
