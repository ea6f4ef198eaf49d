"""SLOs that gateways count: every slot to the request, what was refused there included; and no number, with the reason, where none is read."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from engine_pages import collect, pages, server
from gateway_world import END, ENGINE, T0, Gateways
from live_world import NOW, found, replica
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.slo import metrics as c
from plimsoll.slo.calendar import SLOT
from plimsoll.slo.ledger.ingest import ingest
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import SpecError, load
from recorded import Recorded
from world import SPEC_TEXT

Opener = Callable[[str], Ledger]
AT = "window: 28d, count_at: gateway}"
UP = f"  - {{id: up, pool: pool, indicator: availability, target: 99%, {AT}\n"
TEXT = SPEC_TEXT.replace("window: 28d}", AT) + UP
SPEC = load(TEXT)


def test_every_slot_is_what_the_gateways_served_whether_or_not_engines_are_read(
    database: str, open_ledger: Opener, tmp_path: Path
) -> None:
    gateways = Gateways(("acme", "beta", "gamma")).run()
    alone = Recorded([item for item in gateways.source().recorded if item is not ENGINE])
    for source, ledger in (
        (gateways.source(), open_ledger(database)),
        (alone, open_ledger(f"sqlite:///{tmp_path}/a.db")),
    ):
        assert ingest(SPEC, source, ledger, float(END)) == []
        for objective in ("fast", "up"):
            truth: dict[int, list[int]] = {}
            for slots in gateways.truth[objective].values():
                for slot, (good, total) in slots.items():
                    mine = truth.setdefault(slot, [0, 0])
                    truth[slot] = [mine[0] + good, mine[1] + total]
            stored = {slot.slot: [slot.good, slot.total] for slot in ledger.slots(objective, T0, END) if slot.total}
            assert stored == truth
            assert {slot.covered_seconds for slot in ledger.slots(objective, T0, END)} == {SLOT}


def test_without_a_gateway_the_number_is_unknown_with_the_reason(tmp_path: Path, open_ledger: Opener) -> None:
    """The engine serves requests; they are not counted in the gateway's place."""
    finished = Series(
        c.FINISHED.name, {**ENGINE.labels, "rank": "0", "reason": "stop"}, [(at, at - T0) for at, _ in ENGINE.samples]
    )
    service = Service(SPEC, Recorded([ENGINE, finished]), open_ledger(f"sqlite:///{tmp_path}/l.db"), lambda: float(END))
    service.ingest()
    with TestClient(create_app(service)) as client:
        slo = client.get("/api/v1/slos/up").json()
        page = client.get("/slos/up").text
    assert (slo["count_at"], slo["total"], slo["budget_remaining"], slo["status"]) == ("gateway", 0, None, "unknown")
    (problem,) = slo["data_problems"]
    assert (problem["code"], problem["message"]) == (
        "not_counted_here",
        "Unknown: No gateway reports the model m: llm_gateway_requests_total is missing.",
    )
    assert "99% of requests succeed, counted at gateways" in page
    assert "No gateway reports the model m" in page


def gateway(name: str, **labels: str) -> Series:
    return Series(name, {"gateway": "edge", "model": "m", "tenant": "none", **labels}, [(NOW, 5.0)])


def test_a_check_names_what_the_gateways_lack() -> None:
    """The engines have every bound and no traffic counts for these SLOs."""
    requests = gateway(c.GATEWAY_REQUESTS.name)
    bucket, count = gateway(c.GATEWAY_TTFT.bucket, le="0.6"), gateway(c.GATEWAY_TTFT.count)
    far = gateway(c.GATEWAY_TTFT.bucket, le="0.5")
    cases: list[tuple[tuple[Series, ...], list[str]]] = [
        ((), ["llm_gateway_requests_total is missing", "llm_gateway_requests_total is missing"]),
        ((requests,), ["the gateways don't report llm_gateway_time_to_first_token_seconds"]),
        ((requests, far, count), ["the threshold isn't a bucket bound at the gateways"]),
        ((requests, bucket, count), []),
    ]
    for series, messages in cases:
        findings = [one for one in found(SPEC, replica(), series) if one.level == "error"]
        assert [one.code for one in findings] == ["gateway-not-counted"] * len(messages)
        for one, message in zip(findings, messages, strict=True):
            assert message in one.message


def test_an_endpoint_pickers_429_is_ours_and_its_400_is_the_clients(tmp_path: Path, open_ledger: Opener) -> None:
    """llm-d counts a request when it is scheduled; what its queue refused, or it couldn't read, is an error only."""
    served, refused, broken = 200, 30, 7
    texts = [
        f"""# TYPE llm_d_epp_request_total counter
llm_d_epp_request_total{{model_name="m",target_model_name="m"}} {served * step // 10}
# TYPE llm_d_epp_request_error_total counter
llm_d_epp_request_error_total{{model_name="m",error_code="ResourceExhausted"}} {refused * step // 10}
llm_d_epp_request_error_total{{model_name="m",error_code="BadRequest"}} {broken * step // 10}
"""
        for step in range(11)
    ]
    samples: dict[tuple[str, frozenset[tuple[str, str]]], list[tuple[float, float]]] = {}
    with server(pages(texts)[0]) as url:
        collector = EngineCollector(f"edge={url}")
        for step in range(11):
            for point in collect(collector):
                name, labels = point.metric.name + point.suffix, {**point.labels, "instance": "g:9800"}
                mine = samples.setdefault((name, frozenset(labels.items())), [])
                mine.append((float(T0 + 30 * step), point.value))
    series = [Series(name, dict(labels), mine) for (name, labels), mine in samples.items()]
    ledger = open_ledger(f"sqlite:///{tmp_path}/l.db")
    ingest(SPEC, Recorded(series), ledger, float(T0 + 300))
    (slot,) = [slot for slot in ledger.slots("up", T0, T0 + 300) if slot.total]
    assert (slot.good, slot.total) == (served, served + refused)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("count_at: door", "objectives[0].count_at: Invalid enum value 'door'. Use one of: engine, gateway."),
        (
            "count_at: gateway, indicator: {goodput: {ttft: 1s}}",
            "objectives[0].count_at: gateways don't evaluate goodput. Leave it out, or set it on a latency or availability SLO.",
        ),
    ],
)
def test_a_mistake_is_answered_with_the_path_and_the_fix(field: str, message: str) -> None:
    text = SPEC_TEXT.replace("window: 28d}", f"window: 28d, {field}}}")
    if "indicator" in field:
        text = text.replace("indicator: {time_to_first_token: 600ms}, ", "")
    with pytest.raises(SpecError) as error:
        load(text)
    assert str(error.value) == message


def test_where_it_counts_is_a_part_of_its_definition() -> None:
    before, after = load(SPEC_TEXT).objective("fast"), SPEC.objective("fast")
    assert before.spec_hash != after.spec_hash
    assert after.counts == f"{before.counts}, at gateways"
