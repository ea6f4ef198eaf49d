"""A pool with spot nodes and prices."""

from plimsoll.slo.spec.objectives import Pool, load
from world import SPEC_TEXT

PRICED = "gpus: 1, hourly_usd: 4.0, spot: {hourly_usd: 1.6, max_share: 50%}}"


def pool(spot: str = PRICED, nodes: str = "{min: 1, max: 8}") -> Pool:
    return load(SPEC_TEXT.replace("gpus: 1}", spot).replace("{min: 1, max: 4, warm_spares: 1}", nodes)).pool("pool")
