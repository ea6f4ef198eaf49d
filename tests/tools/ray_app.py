"""PORT METRICS_PORT MODEL NAME: Ray Serve with two replicas of vLLM, which count through Ray's agent. Run by Ray's own Python."""

import signal
import sys
import uuid
from typing import Any

import ray
from ray import serve
from vllm import AsyncEngineArgs, SamplingParams
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.metrics.ray_wrappers import RayPrometheusStatLogger


@serve.deployment(num_replicas=2, max_ongoing_requests=100, ray_actor_options={"num_cpus": 0.1})
class LLM:
    """One replica."""

    def __init__(self, model: str, name: str) -> None:
        arguments = AsyncEngineArgs(
            **{"model": model, "served_model_name": [name], "load_format": "dummy", "enforce_eager": True},
            dtype="float32",  # as in real_engine.py
            **{"max_model_len": 2048, "max_num_seqs": 16},
        )
        self.engine = AsyncLLM.from_engine_args(arguments, stat_loggers=[RayPrometheusStatLogger])

    async def __call__(self, request: Any) -> dict[str, Any]:
        """Answer a GET when ready, and a POST with the tokens that were generated and the replica that did it."""
        if request.method == "GET":
            return {}
        body = await request.json()
        sampling = SamplingParams(max_tokens=body["max_tokens"], ignore_eos=True)
        tokens = 0
        async for answer in self.engine.generate(body["prompt"], sampling, request_id=uuid.uuid4().hex):
            tokens = len(answer.outputs[0].token_ids)
        return {"tokens": tokens, "replica": serve.get_replica_context().replica_id.unique_id}


if __name__ == "__main__":
    port, metrics, model, name = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # Ray ends its processes when this one exits by itself
    ray.init(num_cpus=2, _metrics_export_port=int(metrics), include_dashboard=False, object_store_memory=100 * 2**20)
    serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
    serve.run(LLM.bind(model, name), route_prefix="/")  # type: ignore[attr-defined]  # of the decorator
    signal.pause()
