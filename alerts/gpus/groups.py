"""GPUs that work, but slower than their fellows: recorded clocks of busy GPUs, and tickets that name the straggler.

A tensor-parallel group runs at the pace of its slowest GPU, and no SLO names it. A clock is compared with those of the same
replica's GPUs, which do the same work, and with those of the fleet that serve the same model on the same kind of GPU. Under a
power cap, clocks depend on load and silicon, so only GPUs below their limit are compared with the fleet.
"""

from collections.abc import Iterable, Sequence

from plimsoll.alerts.rules import Alert, Recording, ticket
from plimsoll.alerts.templates import GPU, GROUP, INSTANCE, PERCENT, VALUE
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import recorded

WINDOW = "5m"
BUSY = 0.5  # kernel time above which a GPU counts as busy: idle GPUs lower their clocks
POWER_CAPPED = 0.85  # of the power limit
# Ratios below which a GPU is a straggler: silicon and cooling explain less. Against its own mean of the day before, a smaller drop
# is enough.
SLOW_IN_GROUP, SLOW_IN_FLEET, DROP = 0.90, 0.90, 0.06
# Of SM activity above the GPU's usual ratio: a GPU that makes its group of eight wait for 9% of each step, or of two for 12%.
RISE = 0.08
HOLD = 480.0  # longer than a dip of three minutes lasts in a mean of five
BASELINE_SECONDS, RECORDED_EVERY = 21600.0, 30.0  # data that a baseline needs, and the time between its samples
CORRECTED_PER_HOUR = 100.0
REPLAYS_PER_HOUR = 60.0
EACH = "instance, uuid"
OF_REPLICA = ("replica", "model", "region", "node")
SLOWER = "GPUSlowerThanFellows"
WAITED_FOR = "GPUDelaysItsGroup"


def of_busy(values: str, extra: Sequence[str]) -> str:
    """Return the expression of `values` (by instance and UUID) for busy GPUs of one replica each, with the replica's labels."""
    of_replica = ", ".join((*OF_REPLICA, *extra))
    alone = f"(group by ({EACH}, {of_replica}) ({c.GPU_ASSIGNMENT}) and on ({EACH}) (count by ({EACH}) ({c.GPU_ASSIGNMENT}) == 1))"
    busy = f"max by ({EACH}) (avg_over_time({c.GPU_BUSY}[{WINDOW}])) > {BUSY}"
    return f"({values} * on ({EACH}) group_left ({of_replica}) {alone})\nand on ({EACH}) {busy}"


def usual(series: str) -> str:
    """Return the expression of a ratio's mean over the day before the last half hour, where there are six hours of it."""
    past = f"{series}[1d] offset 30m"
    return f"avg_over_time({past})\nand count_over_time({past}) > {BASELINE_SECONDS / RECORDED_EVERY:g}"


def clock_recordings(extra: Sequence[str] = ()) -> list[Recording]:
    """Return the series of busy GPUs' clocks, each after those that it reads; `extra` are further labels of the targets."""
    by = ", ".join((EACH, *OF_REPLICA, *extra))
    group, clock = "instance, replica, model, domain", recorded.GROUP_CLOCK
    clocks = f'max by ({EACH}, domain) (avg_over_time({c.GPU_CLOCK}{{domain=~"sm|memory"}}[{WINDOW}]))'
    upper = f"(quantile by ({group}) (0.75, {clock}) and on ({group}) (count by ({group}) ({clock}) > 1))"
    named = f"({clock} * on ({EACH}) group_left (name) max by ({EACH}, name) ({c.GPU_INFO}))"
    median = f"(quantile by (model, name, domain) (0.5, {named}) and on (model, name, domain) (count by (model, name, domain) ({named}) > 3))"
    power = f"max by ({EACH}) (avg_over_time({c.GPU_POWER}[{WINDOW}])) / max by ({EACH}) ({c.GPU_POWER_LIMIT})"
    fleet = f"{named} / on (model, name, domain) group_left () {median}"
    return [
        Recording(clock, of_busy(clocks, extra), {}),
        Recording(recorded.CLOCK_RATIO, f"{clock} / on ({group}) group_left () {upper}", {"against": "group"}),
        Recording(
            recorded.CLOCK_RATIO,
            f"max by ({by}, domain) ({fleet})\nand on ({EACH}) ({power} < {POWER_CAPPED})",
            {"against": "fleet"},
        ),
    ]


def baseline_recordings() -> list[Recording]:
    """Return each GPU's usual ratios to its group. They read a day of samples, so they are evaluated less often."""
    clocks = usual(f'{recorded.CLOCK_RATIO}{{against="group"}}')
    return [
        Recording(recorded.CLOCK_BASELINE, clocks, {}),
        Recording(recorded.ACTIVITY_BASELINE, usual(recorded.ACTIVITY_RATIO), {}),
    ]


def degradation_alerts() -> Iterable[Alert]:
    """Yield the tickets on GPUs that are slower than others, or show the first signs of a fault."""
    yield _slower()
    yield _waited_for()
    errors = f'sum by ({EACH}) (increase({c.GPU_ECC_ERRORS}{{error="corrected"}}[1h]))'
    yield ticket(
        "GPUCorrectedECCErrorsHigh",
        f"{errors} > {CORRECTED_PER_HOUR:g}",
        f"A GPU on {INSTANCE} corrects many memory errors.",
        f"GPU {GPU} on {INSTANCE} corrected {VALUE} memory errors in the last hour. Uncorrectable ones often follow.",
        links.GPU_HEALTH,
    )
    spares = f'sum by ({EACH}) ({c.GPU_REMAP_BANKS}{{spare=~"low|none"}})'
    yield ticket(
        "GPUMemorySparesLow",
        f"{spares} > 0",
        f"A GPU on {INSTANCE} has few spare memory rows.",
        f"{VALUE} memory banks of GPU {GPU} on {INSTANCE} have few or no spare rows. Plan its replacement.",
        links.GPU_HEALTH,
        600,
    )
    replays = f"sum by ({EACH}) (increase({c.GPU_PCIE_REPLAYS}[1h]))"
    yield ticket(
        "GPUPCIeReplaysHigh",
        f"{replays} > {REPLAYS_PER_HOUR:g}",
        f"A PCIe link on {INSTANCE} repeats packets.",
        f"GPU {GPU} on {INSTANCE} sent {VALUE} PCIe packets again in the last hour. Check card, riser, and slot.",
        links.GPU_HEALTH,
    )
    now, best = (f"max by ({EACH}) ({metric})" for metric in (c.GPU_PCIE_GENERATION, c.GPU_PCIE_GENERATION_MAX))
    yield ticket(
        "GPUPCIeGenerationReduced",
        f"{now} < {best}\nand on ({EACH}) max by ({EACH}) (avg_over_time({c.GPU_BUSY}[{WINDOW}])) > {BUSY}",
        f"A busy GPU on {INSTANCE} uses an old PCIe generation.",
        f"GPU {GPU} on {INSTANCE} is busy and its PCIe link runs at generation {VALUE}, below its maximum.",
        links.GPU_HEALTH,
        600,
    )


def activity_recordings(extra: Sequence[str] = ()) -> list[Recording]:
    """Return the SM activity of each busy GPU as a ratio to the lower quartile of its replica's GPUs; `extra` as for clocks.

    While GPUs wait for a slower one at a collective, a few of their SMs spin. The GPU that they wait for doesn't wait itself, so
    its SMs are active for longer, whatever slows it: memory, a link, or the host.
    """
    group = "instance, replica, model"
    active = recorded.GROUP_ACTIVITY
    lower = f"(quantile by ({group}) (0.25, {active}) and on ({group}) (count by ({group}) ({active}) > 1))"
    return [
        Recording(active, of_busy(f"max by ({EACH}) (avg_over_time({c.GPU_SM_ACTIVE}[{WINDOW}]))", extra), {}),
        Recording(recorded.ACTIVITY_RATIO, f"{active} / on ({group}) group_left () {lower}", {}),
    ]


def _waited_for() -> Alert:
    risen = f"{recorded.ACTIVITY_RATIO} - {recorded.ACTIVITY_BASELINE}"
    return ticket(
        WAITED_FOR,
        f"max by ({EACH}) ({risen}) > {RISE}",
        f"The other GPUs of a replica on {INSTANCE} wait for one.",
        f"The SM activity of GPU {GPU} on {INSTANCE}, compared with its replica's other GPUs, is {PERCENT} above its usual. "
        f"They wait for it in each step.{GROUP}",
        links.GPU_STRAGGLERS,
        HOLD,
    )


def _slower() -> Alert:
    ratio = recorded.CLOCK_RATIO
    dropped = f'({ratio}{{against="group"}} < {recorded.CLOCK_BASELINE} - {DROP})'
    expr = (
        f'({ratio}{{against="group"}} < {SLOW_IN_GROUP})\nor {dropped}\n'
        f'or ({ratio}{{against="fleet"}} < {SLOW_IN_FLEET})'
    )
    return ticket(
        SLOWER,
        f"min by ({EACH}, domain) ({expr})",
        f"A GPU on {INSTANCE} is slower than its fellows.",
        f"The {{{{ $labels.domain }}}} clock of GPU {GPU} on {INSTANCE} is {PERCENT} of that of GPUs with the same work. "
        f"A replica runs at the pace of its slowest GPU.{GROUP}",
        links.GPU_STRAGGLERS,
        HOLD,
    )
