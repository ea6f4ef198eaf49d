"""The opening paragraph of a weekly review: SLOs met, budgets consumed, cost, data, and the decision wanted. Pure functions.

Missing data is named as such: an SLO that can't be judged is neither met nor missed, and a pool without a node price costs an unknown amount.
"""

from collections.abc import Iterator, Sequence
from math import fsum
from typing import Literal

from pydantic import BaseModel, Field

from plimsoll.slo.calendar import WEEK
from plimsoll.slo.error_budget.attribution import CAUSE_TEXTS, PREVENTABLE
from plimsoll.slo.error_budget.budget import too_early
from plimsoll.slo.reports.review_models import Review, SloReview
from plimsoll.slo.reports.review_pool import PoolReview
from plimsoll.slo.units import percent_text

NAMED = 3  # SLOs and causes that a sentence names; the rest is counted
FULL = 0.99  # data coverage from which nothing is noted
MOST = 0.5  # ratio of a missed SLO's bad requests above which their cause is what to decide on


class Decision(BaseModel):
    """What a reviewer has to decide, about one pool or SLO."""

    code: Literal["breach_likely", "nodes_recommended", "not_redundant", "capacity", "errors", "breach_possible"] = (
        Field(
            description="breach_likely, breach_possible: demand is forecast above the pool's maximum; nodes_recommended: the last "
            "recommendation differs from the week's mean nodes; not_redundant: the busiest 5 min need every node; capacity, errors: most "
            "bad requests of a missed SLO have causes that more nodes prevent, or are errors."
        )
    )
    subject: str = Field(description="Pool, or SLO for capacity and errors.")
    text: str


class Opening(BaseModel):
    """The opening paragraph, a sentence or two for each question, and the counts behind the first."""

    met: int = Field(description="SLOs that met their targets.")
    missed: int
    unknown: int = Field(description="SLOs that can't be judged: too little data, or indeterminate requests decide.")
    slos: str
    budgets: str
    cost: str
    data: str = Field(description="Pools with incomplete data; empty without any.")
    decision: str
    decisions: list[Decision] = Field(description="Most urgent first; empty: none is wanted, or none can be derived.")

    @property
    def sentences(self) -> list[str]:
        """The sentences that there are, in order."""
        return [text for text in (self.slos, self.budgets, self.cost, self.data, self.decision) if text]

    @property
    def paragraph(self) -> str:
        """All sentences."""
        return " ".join(self.sentences)

    @property
    def headline(self) -> str:
        """The result in a few words: a subject of a mail."""
        judged = f"{self.met} of {_count(self.met + self.missed + self.unknown, 'SLO')} met"
        unknown = f", {self.unknown} unknown" if self.unknown else ""
        wanted = len(self.decisions)
        return judged + unknown + (f"; {_count(wanted, 'decision')} wanted" if wanted else "")


def opening(review: Review, elapsed_seconds: float = WEEK) -> Opening:
    """Return the opening of a review, of whose week `elapsed_seconds` are over."""
    verdicts = {one.id: judged(one, elapsed_seconds) for one in review.slos}
    decisions = list(_decisions(review, verdicts))
    counts = [list(verdicts.values()).count(value) for value in (True, False, None)]
    return Opening(
        met=counts[0],
        missed=counts[1],
        unknown=counts[2],
        slos=_slos(review.slos, verdicts),
        budgets=_budgets([one for one in review.slos if verdicts[one.id] is not None]),
        cost=_cost(review.pools),
        data=_data(review.pools),
        decision=_decision(decisions, review.pools),
        decisions=decisions,
    )


def judged(slo: SloReview, elapsed_seconds: float = WEEK) -> bool | None:
    """Return whether an SLO met its target; None where too little of the week was observed, or it isn't known."""
    seen = slo.coverage * (elapsed_seconds - slo.excluded_seconds)
    return None if too_early(WEEK, seen) else slo.met


def causes_text(slo: SloReview) -> str:
    """Return the largest causes of an SLO's bad requests: `Queueing 800, Normal load 40`; empty without any."""
    found = list((slo.bad_by_cause or {}).items())[:NAMED]
    return ", ".join(f"{CAUSE_TEXTS[cause]} {bad:,}" for cause, bad in found)


def _slos(slos: Sequence[SloReview], verdicts: dict[str, bool | None]) -> str:
    missed = [one for one in slos if verdicts[one.id] is False]
    unknown = [one.id for one in slos if verdicts[one.id] is None]
    text = f"{list(verdicts.values()).count(True)} of {_count(len(slos), 'SLO')} met the target."
    if missed:
        text += (
            f" Missed: {_named([f'{one.id} ({one.good_ratio:.2%} of {percent_text(one.target)})' for one in missed])}."
        )
    return text + (f" Can't be judged: {_named(unknown)}." if unknown else "")


def _budgets(slos: Sequence[SloReview]) -> str:
    consumed = [(one.budget_consumed, one) for one in slos if one.budget_consumed is not None]
    if not consumed:
        return "How much of the error budgets was consumed isn't known."
    most, slo = max(consumed, key=lambda pair: pair[0])
    if not slo.bad:
        return "No request was bad."
    causes = causes_text(slo)
    text = f"{slo.id} consumed the most of its error budget, {most:.0%} of the week's, with {_count(slo.bad, 'bad request')}"
    return f"{text}: {causes}." if causes else f"{text}."


def _cost(pools: Sequence[PoolReview]) -> str:
    known = [(one.week.cost_usd, one) for one in pools if one.week.cost_usd is not None]
    unknown = [one.name for one in pools if one.week.cost_usd is None]
    if not known:
        return "The cost isn't known."
    total, before = fsum(usd for usd, _ in known), [one.previous.cost_usd for _, one in known]
    text = f"Nodes cost ${total:,.0f}"
    if None not in before and (earlier := fsum(usd for usd in before if usd is not None)):
        text += f", {total / earlier - 1:+.1%} from the previous week"
    most, pool = max(known, key=lambda pair: pair[0])
    each = pool.week.usd_per_million_tokens
    if len(known) > 1:
        text += f"; most of it {pool.name}, ${most:,.0f}"
    if each is not None:
        text += f" at ${each:,.3f} per 1M tokens"
    return f"{text}." + (f" Not known: the cost of {_named(unknown)}." if unknown else "")


def _data(pools: Sequence[PoolReview]) -> str:
    low = [f"{one.name} {one.week.coverage:.1%}" for one in pools if one.week.coverage < FULL]
    return f"Data is incomplete: {_named(low)} of the week was observed." if low else ""


def _decision(decisions: Sequence[Decision], pools: Sequence[PoolReview]) -> str:
    if decisions:
        return f"Decision wanted: {'; '.join(one.text for one in decisions)}."
    if all(one.survives_node_loss is None and one.recommended_nodes is None for one in pools):
        return "Decision wanted: not known; no pool has a measured capacity or a recommendation."
    return "No decision is wanted."


def _decisions(review: Review, verdicts: dict[str, bool | None]) -> Iterator[Decision]:
    for one in review.pools:
        if week := one.forecast.likely_breach_week:
            text = f"{one.name}: order nodes or raise its maximum; demand likely exceeds the maximum in {week}"
            yield Decision(code="breach_likely", subject=one.name, text=text)
    for one in review.pools:
        mean, wanted = one.week.nodes, one.recommended_nodes
        if mean is not None and wanted is not None and wanted != round(mean):
            text = f"{one.name}: run {_count(wanted, 'node')}; {mean:.1f} were up on average"
            yield Decision(code="nodes_recommended", subject=one.name, text=text)
    for one in review.pools:
        if one.survives_node_loss is False:
            text = f"{one.name}: add a node, or accept that its busiest 5 min need all of them"
            yield Decision(code="not_redundant", subject=one.name, text=text)
    yield from (found for slo in review.slos if verdicts[slo.id] is False for found in _of_missed(slo))
    for one in review.pools:
        week = one.forecast.possible_breach_week
        if week and not one.forecast.likely_breach_week:
            text = f"{one.name}: plan more nodes; demand possibly exceeds the maximum in {week}"
            yield Decision(code="breach_possible", subject=one.name, text=text)


def _of_missed(slo: SloReview) -> Iterator[Decision]:
    causes = slo.bad_by_cause or {}
    lack, errors = sum(causes.get(cause, 0) for cause in PREVENTABLE), causes.get("errors", 0)
    if lack > MOST * slo.bad:
        text = f"{slo.id}: add capacity to {slo.pool}, or accept the miss; it would likely have prevented {lack / slo.bad:.0%} of the bad requests"
        yield Decision(code="capacity", subject=slo.id, text=text)
    elif errors > MOST * slo.bad:
        text = f"{slo.id}: fix errors, {errors / slo.bad:.0%} of the bad requests; more nodes don't prevent them"
        yield Decision(code="errors", subject=slo.id, text=text)


def _named(names: Sequence[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
