"""`plimsoll calibrate` from a real Prometheus, and what it says of one that tells nothing."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from backfill import Backfill
from calibration_world import DAY, POOL, watched
from plimsoll.compose.cli import main
from plimsoll.slo.capacity.calibration.intervals import selectors
from plimsoll.slo.capacity.simulator.step_time import load as load_steps
from plimsoll.slo.reports.calibration import PoolCalibration
from plimsoll.slo.sources import Series

MODEL, HOUR = load_steps("70b-fp8-h100-tp4"), 3600.0
TWO = f"""
version: plimsoll/v1
pools:
  - &pool
    name: {POOL.name}
    model: {POOL.model}
    node: {{gpu: H100-80GB, gpus: 2}}
    nodes: {{min: 1, max: 4}}
    timing: {{cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}}
  - {{<<: *pool, name: other, model: other}}
objectives:
  - {{id: fast, pool: {POOL.name}, indicator: {{time_to_first_token: 600ms}}, target: 95%, window: 28d}}
"""


def lines(series: Sequence[Series]) -> Iterator[str]:
    """Write what a fit reads as OpenMetrics lines."""
    names = {selector.name for selector in selectors(POOL)}
    for one in series:
        if one.name in names:
            labels = ",".join(f'{name}="{value}"' for name, value in one.labels.items())
            yield from (f"{one.name}{{{labels}}} {value!r} {at:.3f}\n" for at, value in one.samples)


@pytest.mark.prometheus
def test_a_pools_step_times_are_told_from_a_prometheus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, start = tmp_path / "objectives.yaml", time.time() - 2 * HOUR
    file.write_text(TWO)
    storage = Backfill(tmp_path)
    for part in (watched("a", MODEL, DAY, start), watched("b", MODEL.times(2.6), DAY, start)):
        storage.openmetrics(lines(part))
    with storage.prometheus() as prometheus:
        asked = ["calibrate", "--prometheus", prometheus.url, "--objectives", str(file)]
        assert main([*asked, "--lookback", "3h", "--json"]) == 0
        known, unknown = json.loads(capsys.readouterr().out)["pools"]
        assert main([*asked, "--lookback", "3h"]) == 0
        table = capsys.readouterr().out
        assert main([*asked, "--lookback", "30m"]) == 1
        assert "no replica of the pool was seen" in capsys.readouterr().out
    own = PoolCalibration.model_validate(known).calibration
    assert own is not None
    assert own.step_times.base_seconds == pytest.approx(MODEL.decode_base, rel=0.02)
    assert own.step_times.intervals > 100
    assert own.step_times.replicas == ("a",)
    assert own.step_times.excluded_replicas == {"b": pytest.approx(2.6, rel=0.1)}
    assert (unknown["pool"], unknown["calibration"]) == ("other", None)
    assert unknown["reason"] == "no replica of the pool was seen"
    assert f"{POOL.name}, a (simulated): a step takes 10.3" in table
    assert "b differs and is excluded: its step time is 2." in table
    assert "KV cache 235,200 tokens per rank" in table
    assert "other: no calibration: no replica of the pool was seen" in table


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--lookback", "0s"], "--lookback: expected a duration from 1s to 7d"),
        (["--lookback", "8d"], "--lookback: expected a duration from 1s to 7d"),
        (["--pool", "chat-8b"], "Unknown pool 'chat-8b'. Use one of: chat-70b."),
        ([], "--prometheus http://127.0.0.1:9: no response from the Prometheus API"),
    ],
)
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    assert main(["calibrate", "--prometheus", "http://127.0.0.1:9", *arguments]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1
