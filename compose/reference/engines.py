"""Reference page of the engines and gateways whose metrics endpoints are read."""

from plimsoll.compose.reference.markdown import page, table
from plimsoll.exporters.engines import engines
from plimsoll.exporters.engines.mapping import EngineMapping
from plimsoll.slo import metrics as c

_PER_REQUEST = (
    ("Requests", (c.FINISHED, c.GATEWAY_REQUESTS)),
    ("TTFT", (c.TTFT, c.GATEWAY_TTFT)),
    ("TPOT", (c.TPOT, c.GATEWAY_TPOT)),
    ("Duration", (c.DURATION, c.GATEWAY_DURATION)),
    ("Queue", (c.REQUESTS_WAITING, c.GATEWAY_QUEUED)),
    ("KV cache", (c.KV_CACHE_USAGE,)),
    ("Stall alert", (c.PROGRESS_TOKENS,)),
)


def engines_page() -> str:
    """Return every mapping: what it was checked against, which numbers it has, and what is inexact or missing."""
    intro = (
        "What the exporter recognizes at `--engine`, by the names on the page. `plimsoll engines URL` lists for one server the names "
        "it found and what a missing one costs. *Real*: the page was captured from a running server; otherwise it was written "
        "after the source or the documentation that is named. Prefill and decode engines: [roles](../how-to/install-exporter.md#roles). In "
        "Kubernetes: [engines in pods](../how-to/deploy-kubernetes.md#engines-in-pods)."
    )
    kinds = (("Engines", False), ("Gateways and routers", True))
    sections = [
        f"## {title}\n\n"
        + table(
            ("Server", "Path", "Versions checked", "Page", *(name for name, _ in _PER_REQUEST), "Inexact or missing"),
            (_row(one) for one in engines() if one.gateway is gateway),
        )
        for title, gateway in kinds
    ]
    return page("Engines and gateways", intro, *sections)


def _row(one: EngineMapping) -> tuple[str, ...]:
    metrics = {source.metric for source in one.sources}
    has = ("yes" if metrics.intersection(names) else "no" for _, names in _PER_REQUEST)
    real = "real" if one.checked.real else "reconstructed"
    return (one.title, f"`{one.path}`", one.checked.versions, real, *has, one.checked.limits)
