"""The replica of a command's simulations: one on record, a pool's own as measured, or as planned for its model and GPUs."""

import argparse
from dataclasses import astuple
from pathlib import Path
from typing import NamedTuple

from plimsoll.compose.inputs import UserError, read_text
from plimsoll.slo import strict_json
from plimsoll.slo.capacity.calibration.measured_replica import MeasuredReplica
from plimsoll.slo.capacity.planner import planned_replica
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.step_time import StepModel
from plimsoll.slo.capacity.whatif.baseline import Baseline, baseline
from plimsoll.slo.capacity.whatif.measured_scaling import KV_BYTES
from plimsoll.slo.capacity.whatif.request import WhatIfRequest
from plimsoll.slo.reports.calibration import PoolCalibration
from plimsoll.slo.spec.objectives import Pool

ON_RECORD = "70b-fp8-h100-tp4"
KIND = (1000, 200)  # tokens in and out for which a planned replica's step times are fitted
LARGEST_BATCH = 256


class Simulated(NamedTuple):
    """A replica's name with how its step times are known, the step model, its KV cache in blocks, and its GPUs."""

    name: str
    model: StepModel
    blocks: int
    gpus: int


def add_replica(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--replica", metavar="NAME", help=f"a node, on record (default: that of --pool, or {ON_RECORD})"
    )
    source.add_argument(
        "--calibration-file",
        metavar="FILE",
        help="measured replica of --pool: output of `plimsoll calibrate --json`, or the calibration from the API",
    )


def replica_of(args: argparse.Namespace, pool: Pool | None) -> Simulated:
    """Return the replica to simulate: that of the file, the named one, or the pool's by its model, GPU and count. Raises UserError."""
    own = read_calibration(args.calibration_file, pool)
    name = args.replica or (None if pool else ON_RECORD)
    try:
        if name is not None and name not in step_time.names():
            step_time.load(name)
        return _simulated(baseline(WhatIfRequest(replica=name), pool, own))
    except ValueError as error:
        hint = "" if args.replica else "; or give what was measured on the pool: --calibration-file FILE"
        raise UserError(f"--{'replica' if args.replica else 'pool'}: {error}{hint}") from error


def _simulated(found: Baseline) -> Simulated:
    if found.measured is not None:
        fit = found.measured.step_times
        name = f"{found.measured.pool}'s own replica, as measured: {found.measured.model} on {found.measured.gpus} x {found.measured.gpu}"
        return Simulated(name, fit.model, fit.kv_cache_capacity_tokens // Limits().block_size, found.measured.gpus)
    if found.planned is None:
        return Simulated(found.name, step_time.load(found.name), Limits().num_blocks, found.hardware.gpus)
    room = planned_replica.room(found.planned, KV_BYTES, sum(KIND), 0)
    if not room.requests:
        raise ValueError(f"model {found.name!r}: no request of {sum(KIND)} tokens fits its GPUs")
    fast, slow = planned_replica.timing(found.planned, KV_BYTES, KIND, LARGEST_BATCH).models
    middle = StepModel(*((low + high) / 2 for low, high in zip(astuple(fast), astuple(slow), strict=True)))
    on = found.hardware
    name = f"{found.name} on {on.gpus} x {on.gpu} with {on.weight_bits}-bit weights, as planned (middle of the band)"
    return Simulated(name, middle, room.tokens // Limits().block_size, on.gpus)


def read_calibration(path: str | None, pool: Pool | None) -> MeasuredReplica | None:
    """Read the pool's own replica from the output of `plimsoll calibrate --json` or the API. Raises UserError."""
    if path is None:
        return None
    if pool is None:
        raise UserError("--calibration-file requires --pool NAME.")
    try:
        body = strict_json.load(read_text(Path(path), f"--calibration-file {path}"))
        found = next((one for one in body.get("pools", [body]) if one["pool"] == pool.name), None)
        own = None if found is None else PoolCalibration.model_validate(found).calibration
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"--calibration-file {path}: is not what `plimsoll calibrate --json` prints: {' '.join(str(error).split())}"
        ) from error
    if own is None:
        raise UserError(f"--calibration-file {path}: has no step times of pool {pool.name!r}")
    if not own.runs_as(pool):
        raise UserError(
            f"--calibration-file {path}: is of {own.model} on {own.gpus} x {own.gpu}; calibrate the pool again"
        )
    return own
