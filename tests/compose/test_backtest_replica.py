"""The replica of a backtest: a pool's own as measured, as planned for its model and GPUs, or one on record; always named."""

import json
from pathlib import Path

import pytest

from fits import FIT, measured
from plimsoll.compose.cli import main
from plimsoll.compose.inputs import DEFAULT_OBJECTIVES
from plimsoll.slo.capacity.simulator.replay import percentile, replay
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.traces import load
from plimsoll.slo.spec.objectives import load as read_spec

POOL = read_spec(DEFAULT_OBJECTIVES.read_text()).pools[0]


@pytest.fixture
def trace(tmp_path: Path) -> str:
    lines = [
        json.dumps(
            {
                "timestamp": 400 * number,
                "input_length": 100 + 37 * number % 1400,
                "output_length": 10 + 53 * number % 290,
            }
        )
        for number in range(300)
    ]
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join(lines))
    return str(path)


def asked(trace: str, *more: str) -> list[str]:
    return ["backtest", "--trace", trace, "--policy", "fixed:1", *more]


def test_a_calibration_is_what_is_simulated_and_named(
    trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = measured(DEFAULT_OBJECTIVES.read_text(), tmp_path / "calibration.json")
    arguments = asked(trace, "--pool", POOL.name, *own)
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    plain = replay(load(Path(trace)), 1, FIT.model, Limits(FIT.kv_cache_capacity_tokens // 16))
    assert found["tpot_ms"]["p95"] == pytest.approx(1000 * (percentile(plain.tpot, 0.95) or 0), abs=0.001)
    name = "chat-70b's own replica, as measured: meta-llama/Llama-3.3-70B-Instruct on 2 x H100-80GB"
    assert found["replica"] == name
    assert main(arguments) == 0
    assert f"Replica: {name}." in capsys.readouterr().out


def test_a_pool_is_simulated_as_planned_for_its_own_model_and_gpus(
    trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("aiconfigurator_core")
    assert main([*asked(trace, "--pool", POOL.name), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["replica"].startswith(
        "meta-llama/Llama-3.3-70B-Instruct on 2 x H100-80GB with 16-bit weights, as planned"
    )


@pytest.mark.parametrize(
    ("model", "more", "line"),
    [
        ("m/x", (), "--pool: model 'm/x': its shape is not known"),
        (
            "meta-llama/Llama-3.1-8B-Instruct",
            ("--replica", "70b-fp8-h100-tp4"),
            "--replica: replica '70b-fp8-h100-tp4': is not of",
        ),
        ("BAAI/bge-m3", (), "generates no tokens"),
    ],
)
def test_another_model_than_the_pools_is_refused(
    trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str, more: tuple[str, ...], line: str
) -> None:
    pytest.importorskip("aiconfigurator_core")
    objectives = tmp_path / "objectives.yaml"
    objectives.write_text(DEFAULT_OBJECTIVES.read_text().replace(POOL.model, model))
    assert main(asked(trace, "--pool", POOL.name, "--objectives", str(objectives), *more)) == 2
    assert line in capsys.readouterr().err
