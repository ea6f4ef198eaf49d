"""Which replica a what-if starts from: the pool's own as measured, one on record, or one that is planned for a model and GPUs."""

from dataclasses import replace
from typing import NamedTuple, Protocol

from plimsoll.slo.capacity.calibration.measured_replica import MeasuredReplica
from plimsoll.slo.capacity.model import memory
from plimsoll.slo.capacity.model.hardware import Hardware
from plimsoll.slo.capacity.planner.operators import ONE_RANK, NoOperators, Ranks, has_experts
from plimsoll.slo.capacity.planner.planned_replica import PlannedReplica, narrowed, plan
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.whatif.measured_scaling import KV_BYTES, MEASURED
from plimsoll.slo.capacity.whatif.measured_scaling import hardware_of as hardware_of_measured
from plimsoll.slo.capacity.whatif.scenario import hardware_of
from plimsoll.slo.spec.objectives import Pool


class Asked(Protocol):
    """What of a request names the replica."""

    replica: str | None
    model: str | None
    config_json: str | None
    gpu: str | None
    tensor_parallel_size: int | None
    weight_bits: int | None
    data_parallel_size: int
    expert_parallel: bool

    @property
    def engine(self) -> str:
        """Name of the engine."""


class Baseline(NamedTuple):
    """A replica by name, on its hardware; `measured` or `planned` where it is not one on record."""

    name: str
    hardware: Hardware
    measured: MeasuredReplica | None = None
    planned: PlannedReplica | None = None


def baseline(asked: Asked, pool: Pool | None, own: MeasuredReplica | None) -> Baseline:
    """Return the replica that is asked about; `own` is the pool's as measured. A pool is answered for its own model, GPU and number of
    GPUs, or ValueError is raised with the reason."""
    found = _baseline(asked, pool, own)
    ranks = Ranks(asked.data_parallel_size, asked.expert_parallel)
    if ranks == ONE_RANK:
        return found
    if found.planned is None:
        raise ValueError(
            f"data_parallel_size {ranks.size}: step times of {found.name!r} are of one rank; give model and gpu"
        )
    if ranks.whole_experts and not has_experts(found.planned.config):
        raise ValueError(f"expert_parallel: {found.planned.model} has no experts")
    return found._replace(planned=replace(found.planned, ranks=ranks))


def _baseline(asked: Asked, pool: Pool | None, own: MeasuredReplica | None) -> Baseline:
    if asked.replica == MEASURED or (asked.replica is None and asked.model is None and own is not None):
        if own is None:
            raise ValueError(f"replica {MEASURED!r}: the pool isn't calibrated yet; see `reason` of its calibration")
        return Baseline(MEASURED, hardware_of_measured(own), measured=own)
    if asked.replica is not None:
        return _on_record(asked.replica, pool)
    if pool is not None and asked.model is None:
        return _of_pool(asked, pool)
    if asked.model is None:
        name = step_time.names()[0]
        return Baseline(name, hardware_of(name))
    gpu = asked.gpu or (pool.node.gpu if pool else None)
    if gpu is None:
        raise ValueError(f"gpu of {asked.model!r}: is not given; known are {', '.join(memory.gpus())}")
    gpus = asked.tensor_parallel_size or (_gpus(pool, asked) if pool else 1)
    planned = plan(asked.model, gpu, gpus, asked.weight_bits, asked.engine, asked.config_json)
    return Baseline(asked.model, planned.hardware, planned=planned)


def _on_record(name: str, pool: Pool | None) -> Baseline:
    if pool is not None and memory.shape_of(pool.model) != step_time.replica(name).shape:
        raise ValueError(f"replica {name!r}: is not of {pool.model}, which pool {pool.name!r} runs; leave it out")
    return Baseline(name, hardware_of(name))


def _of_pool(asked: Asked, pool: Pool) -> Baseline:
    gpu, gpus = pool.node.gpu, _gpus(pool, asked)
    try:
        planned = narrowed(plan(pool.model, gpu, gpus, None, asked.engine, asked.config_json), KV_BYTES)
    except NoOperators as error:
        same = next((name for name in step_time.names() if _is(name, pool.model, gpu, gpus)), None)
        if same is None:
            raise ValueError(f"model {pool.model!r}: {error}") from error
        return Baseline(same, hardware_of(same))
    return Baseline(pool.model, planned.hardware, planned=planned)


def _is(name: str, model: str, gpu: str, gpus: int) -> bool:
    known = step_time.replica(name)
    return (known.shape, known.gpu, known.gpus) == (memory.shape_of(model), gpu, gpus)


def _gpus(pool: Pool, asked: Asked) -> int:
    """GPUs of a rank."""
    return max(1, pool.node.gpus // pool.node.replicas // asked.data_parallel_size)
