"""Samples of a world in the storage of a real Prometheus, as if it had scraped them."""

import subprocess
from collections.abc import Iterator, Sequence

from plimsoll.slo.sources import Series
from stack import Prometheus


def lines(series: Sequence[Series], milliseconds: bool) -> Iterator[str]:
    """The samples in the text format: Prometheus' own has time in milliseconds, OpenMetrics in seconds."""
    for item in series:
        labels = ",".join(f'{name}="{value}"' for name, value in item.labels.items())
        for at, value in item.samples:
            yield f"{item.name}{{{labels}}} {value!r} {round(at * 1000) if milliseconds else f'{at:.3f}'}\n"


def stored_in_prometheus(series: Sequence[Series]) -> Prometheus:
    """Start a Prometheus that holds the series and keeps samples of any age."""
    server = Prometheus(interval="1h")
    page = server.folder / "page"
    page.write_text("".join([*lines(series, milliseconds=False), "# EOF\n"]))
    made = [
        str(part) for part in ("promtool", "tsdb", "create-blocks-from", "openmetrics", page, server.folder / "data")
    ]
    subprocess.run(made, check=True, capture_output=True)
    arguments = server.arguments()
    server.arguments = lambda: [*arguments, "--storage.tsdb.retention.time=100y"]  # type: ignore[method-assign]
    server.start()
    return server
