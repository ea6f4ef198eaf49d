"""One ISO week of a priced pool's slots, for the weekly review."""

from plimsoll.slo.calendar import WEEK, start_of
from plimsoll.slo.spec.objectives import Spec, load
from plimsoll.slo.usage.slots import PoolSlot
from world import SPEC_TEXT

START = start_of("2023-W46")


NOW = START + WEEK + 3600.0


def slot(start: float, arrivals: int | None, nodes: float | None = 2.0, covered: float = 300.0) -> PoolSlot:
    """A slot whose requests all finish, with 900 tokens in and 100 out."""
    return PoolSlot(
        int(start),
        covered,
        arrivals=arrivals,
        finished=arrivals,
        input_tokens=None if arrivals is None else 900 * arrivals,
        output_tokens=None if arrivals is None else 100 * arrivals,
        rejected=1,
        preemptions=0,
        replica_disruptions=0,
        waiting_max=3.0,
        kv_cache_usage_max=0.5,
        nodes=nodes,
        replicas=nodes,
        energy_joules=None if arrivals is None else 2000.0 * arrivals,
    )


def priced() -> Spec:
    return load(
        SPEC_TEXT.replace("gpus: 1}", "gpus: 1, hourly_usd: 4.0}").replace("300s}", "300s, procurement_lead_time: 4w}")
    )
