"""Changes of engine settings: advised where the setting is what hurts, and nothing where it isn't, or where it isn't known."""

from dataclasses import replace
from typing import Any

import pytest

from fits import FIT
from plimsoll.slo import metrics
from plimsoll.slo.capacity.calibration.measured_replica import measured_replica
from plimsoll.slo.capacity.model.signals import read
from plimsoll.slo.capacity.recommendation.attainment_simulation import Calibrated, calibrated
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.recommendation.measured_state import MeasuredState
from plimsoll.slo.capacity.recommendation.recommend import Decision
from plimsoll.slo.capacity.recommendation.settings.advice import HOLDS, NOISE
from plimsoll.slo.capacity.recommendation.settings.models import SettingsAdvice
from plimsoll.slo.capacity.recommendation.settings.observed import observed_settings
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.sources import Series
from pool_signals import NOW, POOL, TARGET, recommend, served
from world import MODEL

LIMITS = {"max_num_seqs": 256, "max_num_batched_tokens": 8192}
STEPS = step_time.load("70b-fp8-h100-tp4")
BUSY = [30] * 30  # requests of 1,000 tokens every 15 s: 2 a second


def engine(**changes: int) -> Calibrated:
    known = LIMITS | changes
    return Calibrated(
        STEPS,
        Limits(
            known.get("num_blocks", 40_900),
            max_num_seqs=known["max_num_seqs"],
            max_num_batched_tokens=known["max_num_batched_tokens"],
        ),
    )


def decide(
    settings: dict[str, int], runs: Calibrated | None, now: float = NOW, state: MeasuredState | None = None, **more: Any
) -> Decision:
    series = [*served("a", BUSY, most=more.pop("most", 45)), *served("b", BUSY)]
    shifted = [Series(name, labels, [(at + now - NOW, value) for at, value in found]) for name, labels, found in series]
    return recommend(
        POOL, read(shifted, now), now, more.pop("target", TARGET), state, runs and replace(runs, settings=settings)
    )


def advice(settings: dict[str, int], runs: Calibrated | None, **more: Any) -> SettingsAdvice:
    found = decide(settings, runs, **more).recommendation.settings
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("hurts", "flag"),
    [
        ({"max_num_seqs": 2}, "--max-num-seqs"),
        ({"max_num_seqs": 16, "max_num_batched_tokens": 24}, "--max-num-batched-tokens"),
    ],
)
def test_the_setting_that_hurts_is_named_with_what_a_change_brings(hurts: dict[str, int], flag: str) -> None:
    found = advice(LIMITS | hurts, engine(**hurts))
    first = found.changes[0]
    assert (first.flag, first.current) == (flag, str((LIMITS | hurts)[first.setting]))
    assert int(first.proposed) > int(first.current)
    assert found.attainment is not None and found.attainment < TARGET.target <= first.attainment
    assert first.attainment_gain == pytest.approx(first.attainment - found.attainment, abs=1e-4)
    # The simulator's own answer with the proposed value, as another engine that runs with it.
    after = hurts | {first.setting: int(first.proposed)}
    changed = advice(LIMITS | after, engine(**after))
    assert (changed.attainment, changed.nodes_required) == (first.attainment, first.nodes_required)
    assert found.one_more_node is not None and found.one_more_node < first.attainment, "a node more helps less"
    assert first.certainty == "extrapolated"


def test_fewer_nodes_are_shown_where_the_target_is_met_anyway() -> None:
    found = advice(LIMITS | {"max_num_seqs": 4}, engine(max_num_seqs=4))
    first = found.changes[0]
    assert found.nodes_required is not None and first.nodes_required is not None
    assert first.nodes_saved == found.nodes_required - first.nodes_required > 0


def test_a_cache_that_is_too_small_asks_for_smaller_values_and_names_the_risk() -> None:
    small = engine(num_blocks=400)
    found = advice(LIMITS | {"kv_cache_bits": 16}, small)
    assert [(one.flag, one.current, one.proposed) for one in found.changes] == [("--kv-cache-dtype", "auto", "fp8")]
    assert "quality" in found.changes[0].risk
    assert advice(LIMITS | {"kv_cache_bits": 8}, small).changes == advice(LIMITS, small).changes == ()


def test_settings_that_do_not_hurt_are_left_alone() -> None:
    found = advice(LIMITS | {"kv_cache_bits": 16}, engine())
    assert (found.changes, found.unavailable_reason) == ((), None)
    assert found.attainment is not None and found.attainment > 1 - NOISE


@pytest.mark.parametrize(
    ("settings", "runs", "target", "reason"),
    [
        ({}, engine(max_num_seqs=2), TARGET, "max_num_seqs"),
        ({"max_num_seqs": 2}, engine(max_num_seqs=2), TARGET, "max_num_batched_tokens"),
        ({"max_num_seqs": 2, "max_num_batched_tokens": 8192}, None, TARGET, "calibration"),
        ({"max_num_seqs": 2, "max_num_batched_tokens": 8192}, engine(max_num_seqs=2), None, "no latency SLO"),
    ],
)
def test_what_is_not_known_is_not_advised_on(
    settings: dict[str, int], runs: Calibrated | None, target: LatencyTarget | None, reason: str
) -> None:
    found = advice(settings, runs, target=target)
    assert found.changes == () and found.attainment is None
    assert reason in (found.unavailable_reason or "")


def test_advice_stands_for_ten_minutes_across_a_restart_and_ends_with_a_change_of_the_setting() -> None:
    hurts = LIMITS | {"max_num_seqs": 2}
    first = decide(hurts, engine(max_num_seqs=2))
    assert first.state is not None
    stored = MeasuredState.from_json(first.state.to_json())
    assert stored == first.state
    runs = engine(max_num_seqs=2)
    assert decide(hurts, runs, NOW + HOLDS - 1, stored).recommendation.settings == first.recommendation.settings
    later = decide(hurts, runs, NOW + HOLDS, stored).recommendation.settings
    assert later is not None and later.at == NOW + HOLDS
    changed = decide(LIMITS, engine(), NOW + 10, stored).recommendation.settings
    assert changed is not None and (changed.observed, changed.changes) == (LIMITS, ())


# Reading them ----------------------------------------------------------------------------------------------------


def setting(replica: str, name: str, value: float, at: float = NOW) -> Series:
    labels = {"replica": replica, "model": MODEL, "engine": "vllm", "instance": "node:9800", "setting": name}
    return Series(metrics.ENGINE_SETTING.name, labels, [(at, value)])


@pytest.mark.parametrize(
    ("reported", "known"),
    [
        ([("a", 4.0, NOW), ("b", 4.0, NOW)], {"max_num_seqs": 4}),
        ([("a", 4.0, NOW), ("b", 8.0, NOW)], {}),  # half of a rollout
        ([("a", 4.0, NOW)], {}),
        ([("a", 4.0, NOW), ("b", 4.0, NOW - 120)], {}),
        ([("a", 0.0, NOW), ("b", 0.0, NOW)], {}),
        ([("a", 4.0, NOW), ("b", 4.0, NOW), ("gone", 8.0, NOW - 600)], {"max_num_seqs": 4}),
    ],
)
def test_a_setting_is_known_where_every_replica_reports_the_same(
    reported: list[tuple[str, float, float]], known: dict[str, int]
) -> None:
    series = [
        *served("a", BUSY),
        *served("b", BUSY),
        *(setting(name, "max_num_seqs", value, at) for name, value, at in reported),
    ]
    assert observed_settings(series, NOW) == known
    assert len(read(series, NOW)) == (3 if "gone" in {name for name, *_ in reported} else 2)


def test_known_limits_replace_the_assumed_ones_of_a_simulation() -> None:
    fit = measured_replica(POOL, replace(FIT, max_observed_batch=4))
    own = calibrated(fit, {"max_num_seqs": 4, "max_num_batched_tokens": 2048})
    assumed = calibrated(fit)
    assert own is not None and assumed is not None
    assert (own.limits.max_num_seqs, own.limits.max_num_batched_tokens) == (4, 2048)
    assert (assumed.limits.max_num_seqs, assumed.limits.max_num_batched_tokens) == (256, 8192)
