"""Tries changes of engine settings in the simulator, one at a time, on the traffic that the recommendation expects again.

Each run has the same requests, so that only the setting differs. The requests that wait now are left out: a change restarts the engine.
What counts is attainment of the current nodes, and the fewest nodes that meet the target; a gain within the simulator's own error is none.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from plimsoll.slo.capacity.recommendation.attainment_simulation import simulate
from plimsoll.slo.capacity.recommendation.demand import INTERVAL
from plimsoll.slo.capacity.recommendation.expected_attainment import AttainmentEstimate
from plimsoll.slo.capacity.recommendation.settings.candidates import Candidate, ladders
from plimsoll.slo.capacity.recommendation.settings.models import SettingChange, SettingsAdvice
from plimsoll.slo.capacity.recommendation.texts import nodes

NOISE = 0.02  # attainment by which the simulator was off on held-out fleets
ALIKE = 0.005  # attainment below which the smaller of two changes is taken
MOST = 1_500  # requests of a run, on one rank of the current nodes
HOLDS = 600.0  # seconds for which advice stands, as long as between two calibrations
MARGIN = 1.3  # times as long as fitted that steps are taken to be for the choice of a value: larger steps than any seen may be slower
Attainment = Callable[[Candidate | None, int], float]  # of a change (None: as it is) and a number of nodes


def advise(estimate: AttainmentEstimate, last: SettingsAdvice | None = None) -> SettingsAdvice:
    """Return the changes that help; `last` while it holds. Deterministic: the same snapshot gives the same advice."""
    now, seen = estimate.case.now, dict(estimate.engine.settings) if estimate.engine else {}
    candidates = ladders(seen)
    reason = _unavailable(estimate, candidates)
    if reason:
        return SettingsAdvice(now, seen, unavailable_reason=reason)
    if last and not last.unavailable_reason and last.observed == seen and 0 <= now - last.at < HOLDS:
        return last
    runs = attainment, _ = _attainment(estimate), _attainment(estimate, MARGIN)
    current = _current(estimate)
    enough = _fewest(estimate, attainment, None)
    tried = (_change(estimate, runs, one, enough) for one in candidates)
    changes = sorted(
        (one for one in tried if one), key=lambda one: (one.nodes_saved or 0, one.attainment), reverse=True
    )
    return SettingsAdvice(
        now,
        seen,
        round(attainment(None, current), 4),
        round(attainment(None, current + 1), 4),
        enough,
        lookback(estimate),
        tuple(_best_of_each(changes)),
    )


def _unavailable(estimate: AttainmentEstimate, candidates: Sequence[object]) -> str | None:
    """State why nothing can be tried; None where it can."""
    if estimate.engine is None and estimate.recent:
        return "Unavailable: no calibration yet."
    if estimate.unavailable_reason:
        return estimate.unavailable_reason
    if not candidates:
        return "Unavailable: max_num_seqs and max_num_batched_tokens of every replica aren't known, or differ."
    return None


def _current(estimate: AttainmentEstimate) -> int:
    return max(1, estimate.case.current)


def lookback(estimate: AttainmentEstimate) -> float:
    """Return the seconds of traffic that are simulated: as many as are expected again, or as have MOST requests for a rank."""
    demand, engine = estimate.recent[0] if estimate.recent else None, estimate.engine
    if demand is None or engine is None:
        return 0.0
    whole = len(demand.arrived) * INTERVAL
    requests = sum(demand.arrived) / (demand.input_tokens + demand.output_tokens)
    ranks = _current(estimate) * estimate.case.pool.node.replicas * engine.ranks
    return max(INTERVAL, whole * min(1.0, MOST * ranks / requests) // INTERVAL * INTERVAL)


def _attainment(estimate: AttainmentEstimate, slowness: float = 1.0) -> Attainment:
    """Return the simulation of the expected traffic, without the requests that wait now, with steps that take `slowness` times as long."""
    engine = estimate.engine
    demand, target = estimate.recent or (None, None)
    if engine is None or demand is None or target is None:
        raise ValueError("nothing to simulate")
    replicas = estimate.case.pool.node.replicas
    fresh = replace(demand.recent(lookback(estimate)), backlog=0.0)

    @cache
    def attainment(change: Candidate | None, count: int) -> float:
        limits = engine.limits if change is None else change.limits(engine.limits)
        changed = replace(engine, model=engine.model.times(slowness), limits=limits)
        return simulate(fresh, count * replicas, target, changed, MOST).attainment or 0.0

    return attainment


def _change(
    estimate: AttainmentEstimate, runs: tuple[Attainment, Attainment], ladder: Sequence[Candidate], enough: int | None
) -> SettingChange | None:
    """Return the smallest change of a ladder that brings what the best of them does, with slow steps too; None where none is above the
    noise. `runs` are with steps as fitted, and slow; `enough` nodes meet the target as it is."""
    attainment, slow = runs
    current = _current(estimate)
    places = {current, *([enough - 1] if enough and enough > max(1, estimate.case.pool.nodes.min) else [])}

    def gain(one: Candidate, run: Attainment = attainment) -> float:
        return max(run(one, count) - run(None, count) for count in places)

    # The ends first: what neither of them brings, the values between rarely do.
    if max(gain(ladder[0]), gain(ladder[-1])) < NOISE:
        return None
    least, least_slow = (max(gain(one, run) for one in ladder) - ALIKE for run in runs)
    chosen = next((one for one in ladder if gain(one) >= least and gain(one, slow) >= least_slow), None)
    if chosen is None:
        return None
    fewest = _fewest(estimate, attainment, chosen)
    if enough and fewest and fewest < enough and attainment(chosen, fewest) - attainment(None, fewest) < NOISE:
        fewest = enough
    saved = enough - fewest if enough and fewest else None
    more = attainment(chosen, current) - attainment(None, current)
    if more < NOISE and not (saved and saved > 0 and more > -NOISE):
        return None
    return _described(estimate, chosen, (attainment(None, current), attainment(chosen, current)), fewest, saved)


def _described(
    estimate: AttainmentEstimate,
    chosen: Candidate,
    ratios: tuple[float, float],
    fewest: int | None,
    saved: int | None,
) -> SettingChange:
    """Return a change with its figures; `ratios` are the attainment without it and with it."""
    now, then = chosen.text(chosen.current), chosen.text(chosen.proposed)
    fewer = f", {nodes(saved)} fewer for the target" if saved and saved > 0 else ""
    brings = f"attainment {ratios[0]:.1%} to {ratios[1]:.1%} on {nodes(_current(estimate))}{fewer}"
    return SettingChange(
        f"Set {chosen.flag} to {then} (now {now}): {brings}.",
        chosen.setting,
        chosen.flag,
        now,
        then,
        round(ratios[1], 4),
        round(ratios[1] - ratios[0], 4),
        fewest,
        saved,
        chosen.risk,
        chosen.certainty,
    )


def _fewest(estimate: AttainmentEstimate, attainment: Attainment, change: Candidate | None) -> int | None:
    """Return the fewest nodes within the pool's limits that meet the target, as more nodes do no worse; None where none do."""
    case = estimate.case
    low, high = max(1, case.pool.nodes.min), max(_current(estimate), case.pool.nodes.max)
    goal = case.target.target if case.target else 1.0
    if attainment(change, high) < goal:
        return None
    while low < high:
        middle = (low + high) // 2
        if attainment(change, middle) >= goal:
            high = middle
        else:
            low = middle + 1
    return high


def _best_of_each(changes: Sequence[SettingChange]) -> list[SettingChange]:
    """Leave out the worse direction of a setting that helps in both."""
    return list({one.setting: one for one in reversed(changes)}.values())[::-1]
