"""What-if of data-parallel ranks and whole experts: as the package computes them, nodes and money of whole replicas, refused where nothing is measured."""

import json
from dataclasses import replace
from math import ceil

import pytest

from plimsoll.compose.cli import main
from plimsoll.compose.inputs import DEFAULT_OBJECTIVES
from plimsoll.slo.capacity.model.prices import packaged
from plimsoll.slo.capacity.planner import operators
from plimsoll.slo.capacity.planner.operators import Deployed, Ranks
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.step_time import StepModel
from plimsoll.slo.capacity.whatif.concurrency import at_concurrency
from plimsoll.slo.capacity.whatif.evaluate import ScenarioResult, whatif
from plimsoll.slo.capacity.whatif.prefill_decode import sized_pair
from plimsoll.slo.capacity.whatif.request import WhatIfRequest
from plimsoll.slo.capacity.whatif.request_mix import Kind
from plimsoll.slo.capacity.whatif.scenario import Scenario, arithmetic, nodes_each
from plimsoll.slo.spec.objectives import load

MOE, DENSE = "Qwen/Qwen3-30B-A3B", "meta-llama/Llama-3.1-8B-Instruct"
TARGET = LatencyTarget(4.0, 0.08, 0.95)


def asked(model: str, rate: float = 100.0, gpu: str = "H200-141GB", **more: object) -> Scenario:
    pytest.importorskip("aiconfigurator_core")
    fields = {"model": model, "gpu": gpu, "request_rate": rate, "output_tokens": 50, "concurrency": 8, **more}
    return WhatIfRequest.model_validate(fields).scenario(TARGET, None, {}, packaged(), price=2.0)


def answered(scenario: Scenario) -> ScenarioResult:
    found = whatif(scenario)
    assert found is not None
    return found


def test_steps_and_memory_are_those_of_the_package_for_a_rank() -> None:
    sdk = pytest.importorskip("aiconfigurator_core.sdk")
    width = {"tp_size": 1, "attention_dp_size": 8, "moe_tp_size": 1, "moe_ep_size": 8, "kvcache_quant_mode": "bfloat16"}
    deployed = Deployed(MOE, "H200-141GB", 1, "vllm", None, 16, Ranks(8, True))
    handle = sdk.EngineHandle.compile(MOE, "h200_sxm", "vllm", backend_version="current", **width)
    took = operators.step(deployed, 500, 200)
    assert took(0, 64, 600) == pytest.approx(handle.mixed_step_latency(0, 64, 600, 2))
    assert took(0, 64, 600) > operators.step(replace(deployed, ranks=Ranks()), 500, 200)(0, 8, 600)
    shared, alone = (
        operators.room(replace(deployed, ranks=ranks), 0.9, 8192, 256) for ranks in (Ranks(8, True), Ranks())
    )
    assert shared.weights < alone.weights / 3, "each GPU has an eighth of the experts"
    assert shared.tokens > alone.tokens


@pytest.mark.slow
def test_ranks_without_experts_share_nothing_so_that_a_replica_carries_as_many_times_as_much() -> None:
    one, four = answered(asked(DENSE)), answered(asked(DENSE, data_parallel_size=4))
    assert four.memory.tokens == one.memory.tokens
    assert four.max_requests_per_second == pytest.approx([4 * rate for rate in one.max_requests_per_second])
    assert four.concurrent_requests == pytest.approx([4 * count for count in one.concurrent_requests])
    assert four.nodes == tuple(ceil(100.0 / rate) for rate in reversed(four.max_requests_per_second))
    assert four.usd_per_hour == pytest.approx([count * 4 * 2.0 for count in four.nodes])


@pytest.mark.slow
def test_a_replica_larger_than_a_node_takes_whole_nodes_and_loses_all_with_one() -> None:
    scenario = asked(DENSE, rate=1000.0, data_parallel_size=16)
    found = answered(scenario)
    replicas = [ceil(1000.0 / rate) for rate in reversed(found.max_requests_per_second)]
    assert found.nodes == tuple(2 * count for count in replicas)
    assert found.nodes_with_redundancy == tuple(2 * (count + 1) for count in replicas)
    assert found.usd_per_hour == pytest.approx([count * 16 * 2.0 for count in replicas])
    assert "16 ranks x 1 GPU = 16 GPUs a replica, on 2 nodes of 8 GPUs" in " ".join(arithmetic(scenario))
    apart = sized_pair(replace(scenario, kv_transfer_bytes_per_second=12.5e9))
    assert apart is not None
    for pair in (apart.fastest, apart.slowest):
        assert pair.prefill_nodes % 2 == pair.decode_nodes % 2 == 0
        assert pair.prefill_nodes / 2 * pair.max_requests_per_second_prefill >= 0.95 * 1000.0
        assert pair.decode_nodes / 2 * pair.max_requests_per_second_decode >= 0.95 * 1000.0


def test_requests_in_flight_are_spread_over_the_ranks() -> None:
    models, mix = (StepModel(0.1, 0.0, 0.0, 0.02, 0.0, 0.0),), (Kind(1000, 101),)
    rank = at_concurrency(models, Limits(), mix, 8)
    assert rank.of(32).output_tokens_per_second == pytest.approx([4 * rate for rate in rank.output_tokens_per_second])
    assert (rank.of(32).concurrent_requests, rank.of(32).tpot_seconds) == (32, rank.tpot_seconds)


def test_a_pool_of_groups_is_asked_for_its_own_ranks() -> None:
    """Nodes of a group are one of the pool's nodes, as its GPUs state."""
    pytest.importorskip("aiconfigurator_core")
    text = DEFAULT_OBJECTIVES.read_text().replace("meta-llama/Llama-3.3-70B-Instruct", MOE)
    pool = load(text.replace("gpu: H100-80GB, gpus: 2", "gpu: H200-141GB, gpus: 16")).pools[0]
    request = WhatIfRequest(data_parallel_size=16, expert_parallel=True)
    scenario = request.scenario(TARGET, pool, {}, packaged(), price=2.0)
    assert scenario.hardware is not None and scenario.hardware.gpus == 1
    assert "16 GPUs a replica, whole experts on each GPU, on 1 node of 16 GPUs" in " ".join(arithmetic(scenario))
    small = load(text.replace("gpu: H100-80GB, gpus: 2", "gpu: H200-141GB, gpus: 4")).pools[0]
    spread = WhatIfRequest(data_parallel_size=8, tensor_parallel_size=1).scenario(
        TARGET, small, {}, packaged(), price=2.0
    )
    assert nodes_each(spread) == 2
    whole = WhatIfRequest(tensor_parallel_size=8).scenario(TARGET, small, {}, packaged(), price=2.0)
    assert nodes_each(whole) == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--data-parallel-size", "2"), "step times of '70b-fp8-h100-tp4' are of one rank"),
        (("--model", DENSE, "--gpu", "H200-141GB", "--expert-parallel"), "has no experts"),
        (("--model", MOE, "--gpu", "MI300X-192GB", "--data-parallel-size", "2"), "need measured operators"),
        (("--data-parallel-size", "0"), "--data-parallel-size"),
    ],
)
def test_what_is_not_measured_over_ranks_is_refused_in_one_line(
    arguments: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("aiconfigurator_core")
    assert main(["whatif", *arguments]) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1


@pytest.mark.slow
def test_the_command_states_ranks_and_experts(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("aiconfigurator_core")
    ranks = ("--data-parallel-size", "8", "--expert-parallel", "--output-tokens", "20", "--concurrency", "8")
    assert main(["whatif", "--model", MOE, "--gpu", "H200-141GB", *ranks, "--slo", "4000/200/95", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["inputs"]["tensor_parallel_size"], found["inputs"]["data_parallel_size"]) == (1, 8)
    assert any("whole experts on each GPU, on 1 node" in step for step in found["calculation"])
