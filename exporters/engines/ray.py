"""vLLM on Ray: a node agent's page with the engines of all models, deployments and replicas of that node, through Ray's metrics.

Ray puts `ray_` before a name and makes its `:` an `_` (2.46 writes it both ways). A series appears at its first event. Each
replica of Ray Serve has its `ReplicaId`; without Serve an engine is identified by its `WorkerId`. A removed replica leaves its
counters on the page, but no gauge; the gauges of a live one may be absent while it idles, those of Serve are not. Checked on real agents' pages of Ray 2.46, 2.52 and 2.60.
"""

from dataclasses import replace

from plimsoll.exporters.engines.mapping import Checked, register
from plimsoll.exporters.engines.vllm import VLLM

RAY = register(
    replace(
        VLLM,
        title="vLLM on Ray",
        signs=("ray_vllm",),
        sources=tuple(
            replace(
                source,
                names=tuple(ray for name in source.names for ray in (f"ray_{name.replace(':', '_')}", f"ray_{name}")),
                optional=True,
            )
            for source in VLLM.sources
        ),
        capacity=None,
        http=None,
        choices="",
        version=None,
        replicas=("ReplicaId", "WorkerId"),
        alive=(
            "ray_vllm_num_requests_running",
            "ray_vllm:num_requests_running",
            "ray_serve_replica_processing_queries",
        ),
        checked=Checked(
            "2.46, 2.52 (real agents, through vLLM's wrappers), 2.60 (real Ray Serve with two replicas of vLLM 0.32)",
            True,
            "No HTTP errors and no clients that left: count these at Ray Serve's front. No KV cache capacity. A replica's first requests before the exporter first saw it.",
        ),
    )
)
