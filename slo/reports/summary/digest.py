"""A weekly review in few figures, as its receivers get it: the opening paragraph, and a line for each SLO and pool."""

from typing import Any, Self
from urllib.parse import quote

from pydantic import BaseModel, Field

from plimsoll.slo.calendar import WEEK
from plimsoll.slo.capacity.forecast_models import PoolForecast
from plimsoll.slo.reports.review_models import Review, SloReview
from plimsoll.slo.reports.review_pool import PoolReview
from plimsoll.slo.reports.summary.opening import Opening, causes_text, judged, opening

TEXTS = ("shadow", "slo_breach_forecast", "setting_changes")


class SloDigest(BaseModel):
    """An SLO's week. Fields as in the review; `met` and `budget_consumed` are also null where too little was observed."""

    id: str
    pool: str
    target: float
    met: bool | None
    good_ratio: float | None
    total: int
    bad: int
    budget_consumed: float | None
    causes: str = Field(description="The largest causes of its bad requests, in words.")
    coverage: float

    @classmethod
    def of(cls, one: SloReview, elapsed_seconds: float) -> Self:
        """Return the digest of an SLO's review."""
        met = judged(one, elapsed_seconds)
        known: dict[str, Any] = {"met": met, "causes": causes_text(one)} | (
            {"budget_consumed": None} if met is None else {}
        )
        return cls(**{name: getattr(one, name) for name in cls.model_fields if name not in known}, **known)


class PoolDigest(BaseModel):
    """A pool's week. Fields as in the review."""

    name: str
    nodes: float | None
    recommended_nodes: int | None
    survives_node_loss: bool | None
    cost_usd: float | None
    usd_per_million_tokens: float | None
    shadow: str = Field(
        "", description="Recommended node-hours beside those that ran, in words; empty where neither is known."
    )
    slo_breach_forecast: str = Field(description="When demand exceeds the pool's maximum, in words.")
    coverage: float
    setting_changes: list[str] = Field(
        default=[], description="Changes of engine settings that would help, in sentences."
    )

    @classmethod
    def of(cls, one: PoolReview) -> Self:
        """Return the digest of a pool's review."""
        homes = {"name": one, "recommended_nodes": one, "survives_node_loss": one}
        same = {name: getattr(homes.get(name, one.week), name) for name in cls.model_fields if name not in TEXTS}
        changes = [change.summary for change in one.settings.changes] if one.settings else []
        return cls(
            **same,
            shadow=_shadow_text(one),
            slo_breach_forecast=_breach_text(one.forecast),
            setting_changes=changes,
        )


def _shadow_text(one: PoolReview) -> str:
    found = one.shadow
    if found is None or not found.hours:
        return ""
    return (
        f"{found.recommended_node_hours:,.0f} node-hours recommended, {found.actual_node_hours:,.0f} ran "
        f"({found.more.hours} h with more recommended, {found.fewer.hours} h with fewer, {found.unknown_hours} h unknown)"
    )


def _breach_text(forecast: PoolForecast) -> str:
    if forecast.unavailable_reason or forecast.max_capacity_tokens_per_second is None:
        return "No forecast"
    if forecast.likely_breach_week:
        return f"Likely in {forecast.likely_breach_week}"
    if forecast.possible_breach_week:
        return f"Possible in {forecast.possible_breach_week}"
    return f"None in {len(forecast.weeks)} weeks"


class Digest(BaseModel):
    """A saved weekly review in few figures; `url` is its page."""

    week: str
    since: str = Field(serialization_alias="from")
    until: str = Field(serialization_alias="to")
    url: str
    simulated: bool
    headline: str
    paragraph: str
    opening: Opening
    slos: list[SloDigest] = Field(description="Missed ones first, then those that can't be judged.")
    pools: list[PoolDigest]

    @classmethod
    def of(cls, review: Review, service_url: str, elapsed_seconds: float = WEEK) -> Self:
        """Return the digest of a review, of whose week `elapsed_seconds` are over; its page is on the service at `service_url`."""
        begin = opening(review, elapsed_seconds)
        return cls(
            week=review.week,
            since=review.since,
            until=review.until,
            url=f"{service_url.rstrip('/')}/reviews/{quote(review.week)}",
            simulated=review.simulated,
            headline=begin.headline,
            paragraph=begin.paragraph,
            opening=begin,
            slos=sorted((SloDigest.of(one, elapsed_seconds) for one in review.slos), key=_urgency),
            pools=[PoolDigest.of(one) for one in review.pools],
        )


def _urgency(slo: SloDigest) -> int:
    return (False, None, True).index(slo.met)
