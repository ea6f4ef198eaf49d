"""Reference page of the engines and gateways whose metrics endpoints are read."""

from plimsoll.compose.reference.markdown import page, table
from plimsoll.exporters.engines import engines
from plimsoll.exporters.engines.mapping import EngineMapping

_PER_REQUEST = (
    ("Requests", ("llm_requests_finished_total", "llm_gateway_requests_total")),
    ("TTFT", ("llm_time_to_first_token_seconds", "llm_gateway_time_to_first_token_seconds")),
    ("TPOT", ("llm_time_per_output_token_seconds", "llm_gateway_time_per_output_token_seconds")),
    ("Duration", ("llm_request_duration_seconds", "llm_gateway_request_duration_seconds")),
    ("Queue", ("llm_requests_waiting", "llm_gateway_requests_queued")),
    ("KV cache", ("llm_kv_cache_usage_ratio",)),
    ("Stall alert", ("llm_progress_tokens_total",)),
)


def engines_page() -> str:
    """Return every mapping: what it was checked against, which numbers it has, and what is inexact or missing."""
    intro = (
        "What the exporter recognizes at `--engine`, by the names on the page. `plimsoll engines URL` says for one server which names "
        "it found and what a missing one costs. *Real*: the page was captured from a running server; otherwise it was written "
        "after the source or the documentation that is named."
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
    metrics = {source.metric.name for source in one.sources}
    has = ("yes" if metrics.intersection(names) else "no" for _, names in _PER_REQUEST)
    real = "real" if one.checked.real else "reconstructed"
    return (one.title, f"`{one.path}`", one.checked.versions, real, *has, one.checked.limits)
