"""Forecasts of demand with holidays whose effect is known: the holiday itself, and the same day of the week after it."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from plimsoll.slo.capacity.forecast import draws, forecast, hourly
from plimsoll.slo.capacity.special_hours import USUAL, SpecialHours
from plimsoll.slo.spec.holidays import Holidays
from plimsoll.slo.spec.objectives import SpecError, load

START, WEEKS = "2026-07-06", 7  # Mondays
PAST, LAST, COMING = date(2026, 7, 22), date(2026, 8, 10), date(2026, 8, 19)  # Wednesday, Monday, Wednesday


def demand(off: tuple[date, ...], timezone: str = "UTC") -> "pd.Series[float]":
    """Tokens by slot: half on weekends, and a third on the days that are `off` in a time zone."""
    index = pd.date_range(START, periods=WEEKS * 2016, freq="300s", tz="UTC")
    local = index.tz_convert(timezone)
    daily = 1 + 0.6 * np.sin(2 * np.pi * (local.hour.to_numpy() - 8) / 24)
    share = np.where(local.day_of_week.to_numpy() < 5, 1.0, 0.5)
    share = np.where([day in off for day in local.date], 0.33, share)
    noise = np.exp(np.random.default_rng(3).normal(0, 0.03, len(index)))
    return pd.Series(600_000 * daily * share * noise, index)


def error(off: tuple[date, ...], day: date, special: SpecialHours = USUAL, timezone: str = "UTC") -> float:
    """Mean relative error of the hours of a day in the last week, forecast from the six weeks before."""
    truth = demand(off, timezone)
    every = hourly(truth)
    hours = every[[at.date() == day for at in pd.DatetimeIndex(every.index).tz_convert(timezone)]]
    found = draws(hourly(truth.iloc[: (WEEKS - 1) * 2016]), pd.DatetimeIndex(hours.index), "logarithmic", special)
    return float(np.abs(np.median(found, axis=1) / hours.to_numpy() - 1).mean())


def holidays(*dates: date, timezone: str = "UTC") -> SpecialHours:
    return SpecialHours(Holidays(dates=dates, timezone=timezone))


def test_a_holiday_is_forecast_from_the_one_before_it() -> None:
    off = (PAST, COMING)
    assert error(off, COMING) > 1.0, "forecast as a Wednesday, three times what comes"
    assert error(off, COMING, holidays(*off)) < 0.15


def test_without_a_past_holiday_it_is_forecast_like_a_day_of_the_weekend() -> None:
    weekend = error((COMING,), COMING, holidays(COMING))
    assert weekend == pytest.approx(0.5 / 0.33 - 1, abs=0.15)
    assert error((COMING,), COMING) > 1.0


def test_a_holiday_is_left_out_of_the_profile_of_its_weekday() -> None:
    """Mondays after a holiday Monday: nearly as well forecast as without one, and better than without the calendar."""
    monday = date(2026, 8, 17)
    known = error((LAST,), monday, holidays(LAST))
    assert known == pytest.approx(error((), monday), abs=0.02)
    assert error((LAST,), monday) > known + 0.03


def test_a_holiday_is_a_day_of_the_pools_time_zone() -> None:
    off, zone = (PAST, COMING), "Asia/Tokyo"
    assert error(off, COMING, holidays(*off, timezone=zone), zone) < 0.15
    assert error(off, COMING, holidays(*off), zone) > 0.3


def test_the_forecast_names_its_holidays_and_what_they_are_forecast_from() -> None:
    known = demand((PAST,)).iloc[: 6 * 2016]
    first = forecast(known, 1, None, holidays(COMING)).holidays
    assert [(one.date, one.method) for one in first] == [("2026-08-19", "weekend_days")]
    both = forecast(known, 1, None, holidays(PAST, COMING)).holidays
    assert [(one.date, one.method) for one in both] == [("2026-08-19", "past_holidays")]
    assert forecast(known, 1).holidays == ()


SPEC = "version: plimsoll/v1\npools: [{name: a, model: m%s}]\nobjectives: []\n%s"


def test_a_pools_holidays_go_before_those_of_the_file() -> None:
    spec = load(SPEC % (", holidays: US-CA", "holidays: {region: DE, timezone: Europe/Berlin}"))
    found = spec.holidays_of(spec.pools[0])
    assert found == Holidays("US-CA")
    assert found.named(2026)[date(2026, 3, 31)].startswith("Cesar Chavez")
    spec = load(SPEC % ("", "holidays: {region: DE, timezone: Europe/Berlin, dates: [2026-12-24]}"))
    found = spec.holidays_of(spec.pools[0])
    assert found is not None
    assert found.named(2026).keys() >= {date(2026, 10, 3), date(2026, 12, 24), date(2026, 12, 25)}
    assert load(SPEC % ("", "")).holidays_of(spec.pools[0]) is None


@pytest.mark.parametrize(
    ("pool", "file", "path"),
    [
        (", holidays: XX", "", "pools[0].holidays"),
        ("", "holidays: DE-ZZ", "holidays"),
        ("", "holidays: {}", "holidays"),
        ("", "holidays: {region: DE, timezone: Mars}", "holidays"),
        ("", "holidays: Germany", "holidays"),
    ],
)
def test_an_unknown_region_is_rejected_with_its_path(pool: str, file: str, path: str) -> None:
    with pytest.raises(SpecError) as raised:
        load(SPEC % (pool, file))
    assert str(raised.value).startswith(f"{path}: ")
