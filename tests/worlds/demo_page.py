"""The default objectives and model of the demo fleet, and sums over series of a metrics page."""

from plimsoll.compose.inputs import read_objectives
from plimsoll.exporters.engines.parser import Page
from plimsoll.exporters.engines.vllm import VLLM
from plimsoll.slo import metrics

SPEC = read_objectives(None)


MODEL = SPEC.pools[0].model


# The demo's replicas serve no adapters and do not speculate.
SOURCES = [s for s in VLLM.sources if not s.optional or s.metric is metrics.OBJECTIVE_REQUESTS]


def value(page: Page, name: str, **labels: str) -> float:
    """The sum of a page's series of that name that have these labels."""
    return sum(number for found, number in page.series.get(name, {}).items() if labels.items() <= dict(found).items())
