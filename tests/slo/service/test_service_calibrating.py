"""The service's fit of each pool: made by its job, kept over restarts, quiet nights and dead sources, told by API and page."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from calibration_world import DAY, NIGHT, POOL, SPEC, Held, watched
from plimsoll.compose.inputs import DEFAULT_OBJECTIVES
from plimsoll.compose.serving import wanted
from plimsoll.slo.capacity.calibration.intervals import selectors
from plimsoll.slo.capacity.simulator.step_time import load as load_steps
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.jobs import calibrate_pools
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import Spec, load

MODEL, START, HOUR = load_steps("70b-fp8-h100-tp4"), 1.7e9, 3600.0
Opener = Callable[[str], Ledger]


@cache
def history(slowness: float = 1.0) -> list[Series]:
    """An hour of a day, and an hour of a night after it, in which every step takes so many times as long."""
    night = watched("a", MODEL.times(slowness), NIGHT, START + HOUR + 15)
    return [*watched("a", MODEL, DAY, START), *night]


@pytest.fixture
def ledger(tmp_path: Path, open_ledger: Opener) -> Ledger:
    return open_ledger(f"sqlite:///{tmp_path}/ledger.db")


class Clock:
    now = START - 1


def served(ledger: Ledger, source: Held, clock: Clock, spec: Spec = SPEC) -> tuple[Service, TestClient]:
    service = Service(spec, source, ledger, lambda: clock.now)
    return service, TestClient(create_app(service))


def asked(client: TestClient) -> dict[str, object]:
    answer = client.get(f"/api/v1/pools/{POOL.name}/calibration")
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def test_a_pool_is_fitted_and_a_quiet_night_a_restart_or_a_dead_source_loses_nothing(ledger: Ledger) -> None:
    source, clock = Held(history()), Clock()
    service, client = served(ledger, source, clock)
    assert asked(client)["reason"] == "no attempt yet: the service tries every ten minutes"
    calibrate_pools(service)
    assert (asked(client)["calibration"], asked(client)["reason"]) == (None, "no replica of the pool was seen")
    clock.now = START + HOUR
    calibrate_pools(service)
    day = asked(client)
    assert day["reason"] is None
    fit = day["calibration"]
    assert isinstance(fit, dict)
    times = fit["step_times"]
    assert times["base_seconds"] == pytest.approx(MODEL.decode_base, rel=0.02)
    assert (fit["gpu"], fit["gpus"], times["replicas"], times["simulated"]) == ("H100-80GB", 2, ["a"], True)
    assert times["from"] == "2023-11-14T22:13:50Z"
    assert str(day["summary"]).startswith("a step takes 10.3")

    clock.now = START + 2 * HOUR + 15
    calibrate_pools(service)
    night = asked(client)
    assert night["calibration"] == fit
    assert "of others nothing is known" in str(night["reason"])
    source.down = True
    calibrate_pools(service)
    assert asked(client)["reason"] == "source unavailable: held: down"
    assert not [one for one in service.not_ready_reasons() if "calibrate" in one]
    _, again = served(ledger, source, clock)
    assert asked(again)["calibration"] == fit


def test_a_fit_of_another_model_or_other_gpus_is_not_told(ledger: Ledger) -> None:
    clock = Clock()
    clock.now = START + HOUR
    service, _ = served(ledger, Held(history()), clock)
    calibrate_pools(service)
    moved = load(DEFAULT_OBJECTIVES.read_text().replace("gpu: H100-80GB", "gpu: H200-141GB"))
    _, client = served(ledger, Held(), clock, moved)
    assert asked(client)["calibration"] is None
    assert "another model, other GPUs" in str(asked(client)["reason"])


def test_the_page_says_it_in_a_line(ledger: Ledger) -> None:
    clock = Clock()
    clock.now = START + HOUR
    service, client = served(ledger, Held(history()), clock)
    assert "Not calibrated yet: " in client.get(f"/pools/{POOL.name}").text
    calibrate_pools(service)
    assert "Step-time model: " in client.get(f"/pools/{POOL.name}").text


def test_an_unknown_pool_is_refused(ledger: Ledger) -> None:
    _, client = served(ledger, Held(), Clock())
    assert client.get("/api/v1/pools/chat-8b/calibration").status_code == 404


def test_the_embedded_source_keeps_what_a_fit_reads() -> None:
    assert set(selectors(POOL)) <= set(wanted(SPEC))
