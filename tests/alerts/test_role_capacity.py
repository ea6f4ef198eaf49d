"""Capacity alerts of a pool whose prefill and decode run in engines of their own, by promtool."""

from pathlib import Path

import pytest

from health_cases import MODEL, NODE, flat, given
from paths import ROOT
from plimsoll.alerts.build import render
from plimsoll.slo import metrics as c
from plimsoll.slo.spec.objectives import load
from pool_cases import POOLS
from promtool import Batch, case, fires, only, run_batches, silent

pytestmark = pytest.mark.prometheus
NAME = "LLMPoolOvercommitted"
RULES = only(render(load((ROOT / "slo" / "objectives.yaml").read_text()))["health.rules.yml"], {NAME})


def test_prefill_is_no_reserve_of_decode(tmp_path: Path) -> None:
    full = next(one.over for one in POOLS if one.alert == NAME)
    role = given(c.REPLICA_INFO, flat(1), **NODE, replica="p", model=MODEL, engine="vllm", role="prefill")
    cases = [case("alike", full, fires(110, alertname=NAME)), case("roles", [*full, role], silent(110, alertname=NAME))]
    run_batches(tmp_path, [Batch(RULES, cases)])
