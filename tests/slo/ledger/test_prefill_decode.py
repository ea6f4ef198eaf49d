"""Prefill and decode in engines of their own: 100 requests of users are 100, and their first tokens are counted where users see them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.exporters.engines.roles import of_command
from plimsoll.slo import metrics as c
from plimsoll.slo.checks.live import Live, live_findings
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import load
from prefill_decode import (
    DECODE_ERRORS,
    EVERY,
    FAST,
    OUTPUT,
    PREFILL_ERRORS,
    PROMPT,
    SERVE_PREFILL,
    SERVED,
    STEPS,
    T0,
    exported,
)
from recorded import Recorded
from world import SPEC_TEXT

NOW = float(T0 + EVERY * STEPS)
SLOS = """  - {id: front-fast, pool: pool, indicator: {time_to_first_token: 600ms}, target: 95%, window: 28d, count_at: gateway}
  - {id: front-up, pool: pool, indicator: availability, target: 99%, window: 28d, count_at: gateway}
  - {id: up, pool: pool, indicator: availability, target: 99%, window: 28d}
  - {id: tpot, pool: pool, indicator: {time_per_output_token: 50ms}, target: 95%, window: 28d}
  - {id: e2e, pool: pool, indicator: {request_duration: 250ms}, target: 95%, window: 28d}
  - {id: goodput, pool: pool, indicator: {goodput: {ttft: 1s}}, target: 95%, window: 28d}
"""
SPEC = load(SPEC_TEXT + SLOS)


@pytest.fixture(scope="module")
def pair() -> list[Series]:
    return exported()


def served(series: list[Series], ledger: Ledger) -> Service:
    service = Service(SPEC, Recorded(series), ledger, lambda: NOW)
    service.ingest()
    return service


def test_a_hundred_requests_are_a_hundred(
    pair: list[Series], tmp_path: Path, open_ledger: Callable[[str], Ledger]
) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/l.db")
    client = TestClient(create_app(served(pair, ledger)))
    slos = {slo["id"]: slo for slo in client.get("/api/v1/slos").json()["slos"]}
    counted = {name: (slo["good"], slo["total"]) for name, slo in slos.items()}
    assert counted == {
        "front-fast": (FAST, SERVED),
        "front-up": (SERVED, 100),
        "up": (SERVED, 100),
        "tpot": (SERVED, SERVED),
        **dict.fromkeys(("fast", "e2e", "goodput"), (0, 0)),
    }
    covered = {name: ledger.slots(name, T0, NOW)[0].covered_seconds for name in ("front-fast", "up", "tpot")}
    assert covered == dict.fromkeys(covered, 300.0)
    (row,) = pool_rows(ledger.engine, "pool", T0, T0 + 300, 10)
    assert (row.finished, row.errors) == (100, DECODE_ERRORS + PREFILL_ERRORS)
    assert (row.input_tokens, row.output_tokens) == (PROMPT * (SERVED + DECODE_ERRORS), OUTPUT * SERVED)
    assert row.replicas == 2


def test_what_no_engine_sees_is_unknown_with_the_reason(
    pair: list[Series], tmp_path: Path, open_ledger: Callable[[str], Ledger]
) -> None:
    client = TestClient(create_app(served(pair, open_ledger(f"sqlite:///{tmp_path}/l.db"))))
    for slo in ("fast", "e2e", "goodput"):
        found = client.get(f"/api/v1/slos/{slo}").json()
        (problem,) = found["data_problems"]
        assert (found["budget_remaining"], problem["code"]) == (None, "not_counted_here")
        assert "none sees a user's whole request" in problem["message"]
        assert "count_at: gateway" in problem["fix"]
    errors = {one.path: one.code for one in live_findings(SPEC, Live(pair, NOW)) if one.level == "error"}
    assert errors == {f"objectives[{index}].count_at": "gateway-needed" for index in (0, 5, 6)}


def test_without_a_front_first_tokens_are_unknown_and_never_prefills(
    tmp_path: Path, open_ledger: Callable[[str], Ledger]
) -> None:
    service = served(exported(front=False), open_ledger(f"sqlite:///{tmp_path}/l.db"))
    slo = TestClient(create_app(service)).get("/api/v1/slos/front-fast").json()
    assert (slo["total"], slo["status"]) == (0, "unknown")
    assert slo["data_problems"][0]["message"].startswith("Unknown: No gateway reports the model m")


def test_each_role_has_its_own_numbers(pair: list[Series]) -> None:
    def last(metric: str, replica: str, **labels: str) -> list[float]:
        wanted = {"replica": replica, **labels}.items()
        return [item.samples[-1][1] for item in pair if item.name == metric and wanted <= item.labels.items()]

    assert (
        last(c.REPLICA_INFO.name, "prefill", role="prefill")
        == last(c.REPLICA_INFO.name, "decode", role="decode")
        == [1]
    )
    for replica in ("prefill", "decode"):
        assert last(c.TTFT.count, replica) == last(c.DURATION.count, replica) == []
        assert last(c.KV_TRANSFER_TIME.count, replica) == [SERVED + DECODE_ERRORS]
    assert last(c.TPOT.count, "prefill") == []
    assert last(c.PROGRESS_TOKENS.name, "prefill") == [(PROMPT + 1) * (SERVED + DECODE_ERRORS)]


@pytest.mark.parametrize(
    ("words", "role"),
    [
        (SERVE_PREFILL, "prefill"),
        (('--kv-transfer-config={"kv_role":"kv_consumer"}',), "decode"),
        (('--kv_transfer_config={"kv_role":"kv_both"}',), ""),
        (("--kv-transfer-config.kv_role", "kv_producer"), "prefill"),
        (("--kv-transfer-config", "{broken"), ""),
        (("--kv-transfer-config", "[1]"), ""),
        (("-m", "sglang.launch_server", "--disaggregation-mode", "decode"), "decode"),
        (("--disaggregation-mode=null",), ""),
        (("--disaggregation-mode",), ""),
        ((), ""),
    ],
)
def test_a_command_line_gives_the_role(words: tuple[str, ...], role: str) -> None:
    assert of_command(words) == role


def test_another_role_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"#'both' isn't a role\. Use #prefill, #decode, or none\."):
        EngineCollector("http://127.0.0.1:8000#both")
