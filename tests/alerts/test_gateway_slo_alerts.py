"""Rules of an SLO that gateways count, by promtool: what a gateway rejected for overload is bad, what was its client's fault isn't counted."""

from pathlib import Path

import pytest

from plimsoll.alerts.build import render
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.objectives import load
from promtool import Batch, case, counter, is_value, only, run_batches, series
from world import SPEC_TEXT

pytestmark = pytest.mark.prometheus
AT = "window: 28d, count_at: gateway}"
SPEC = load(
    SPEC_TEXT.replace("window: 28d}", AT) + f"  - {{id: up, pool: pool, indicator: availability, target: 99%, {AT}\n"
)
NAMES = {recorded.GOOD_RATE, recorded.TOTAL_RATE}


def given(name: str, per_minute: float, gateway: str = "east", **labels: str) -> dict[str, str]:
    own = {"instance": f"{gateway}:9801", "gateway": gateway, "model": "m", "tenant": "t", **labels}
    return {"series": series(name, own), "values": counter((30, per_minute))}


def rates(good: float, total: float, objective: str) -> list[dict[str, object]]:
    return [
        is_value(f'round(sum({name}{{objective="{objective}"}}), 0.001)', 20, value)
        for name, value in ((recorded.GOOD_RATE, good), (recorded.TOTAL_RATE, total))
    ]


def test_good_and_total_per_second_at_two_gateways(tmp_path: Path) -> None:
    requests = [given(c.GATEWAY_REQUESTS.name, 120), given(c.GATEWAY_REQUESTS.name, 60, "west")]
    failures = {"overloaded": 12, "502": 6, "400": 18, "429": 6, "4xx": 6, "client_closed": 12}
    failed = [given(c.GATEWAY_FAILURES.name, number, reason=reason) for reason, number in failures.items()]
    latency = [
        given(c.GATEWAY_TTFT.bucket, 90, le="0.6"),
        given(c.GATEWAY_TTFT.count, 120),
        given(c.GATEWAY_TTFT.bucket, 60, "west", le="0.6"),
        given(c.GATEWAY_TTFT.count, 60, "west"),
    ]
    cases = [
        case("no failure", requests, *rates(3, 3, "up")),
        case("failures of each kind", [*requests, *failed], *rates(3 - 60 / 60, 3 - 42 / 60, "up")),
        case("first tokens", latency, *rates(2.5, 3, "fast")),
    ]
    run_batches(tmp_path, [Batch(only(render(SPEC)["objectives.rules.yml"], NAMES), cases)])
