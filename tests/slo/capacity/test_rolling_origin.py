"""Rolling-origin errors of demand forecasts on traces whose demand is known."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plimsoll.compose.cli import main
from plimsoll.slo.capacity.backtest.rolling_origin import rolling_errors, tokens_by_slot
from plimsoll.slo.capacity.simulator.traces import Arrival
from plimsoll.slo.capacity.special_hours import SpecialHours
from plimsoll.slo.spec.holidays import Holidays
from process import rejected

START = 1_704_067_200.0  # 2024-01-01, a Monday


def demand(days: int, off: int | None = None, noise: float = 0.03) -> "pd.Series[float]":
    """Tokens by slot: half on weekends, and on the day number `off`."""
    index = pd.date_range("2024-01-01", periods=days * 288, freq="300s", tz="UTC")
    day = np.arange(len(index)) // 288
    rate = 1 + 0.6 * np.sin(2 * np.pi * (index.hour.to_numpy() - 8) / 24)
    rate *= np.where((day % 7 >= 5) | (day == off), 0.5, 1.0)
    return pd.Series(rate * np.exp(np.random.default_rng(3).normal(0, noise, len(index))) * 6e5, index)


def test_a_weekly_season_is_forecast_better_with_the_calendar() -> None:
    tokens = demand(24, off=22)
    season, (without, before) = rolling_errors(tokens)
    _, (known, _) = rolling_errors(tokens, SpecialHours(Holidays(dates=(date(2024, 1, 23),))))
    assert (season, without.hours, known.hours) == ("week", 72, 72)
    assert known.wape < 0.06
    assert without.wape > 0.1
    assert known.pinball is not None and without.pinball is not None and known.pinball < 0.6 * without.pinball
    assert known.coverage is not None and 0.5 < known.coverage < 1.0
    assert (before.pinball, before.coverage) == (None, None)


def test_a_trace_of_days_has_a_daily_season() -> None:
    season, (model, before) = rolling_errors(demand(5))
    assert (season, model.hours) == ("day", 48)
    assert model.mape is not None and model.mape < 0.1
    assert before.hours == 48
    with pytest.raises(ValueError, match="72 whole hours are too few: 4 days are needed"):
        rolling_errors(demand(3))


def test_a_trace_is_summed_by_slot_and_a_slot_without_requests_is_idle() -> None:
    found = tokens_by_slot([Arrival(0, 100, 20), Arrival(299, 10, 1), Arrival(900, 5, 5)], START)
    assert found.to_list() == [131.0, 0.0, 0.0, 10.0]
    assert found.index[0].timestamp() == START


def test_the_command_prints_errors_with_and_without_the_calendar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = [hour * 3600 + minute * 300 for hour in range(97) for minute in range(12)]
    rows = [
        json.dumps({"timestamp": at * 1000, "input_length": 900 + at // 3600 % 24 * 10, "output_length": 50})
        for at in times
    ]
    trace = tmp_path / "trace.jsonl"
    trace.write_text("\n".join(rows))
    command = ["forecast", "--trace", str(trace)]
    assert main([*command, "--starts-at", "2024-01-01T00:00:00Z", "--holidays", "DE", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["calendar"], one["method"]) for one in found["errors"]] == [
        (calendar, method) for calendar in ("no calendar", "DE") for method in ("model", "same hour before")
    ]
    assert all(one["wape"] < 0.05 for one in found["errors"])
    assert "--starts-at" in rejected([*command, "--holidays", "DE"])
    assert "--holidays" in rejected([*command, "--starts-at", "2024-01-01T00:00:00Z", "--holidays", "XX"])
