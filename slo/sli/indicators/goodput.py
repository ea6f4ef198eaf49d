"""Goodput: the requests that met all their latency thresholds at once. Only the vLLM plugin can count it."""

from typing import Any, Self

from plimsoll.slo.sli.evidence import Counting, per_request
from plimsoll.slo.spec.indicator import COMPLETED, FAILED, SHORT_NAMES, FinishedRequest, Indicator, Outcome, register
from plimsoll.slo.spec.objectives import Objective, Pool
from plimsoll.slo.units import Duration


@register
class Goodput(Indicator):
    """Good: completed, and every latency at most its threshold. Separate histograms only bound it."""

    kind = "goodput"
    syntax = f"{{goodput: {{{', '.join(f'{name}: 600ms' for name in SHORT_NAMES)}}}}}"
    at_gateways = False
    spans_roles = True
    evidence_fix = "Install the vLLM plugin there"
    openslo_loss = "the query reads requests that the vLLM plugin evaluated; the thresholds are in an annotation"
    bad_outcomes = ("errors",)

    @classmethod
    def read(cls, body: object) -> Self | None:
        """Read one or more thresholds by their short names."""
        if not isinstance(body, dict) or not body or not set(body) <= set(SHORT_NAMES):
            return None
        return cls({SHORT_NAMES[key]: Duration.parse(body[key]) for key in SHORT_NAMES if key in body})

    def to_file(self) -> dict[str, Any]:
        """Return the thresholds by their short names."""
        short = {latency: name for name, latency in SHORT_NAMES.items()}
        return {self.kind: {short[latency]: str(threshold) for latency, threshold in self.thresholds.items()}}

    def evidence(self, objective: Objective, pool: Pool) -> tuple[Counting]:
        """Count what the plugin evaluated."""
        return (per_request(objective, pool),)

    def evaluate(self, request: FinishedRequest) -> Outcome | None:
        """Return whether a request met every threshold that applies to it. A failed request is bad."""
        if request.reason in FAILED:
            return "bad"
        if request.reason not in COMPLETED:
            return None
        return "bad" if request.meets(self.thresholds) is False else "good"
