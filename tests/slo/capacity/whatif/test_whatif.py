"""What-if: the answer holds in the simulation on both sides of its bound, moves the right way, and is printed or rejected."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from plimsoll.compose.cli import main
from plimsoll.compose.inputs import DEFAULT_OBJECTIVES
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.replay import replay
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.whatif.drawn_traffic import arrivals
from plimsoll.slo.capacity.whatif.evaluate import DRAWS, ScenarioResult, whatif
from plimsoll.slo.capacity.whatif.request_mix import Kind
from plimsoll.slo.capacity.whatif.scenario import Scenario
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.objectives import load
from process import PLIMSOLL
from world import World

pytestmark = pytest.mark.slow

QUESTION = Scenario("70b-fp8-h100-tp4", (Kind(500, 200),), LatencyTarget(0.6, 0.04, 0.95), 40.0)


ask = cache(whatif)  # a second or two each; several tests ask the same


def answer(**changes: object) -> ScenarioResult:
    found = ask(replace(QUESTION, **changes))  # type: ignore[arg-type]
    assert found is not None
    return found


def test_what_a_replica_carries_keeps_the_promise_and_a_little_more_breaks_it() -> None:
    found = answer()
    limits = Limits(found.memory.tokens // 16)

    def goods(rate: float) -> list[float]:
        model = step_time.load(QUESTION.replica)
        runs = (replay(list(arrivals(QUESTION, limits, rate, seed)), 1, model, limits) for seed in range(DRAWS))
        return [run.goodput(QUESTION.target.ttft, QUESTION.target.tpot) for run in runs]

    assert min(goods(found.max_requests_per_second[0])) >= 0.95
    assert max(goods(found.max_requests_per_second[1] * 1.04)) < 0.95


def test_nodes_carry_the_rate_and_one_fewer_would_not() -> None:
    found = answer()
    low, high = found.max_requests_per_second
    assert found.nodes == (3, 3)
    assert low * 3 >= QUESTION.rate > high * 2
    assert found.nodes_with_redundancy == (4, 4)
    assert answer(rate=80.0).nodes[0] > found.nodes[0]


def test_cost_is_that_of_the_nodes_by_the_tokens_of_the_rate() -> None:
    found = answer(usd_per_gpu_hour=(2.0, 2.0))
    millions_an_hour = 40.0 * 700 * 3600 / 1e6
    assert found.usd_per_million_tokens == pytest.approx((3 * 4 * 2.0 / millions_an_hour,) * 2)


def test_an_api_is_dearer_from_the_month_on_whose_tokens_pay_for_the_nodes() -> None:
    """R39: three nodes of four GPUs at 2 USD, around the clock, against 0.80 USD for a million tokens."""
    found = answer(usd_per_gpu_hour=(2.0, 2.0), api_usd_per_million_tokens=0.8)
    assert found.break_even_tokens_per_month == pytest.approx((3 * 4 * 2.0 * 730 / 0.8 * 1e6,) * 2)
    assert answer().break_even_tokens_per_month is None


def test_a_better_gpu_carries_more_and_longer_requests_less() -> None:
    assert answer(replica="70b-fp8-h200-tp4").max_requests_per_second[0] > answer().max_requests_per_second[1]
    assert answer(mix=(Kind(2000, 200),)).max_requests_per_second[1] < answer().max_requests_per_second[0]
    assert (
        answer(target=LatencyTarget(0.3, 0.03, 0.95)).max_requests_per_second[1] < answer().max_requests_per_second[0]
    )
    assert answer(max_num_seqs=16).max_requests_per_second[1] < answer().max_requests_per_second[0]


def test_a_kv_cache_of_half_the_bytes_holds_twice_the_requests() -> None:
    assert answer(kv_value_bytes=1).memory.tokens == pytest.approx(2 * answer().memory.tokens, abs=1)


def test_a_promise_that_no_request_keeps_and_one_that_does_not_fit_have_no_answer() -> None:
    assert whatif(replace(QUESTION, target=LatencyTarget(0.001, 0.04, 0.95))) is None
    assert whatif(replace(QUESTION, mix=(Kind(10_000_000, 200),))) is None


def test_the_memory_is_that_of_the_replica_that_the_backtests_use() -> None:
    """They take 40,900 blocks of 16 tokens for 70B in FP8 on four H100, with a BF16 KV cache."""
    assert answer().memory.tokens / 16 == pytest.approx(Limits().num_blocks, rel=0.005)


def test_the_command_prints_the_steps_the_band_and_that_it_is_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run(
        [*PLIMSOLL, "whatif", "--request-rate", "40"], capture_output=True, text=True, timeout=100, check=True
    )
    assert "a token: 2 (K and V) x 80 layers x 8 KV heads x 128 numbers x 2 bytes = 327,680 bytes" in done.stdout
    assert "40 requests/s need   3 nodes; 4 with N+1 redundancy" in done.stdout
    assert "Simulated" in done.stdout
    done = subprocess.run([*PLIMSOLL, "whatif", "--json"], capture_output=True, text=True, timeout=100, check=True)
    found = json.loads(done.stdout)
    assert found["simulated"] is True
    assert found["result"]["max_requests_per_second"][0] > 0
    assert (
        main(["whatif", "--request-rate", "40", "--gpu-usd-per-hour", "2", "--api-usd-per-million-tokens", "0.8"]) == 0
    )
    assert "an API costs more from 21,900 million tokens per month" in capsys.readouterr().out


def test_the_command_asks_by_what_a_pool_promises_and_pays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], client: TestClient
) -> None:
    assert main(["whatif", "--pool", "chat-70b", "--request-rate", "40", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    api = client.get("/api/v1/pools/chat-70b/whatif", params={"request_rate": 40}).json()
    assert found == api
    own = tmp_path / "objectives.yaml"
    text = DEFAULT_OBJECTIVES.read_text().replace("time_to_first_token: 600ms", "time_to_first_token: 1ms")
    own.write_text(text)
    assert main(["whatif", "--pool", "chat-70b", "--objectives", str(own)]) == 0
    assert "can't meet 1/40/95" in capsys.readouterr().out
    assert main(["whatif", "--pool", "chat-8b"]) == 2
    assert "--pool: unknown pool 'chat-8b'. Use one of: chat-70b." in capsys.readouterr().err


def test_an_impossible_promise_is_said_and_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["whatif", "--slo", "1/40/95"]) == 0
    assert "can't meet 1/40/95" in capsys.readouterr().out
    for arguments, says in (
        (["--request-rate", "0"], "--request-rate: expected a number above 0, got 0."),
        (["--input-tokens", "-5"], "--input-tokens: expected a number above 0, got -5."),
        (["--slo", "fast"], "write TTFT/TPOT/PERCENT"),
    ):
        assert main(["whatif", *arguments]) == 2
        assert says in capsys.readouterr().err


@pytest.fixture
def client(tmp_path: Path, open_ledger: Callable[[str], Ledger]) -> TestClient:
    objectives, ledger = load(DEFAULT_OBJECTIVES.read_text()), open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    return TestClient(create_app(Service(objectives, World({}, {}), ledger, clock=lambda: 1.7e9)))


def test_the_api_answers_by_the_pools_own_objectives_and_price(client: TestClient) -> None:
    found = client.get("/api/v1/pools/chat-70b/whatif", params={"request_rate": 40, "replica": QUESTION.replica}).json()
    assert found["latency_target"] == {"ttft_seconds": 0.6, "tpot_seconds": 0.04, "target": 0.95}
    assert found["simulated"] is True
    assert found["result"]["max_requests_per_second"] == list(answer().max_requests_per_second)
    assert found["result"]["usd_per_million_tokens"] == pytest.approx([3 * 4 * 2.0 / (40 * 700 * 3600 / 1e6)] * 2)
    h200: dict[str, str | int] = {"request_rate": 40, "replica": "70b-fp8-h200-tp4", "kv_cache_bits": 8}
    other = client.get("/api/v1/pools/chat-70b/whatif", params=h200).json()
    assert other["result"]["usd_per_million_tokens"][0] == pytest.approx(2 * 4 * 3.5 / (40 * 700 * 3600 / 1e6))


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("chat-8b/whatif", 404, "Unknown pool 'chat-8b'"),
        ("chat-70b/whatif?replica=gpt-2", 422, "no step model for replica 'gpt-2'"),
        ("chat-70b/whatif?request_rate=0", 422, "request_rate"),
        ("chat-70b/whatif?request_rate=nan", 422, "request_rate"),
    ],
)
def test_the_api_refuses_what_it_cannot_answer(client: TestClient, path: str, status: int, says: str) -> None:
    rejected = client.get(f"/api/v1/pools/{path}")
    assert rejected.status_code == status
    assert says in rejected.text
