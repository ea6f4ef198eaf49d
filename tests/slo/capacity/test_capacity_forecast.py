"""Forecasts of demand whose season, growth and noise are known: weeks to come, the week in which it breaks, holes, too little."""

import numpy as np
import pandas as pd
import pytest

from plimsoll.slo.capacity.forecast import Forecast, InsufficientHistoryError, MaxCapacity, forecast, hourly
from plimsoll.slo.capacity.forecast_models import Band

SLOTS_A_WEEK, MONDAY = 2016, "2026-07-06"


def demand(weeks: int, growth: float = 0.0, noise: float = 0.05) -> "pd.Series[float]":
    """Tokens by slot: busiest at 14:00, half on weekends, growing by a share each week."""
    random = np.random.default_rng(7)
    hours = np.arange(weeks * SLOTS_A_WEEK) / 12
    day = 1 + 0.6 * np.sin(2 * np.pi * (hours % 24 - 8) / 24)
    rate = 2000 * day * np.where(hours // 24 % 7 < 5, 1.0, 0.5) * (1 + growth) ** (hours / 168)
    rate *= np.exp(random.normal(0, noise, len(hours)))
    return pd.Series(rate * 300, pd.date_range(MONDAY, periods=len(hours), freq="300s", tz="UTC"))


def peaks(tokens: "pd.Series[float]", weeks: int) -> list[float]:
    """Busiest slot of each of the last weeks, in tokens per second."""
    whole = tokens.to_numpy()[-weeks * SLOTS_A_WEEK :].reshape(weeks, -1)
    return [float(value) / 300 for value in whole.max(axis=1)]


def told(growth: float, holes: bool = False, limit: MaxCapacity | None = None) -> tuple[Forecast, list[float]]:
    """Forecast the last four of 13 weeks from the nine before; and what they were."""
    truth = demand(13, growth)
    known = truth.iloc[: -4 * SLOTS_A_WEEK].copy()
    if holes:
        known.iloc[5000:6500] = np.nan  # five days that nobody saw
        known = known.drop(known.index[9000:9300])  # a day of which there is no row at all
    return forecast(known, 4, limit), peaks(truth, 4)


@pytest.mark.parametrize(("growth", "holes"), [(0.0, False), (0.05, False), (0.05, True), (-0.05, False)])
def test_weeks_to_come_are_told_within_ten_percent_and_holes_are_not_zeros(growth: float, holes: bool) -> None:
    found, truth = told(growth, holes)
    assert [week.week for week in found.weeks] == ["2026-W37", "2026-W38", "2026-W39", "2026-W40"]
    assert [week.peak.median for week in found.weeks] == [pytest.approx(value, rel=0.1) for value in truth]
    assert found.growth_per_week == pytest.approx(growth, abs=0.01)
    assert all(
        week.peak.lower <= week.peak.median <= week.peak.upper and week.p95.median < week.peak.median
        for week in found.weeks
    )
    assert found.missing_hours == (pytest.approx(1800 / 12, abs=3) if holes else 0)
    assert found.backtest.wape < 0.1
    assert found.backtest.peak_median_relative_error < 0.1
    assert 0.65 < found.backtest.interval_coverage < 0.95


def test_a_growing_demand_is_told_better_than_by_repeating_the_last_week() -> None:
    found, _ = told(0.05)
    assert found.transform == "logarithmic"
    assert found.backtest.seasonal_naive_error is not None
    assert found.backtest.wape < 0.7 * found.backtest.seasonal_naive_error


def test_the_objective_breaks_in_the_week_in_which_more_than_it_allows_comes_above_the_ceiling() -> None:
    truth = demand(13, 0.05, noise=0.02)
    hours = hourly(truth).to_numpy()[-4 * 168 :].reshape(4, 168)
    ceiling, allowed = float(np.quantile(hours[2], 0.9)), 0.05
    above = [float(np.where(week > ceiling, week, 0).sum() / week.sum()) for week in hours]
    first = next(index for index, share in enumerate(above) if share > allowed)
    assert 0 < first < 3
    found = forecast(truth.iloc[: -4 * SLOTS_A_WEEK], 4, MaxCapacity(ceiling, allowed))
    chances = [week.breach_probability or 0.0 for week in found.weeks]
    assert chances == sorted(chances)
    assert next(index for index, chance in enumerate(chances) if chance > 0.5) == pytest.approx(first, abs=1)
    assert all(week.breach_probability is None for week in told(0.05)[0].weeks), "no ceiling is known"


def test_an_hour_is_its_busiest_slot_and_unknown_unless_all_of_it_is_known() -> None:
    tokens = demand(1)
    tokens.iloc[3] = 9_000_000.0
    tokens.iloc[13] = np.nan
    found = hourly(tokens)
    assert found.iloc[0] == 30_000.0
    assert np.isnan(found.iloc[1])
    assert found.iloc[2] == tokens.iloc[24:36].max() / 300
    assert hourly(tokens.iloc[:30]).isna().to_list() == [False, True, True], "an hour that is not over is unknown"


def test_an_idle_pool_stays_idle() -> None:
    found = forecast(demand(6) * 0.0, 2)
    assert [week.peak for week in found.weeks] == [Band(lower=0.0, median=0.0, upper=0.0)] * 2


def test_too_little_is_said_and_nothing_is_told() -> None:
    with pytest.raises(InsufficientHistoryError, match="14 full days of data; a season and a trend need 21"):
        forecast(demand(2), 4)
    assert len(forecast(demand(4), 4).weeks) == 4
    blind = demand(6)
    blind.iloc[-2 * SLOTS_A_WEEK + 500 :] = np.nan
    with pytest.raises(InsufficientHistoryError, match="too many gaps in the last weeks"):
        forecast(blind, 2)
    with pytest.raises(InsufficientHistoryError, match="0 full days"):
        forecast(pd.Series(dtype=float, index=pd.DatetimeIndex([], tz="UTC")), 2)
