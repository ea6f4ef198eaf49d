"""A calibration result (`Calibration`) as a fit of one hour of two replicas gives it."""

import json
from pathlib import Path

from plimsoll.slo.capacity.calibration.fit import Calibration
from plimsoll.slo.capacity.calibration.measured_replica import MeasuredReplica, to_json
from plimsoll.slo.spec.objectives import load

FIT = Calibration(
    base_seconds=0.01,
    seconds_per_sequence=5e-5,
    seconds_per_kv_token=1.5e-8,
    seconds_per_prompt=0.0,
    seconds_per_prompt_token=4.5e-5,
    r_squared=0.97,
    median_relative_error=0.034,
    intervals=203,
    since=1.7e9,
    until=1.7e9 + 3600,
    batch_size_range=(2.0, 40.0),
    context_tokens_range=(500.0, 1500.0),
    input_tokens_range=(400.0, 2000.0),
    replicas=("a", "b"),
    excluded_replicas={"c": 2.5},
    kv_cache_capacity_tokens=235_200,
    max_observed_batch=52,
    data_parallel_size=1,
)


def measured(objectives: str, file: Path) -> tuple[str, str]:
    """Write the fit as that of the first pool of an objectives file's text, and return the options that name it."""
    pool = load(objectives).pools[0]
    fit = json.loads(to_json(MeasuredReplica(pool.name, pool.model, pool.node.gpu, pool.node.gpus, FIT)))
    file.write_text(json.dumps({"pools": [{"pool": pool.name, "calibration": fit, "reason": None}]}))
    return "--calibration-file", str(file)
