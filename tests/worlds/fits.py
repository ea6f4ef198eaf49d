"""A calibration result (`Calibration`) as a fit of one hour of two replicas gives it."""

from plimsoll.slo.capacity.calibration.fit import Calibration

FIT = Calibration(
    base=0.01,
    per_sequence=5e-5,
    per_kv_token=1.5e-8,
    per_prompt=0.0,
    per_prompt_token=4.5e-5,
    r_squared=0.97,
    error=0.034,
    intervals=203,
    since=1.7e9,
    until=1.7e9 + 3600,
    batches=(2.0, 40.0),
    contexts=(500.0, 1500.0),
    prompts=(400.0, 2000.0),
    replicas=("a", "b"),
    left_out={"c": 2.5},
    kv_tokens=235_200,
    most_running=52,
    ranks=1,
)
