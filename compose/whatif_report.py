"""The result of a what-if as the command prints it."""

from math import isfinite

from plimsoll.slo.capacity.model.prices import MILLION
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.whatif.evaluate import ScenarioResult, in_flight
from plimsoll.slo.capacity.whatif.prefill_decode import PairResult, sized_pair
from plimsoll.slo.capacity.whatif.request import extrapolations
from plimsoll.slo.capacity.whatif.scenario import Scenario, arithmetic, hardware_in, hardware_of, ranks_in, timing

MILLISECONDS = 1000
SIMULATED = (
    "Simulated, from a model of the engine and Poisson arrivals; replay your own traffic with `plimsoll backtest`."
)


def print_report(scenario: Scenario, result: ScenarioResult | None, api: str) -> None:
    """Print the question, its arithmetic and the result; `api` is what the cost is compared with."""
    _print_question(scenario)
    if result is None:
        sure = "" if timing(scenario).measured else " with the slowest step times that are likely"
        print(f"\n{_replica(scenario)} can't meet {_written(scenario.target)} for these requests at any rate{sure}.")
    else:
        _print(scenario, result, api)
    if scenario.kv_transfer_bytes_per_second is not None:
        _print_pair(scenario, sized_pair(scenario))
    _print_in_flight(scenario)
    for line in extrapolations(scenario, result):
        print(line)
    print(f"\n{SIMULATED}")


def _written(target: LatencyTarget) -> str:
    limits = (f"{limit * MILLISECONDS:g}" if isfinite(limit) else "any" for limit in (target.ttft, target.tpot))
    return "/".join((*limits, f"{100 * target.target:g}"))


def _replica(scenario: Scenario) -> str:
    on, own = hardware_in(scenario), scenario.measured_replica
    if own is None and scenario.planned is None and on == hardware_of(scenario.replica):
        return scenario.replica
    name = scenario.replica if own is None else f"{own.pool}'s own replica, as measured,"
    ranks = ranks_in(scenario)
    of = f"{ranks} ranks of " if ranks > 1 else ""
    return f"{name} on {of}{on.gpus} x {on.gpu}" + (f" with {on.weight_bits}-bit weights" if on.weight_bits else "")


def _print_question(scenario: Scenario) -> None:
    kinds = ", ".join(
        f"{kind.prompt} + {kind.output} tokens" + (f" ({kind.share:.0%})" if len(scenario.mix) > 1 else "")
        for kind in scenario.mix
    )
    print(f"{_replica(scenario)}, requests of {kinds}, target {_written(scenario.target)} (ms/ms/%)\n")
    print("\n".join(f"  {step}" for step in arithmetic(scenario)))


def _print(scenario: Scenario, result: ScenarioResult, api: str) -> None:
    priced = "GPUs only" if scenario.owned is None else "nodes with power, colocation, and staff"
    print(
        f"\nmax. per replica      {_band(result.max_requests_per_second, '.1f')} requests/s within the latency target"
    )
    print(f"concurrent requests   {_band(result.concurrent_requests, '.0f')}")
    print(
        f"{scenario.rate:g} requests/s need   {_band(result.nodes, 'd')} nodes; {_band(result.nodes_with_redundancy, 'd')} with N+1 redundancy"
    )
    if result.usd_per_hour is None or result.usd_per_million_tokens is None:
        print("cost                  unknown: no price of this GPU is on record; add --gpu-usd-per-hour")
        return
    print(f"cost per hour         {_band(result.usd_per_hour, '.2f')} USD, {priced}")
    print(f"cost per 1M tokens    {_band(result.usd_per_million_tokens, '.2f')} USD, input and output, {priced}")
    if result.break_even_tokens_per_month:
        low, high = (f"{tokens / MILLION:,.0f}" for tokens in result.break_even_tokens_per_month)
        print(f"{api} costs more from {low if low == high else f'{low} to {high}'} million tokens per month")


def _print_pair(scenario: Scenario, found: PairResult | None) -> None:
    """Print prefill and decode in replicas of their own."""
    if found is None:
        print(f"prefill and decode    no pair of replicas meets {_written(scenario.target)} for these requests")
        return
    fast, slow = found.fastest, found.slowest
    prefill = _band((fast.prefill_nodes, slow.prefill_nodes), "d")
    decode = _band((fast.decode_nodes, slow.decode_nodes), "d")
    low, high = sorted((fast.decode_per_prefill, slow.decode_per_prefill))
    usd = "" if found.usd_per_hour is None else f", {_band(found.usd_per_hour, '.2f')} USD per hour"
    why = {"ttft": "time of prompts", "tpot": "time of decode steps", "kv_cache": "room for requests that decode"}
    print(f"prefill and decode    {prefill} + {decode} nodes, each with one role{usd}")
    print(f"decode per prefill    {_band((low, high), '.1f')} replicas")
    print(f"role that limits      {slow.binding_role}: {why[slow.binding_reason]}")


def _print_in_flight(scenario: Scenario) -> None:
    """Print what one replica does with fixed numbers of requests in flight."""
    rows = in_flight(scenario)
    if not rows:
        return
    print(f"\n  {'in flight':>9}  {'output tokens/s':>18}  {'mean TTFT ms':>18}  {'mean TPOT ms':>18}")
    for row in rows:
        ttft, tpot = ((MILLISECONDS * low, MILLISECONDS * high) for low, high in (row.ttft_seconds, row.tpot_seconds))
        cells = (_band(row.output_tokens_per_second, ",.0f"), _band(ttft, ",.0f"), _band(tpot, ".1f"))
        print(f"  {row.concurrent_requests:>9}" + "".join(f"  {cell:>18}" for cell in cells))


def _band(band: tuple[float, float], form: str) -> str:
    low, high = (format(value, form) for value in band)
    return low if low == high else f"{low} to {high}"
