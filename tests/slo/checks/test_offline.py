"""Findings about an objectives file by itself."""

import pytest

from plimsoll.slo.checks.offline import findings
from plimsoll.slo.spec.objectives import load

SPEC = """
version: plimsoll/v1
pools:
  - {name: chat, model: m, node: {gpu: H100-80GB, gpus: 2}, nodes: {min: 1, max: 2},
     timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}}
objectives:
  - {id: fast, pool: chat, indicator: availability, target: 95%, window: WINDOW}
"""


@pytest.mark.parametrize(
    ("window", "wrong"),
    [("59m", True), ("1h", False), ("366d", False), ("367d", True), ("{calendar: quarter}", False)],
)
def test_a_window_for_which_no_alert_holds_is_an_error(window: str, wrong: bool) -> None:
    found = [one for one in findings(load(SPEC.replace("WINDOW", window))) if one.code == "window-without-alerts"]
    assert [(one.level, one.path) for one in found] == [("error", "objectives[0].window")] * wrong
