"""Prices on record and those of a user's own file: what goes before what, and one line for what is wrong with them."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from plimsoll.compose.cli import main
from plimsoll.compose.inputs import DEFAULT_OBJECTIVES
from plimsoll.slo.capacity.model import memory
from plimsoll.slo.capacity.model.prices import overridden, packaged
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.whatif.request import WhatIfRequest
from plimsoll.slo.capacity.whatif.scenario import arithmetic
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.objectives import load
from spec_texts import OWNED
from world import World

OWN = """
apis:
  sonnet: {usd_per_million_input_tokens: 2.0, usd_per_million_output_tokens: 10.0, source: our contract, date: 2026-10-01}
  house: {usd_per_million_input_tokens: 0.1, usd_per_million_output_tokens: 0.4, source: our contract, date: 2026-10-01}
gpus:
  H100-80GB: {usd_per_hour: [1.9, 2.1], source: our lease, date: 2026-10-01}
"""
PROMISE = LatencyTarget(0.6, 0.04, 0.95)


def test_every_price_of_a_gpu_has_source_and_date_and_the_documents_apis_have_both() -> None:
    ours = packaged()
    assert set(ours.gpus) < set(memory.gpus()), "the rest is unknown, not guessed"
    assert all(one.source and one.date for one in ours.gpus.values())
    assert all(one.source and one.date for one in ours.apis.values())
    haiku, sonnet = ours.api("bedrock-haiku"), ours.api("sonnet")
    assert (haiku.usd_per_million_input_tokens, haiku.usd_per_million_output_tokens) == (0.25, 1.25), "document D"
    assert (sonnet.usd_per_million_input_tokens, sonnet.usd_per_million_output_tokens) == (3.0, 15.0), "document E"
    assert haiku.usd_per_million(0.75) == pytest.approx(0.50)


def test_a_users_file_goes_before_ours_entry_by_entry() -> None:
    own = overridden(OWN)
    assert (own.api("sonnet").usd_per_million_input_tokens, own.api("sonnet").date) == (2.0, date(2026, 10, 1))
    assert own.api("bedrock-haiku") == packaged().api("bedrock-haiku")
    assert own.api("house").usd(3_000_000, 1_000_000) == pytest.approx(0.7)
    assert own.gpus["H100-80GB"].usd_per_hour == (1.9, 2.1)
    assert own.gpus["L40S-48GB"] == packaged().gpus["L40S-48GB"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("apis: [", ":1:8: not YAML: "),
        ("[]", "top level: Expected `object`"),
        ("gpu: {}", "top level: Object contains unknown field `gpu`"),
        (OWN.replace("house:", '"":'), "apis: Expected `str` of length >= 1"),
        (OWN.replace("2.0", "0"), "apis.sonnet.usd_per_million_input_tokens: Expected `float` > 0"),
        (OWN.replace("2.0", ".nan"), ":3:42: '.nan' isn't a finite number"),
        (OWN.replace("2.0", ".inf"), ":3:42: '.inf' isn't a finite number"),
        (OWN.replace(", date: 2026-10-01", "", 1), "apis.sonnet: Object missing required field `date`"),
        (OWN.replace("2026-10-01", "soon", 1), "apis.sonnet.date: Invalid RFC3339"),
        (
            OWN.replace("[1.9, 2.1]", "[2.1, 1.9]"),
            "gpus.H100-80GB: usd_per_hour: 2.1 to 1.9; write the lower price first",
        ),
        (OWN.replace("H100-80GB", "H100"), "gpus.H100: is not a known GPU; known are H100-80GB, H200-141GB"),
    ],
)
def test_what_is_wrong_is_one_line_with_path_and_fix(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    for command in (["whatif"], ["serve", "--source", "scrape:http://127.0.0.1:1"]):
        assert main([*command, "--price-file", str(file)]) == 2
        told = capsys.readouterr().err
        assert f"--price-file {file}{':' if says[0] == ':' else ': '}{says.lstrip(':')}" in told
        assert told.count("\n") == 1


def test_a_file_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["whatif", "--price-file", "/no/such"]) == 2
    assert "--price-file /no/such: can't be read: No such file or directory" in capsys.readouterr().err


def test_a_scenario_takes_a_price_that_was_given_then_the_pools_then_the_users_then_ours() -> None:
    pytest.importorskip("aiconfigurator_core")
    own, pool = overridden(OWN), load(DEFAULT_OBJECTIVES.read_text()).pools[0]
    assert WhatIfRequest().scenario(PROMISE, pool, {}, own, 7.0).usd_per_gpu_hour == (7.0, 7.0)
    assert WhatIfRequest().scenario(PROMISE, pool, {}, own).usd_per_gpu_hour == (2.0, 2.0)
    assert WhatIfRequest().scenario(PROMISE, None, {}, own).usd_per_gpu_hour == (1.9, 2.1)
    assert WhatIfRequest(gpu="L40S-48GB").scenario(PROMISE, pool, {}, own).usd_per_gpu_hour == (1.0, 1.0)


def test_a_bought_nodes_price_is_the_scenarios_and_its_components_are_shown() -> None:
    pytest.importorskip("aiconfigurator_core")
    """Document G's two H200, 114,443 USD a year: the node of the packaged pool has two GPUs."""
    pool = load(DEFAULT_OBJECTIVES.read_text().replace("hourly_usd: 4.00", OWNED)).pools[0]
    scenario = WhatIfRequest().scenario(PROMISE, pool, {}, packaged())
    assert scenario.usd_per_gpu_hour == pytest.approx((114_443 / 8760 / 2,) * 2, rel=1e-5)
    shown = "price of a node: hardware 50,000 + power 2,943 + colocation 11,500 + people 50,000 = 114,443 USD/year, 13.06 USD/h"
    assert arithmetic(scenario)[-1] == shown
    for other in (
        WhatIfRequest().scenario(PROMISE, pool, {}, packaged(), 7.0),
        WhatIfRequest(gpu="L40S-48GB").scenario(PROMISE, pool, {}, packaged()),
    ):
        assert shown not in arithmetic(other), "another price than that"


def test_an_apis_price_is_that_of_the_mix_of_prompt_and_output() -> None:
    """Document D: three of four tokens prompt blend to half a dollar."""
    scenario = WhatIfRequest(input_tokens=300, output_tokens=100, compare_api="bedrock-haiku").scenario(
        PROMISE, None, {}, packaged()
    )
    assert scenario.api_usd_per_million_tokens == pytest.approx(0.5)
    assert (
        WhatIfRequest(api_usd_per_million_tokens=0.8).scenario(PROMISE, None, {}, packaged()).api_usd_per_million_tokens
        == 0.8
    )
    with pytest.raises(ValueError, match=r"compare_api 'opus': unknown API\. Use one of: bedrock-haiku, sonnet"):
        WhatIfRequest(compare_api="opus").scenario(PROMISE, None, {}, packaged())
    with pytest.raises(ValueError, match="Give only one of them"):
        WhatIfRequest(compare_api="sonnet", api_usd_per_million_tokens=1.0).scenario(PROMISE, None, {}, packaged())


def test_the_service_answers_by_the_users_prices(open_ledger: Callable[[str], Ledger], tmp_path: Path) -> None:
    pytest.importorskip("aiconfigurator_core")
    spec, ledger = load(DEFAULT_OBJECTIVES.read_text()), open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    service = Service(spec, World({}, {}), ledger, clock=lambda: 1.7e9)
    service.records.prices = overridden(OWN)
    client = TestClient(create_app(service))
    assert client.get("/api/v1/pools/chat-70b/cost").json()["api_comparison"].keys() == {
        "bedrock-haiku",
        "sonnet",
        "house",
    }
    assert '<option value="house">house</option>' in client.get("/pools/chat-70b/whatif?request_rate=0").text
    rejected = client.get("/api/v1/pools/chat-70b/whatif?compare_api=opus")
    assert (rejected.status_code, "Use one of: bedrock-haiku, sonnet, house" in rejected.text) == (422, True)
