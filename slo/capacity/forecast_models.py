"""A pool's demand forecast: computed by the model, returned by the API, stored by the review. Doesn't import statsmodels; only the model needs it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.spec.event import AnnouncedEvent

Transform = Literal["linear", "logarithmic"]
HolidayMethod = Literal["past_holidays", "weekend_days"]


class Band(BaseModel):
    """80% prediction interval and median."""

    lower: float
    median: float
    upper: float


class WeekForecast(BaseModel):
    """One week. Demand in tokens per second, input and output, of its busiest hour and of its p95 hour."""

    week: str = Field(description="ISO week.")
    p95: Band
    peak: Band
    nodes: Band | None = Field(
        default=None, description="Nodes that serve the busiest hour; null: saturation throughput is not known."
    )
    breach_probability: float | None = Field(
        default=None,
        description="Probability that more of the week's demand than the SLOs allow comes in hours above the pool's maximum capacity; "
        "null: saturation throughput is not known.",
    )


class ForecastError(BaseModel):
    """Error of such a forecast on the last weeks, made from the weeks before them."""

    weeks: int
    wape: float = Field(
        description="Weighted absolute percentage error: sum of absolute errors over the sum of demand, by hour."
    )
    seasonal_naive_error: float | None = Field(description="The same for repeating the week before.")
    peak_median_relative_error: float = Field(description="Median relative error of a week's busiest hour.")
    interval_coverage: float = Field(description="Ratio of observed hours within the interval; 0.8 would be exact.")


class ForecastHoliday(BaseModel):
    """A holiday in the weeks to come, and what its demand is forecast from."""

    date: str
    name: str
    method: HolidayMethod = Field(
        description="past_holidays: their demand by hour of the day; weekend_days: the mean of Saturday and Sunday, as the history has no holiday."
    )


class ForecastEvent(BaseModel):
    """An announced event in the weeks to come: its hours are forecast as announced."""

    model_config = ConfigDict(serialize_by_alias=True)
    name: str
    since: str = Field(alias="from")
    until: str = Field(alias="to")
    factor: float | None = Field(description="Multiple of the usual demand.")
    requests_per_second: float | None = Field(description="Requests/s in the busiest 5 minutes of each hour.")

    @classmethod
    def of(cls, event: AnnouncedEvent) -> "ForecastEvent":
        """Return an event as forecasts and reviews show it."""
        times = {"from": rfc3339(event.start), "to": rfc3339(event.end)}
        expected = {"factor": event.factor, "requests_per_second": event.requests_per_second}
        return cls.model_validate({"name": event.name, **times, **expected})


class PoolForecast(BaseModel):
    """A pool's demand as far ahead as the procurement lead time of nodes."""

    pool: str
    data_through_week: str = Field(description="The ISO week up to which the ledger was used.")
    unavailable_reason: str | None = Field(
        default=None, description="Reason for a missing forecast; null with a forecast."
    )
    weeks: list[WeekForecast] = []
    likely_breach_week: str | None = Field(
        default=None, description="First ISO week with a breach probability of at least 50%."
    )
    possible_breach_week: str | None = Field(
        default=None, description="First ISO week with a breach probability of at least 10%."
    )
    max_capacity_tokens_per_second: float | None = Field(
        default=None,
        description="What the pool's maximum number of nodes serves, at 90% of the measured saturation throughput.",
    )
    transform: Transform | None = None
    growth_per_week: float | None = None
    observed_hours: int = 0
    missing_hours: int = 0
    backtest: ForecastError | None = None
    holidays: list[ForecastHoliday] = Field(default=[], description="Holidays of these weeks, in the pool's time zone.")
    events: list[ForecastEvent] = Field(default=[], description="Announced events of these weeks.")
    simulated: bool = False
