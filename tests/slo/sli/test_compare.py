"""Two versions side by side, against requests whose version and latency are known."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from scipy.stats import hypergeom

from plimsoll.slo import metrics as c
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.api.compare import BadRatioDifference, _tested
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.label_split import Side, bracket
from plimsoll.slo.sli.significance import difference
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import load
from recorded import Recorded
from versions_world import END, T0, UPGRADE, counted, engine, requests
from world import SPEC_TEXT

SPEC = load(
    SPEC_TEXT
    + """
  - {id: up, pool: pool, indicator: availability, target: 99%, window: 28d}
  - {id: whole, pool: pool, indicator: {goodput: {ttft: 600ms}}, target: 95%, window: 28d}
"""
)
A, B = requests(1, 0.02), requests(2, 0.05)


@pytest.fixture(scope="module")
def recorded() -> list[Series]:
    """One replica of each version, and a third that is upgraded in place: its requests until then are as good as a's."""
    before, after = engine("c", "1", A, T0 - 9e4, UPGRADE - 20), engine("c", "2", B, UPGRADE, 9e12)
    joined = [
        Series(name, labels, [*samples, *after[i].samples])
        for i, (name, labels, samples) in enumerate(before)
        if i != 1
    ]
    return [*engine("a", "1", A, T0 - 9e4, 9e12), *engine("b", "2", B, T0 - 9e4, 9e12), *joined, before[1], after[1]]


@pytest.fixture
def client(recorded: list[Series], tmp_path: Path) -> Iterator[TestClient]:
    ledger = Ledger(open_database(f"sqlite:///{tmp_path}/ledger.db"))
    yield TestClient(create_app(Service(SPEC, Recorded(recorded), ledger, clock=lambda: END)))
    ledger.engine.dispose()


SPAN = {"from": "2023-11-14T22:15:00Z", "to": "2023-11-15T00:15:00Z"}
ASKED = {"label": "version", "baseline": "1", "candidate": "2", **SPAN}


def test_each_version_has_its_own_requests_to_the_request_also_on_a_replica_that_is_upgraded(
    client: TestClient,
) -> None:
    found = client.get("/api/v1/slos/fast/compare", params=ASKED).json()
    for side, served, first, life in (
        ("baseline", A, (T0 - 9e4, 9e12), (T0 - 9e4, UPGRADE - 20)),
        ("candidate", B, (T0 - 9e4, 9e12), (UPGRADE, 9e12)),
    ):
        whole, part = counted(served, *first), counted(served, *life)
        assert (found[side]["good"], found[side]["total"]) == (whole[0] + part[0], whole[1] + part[1])
        assert found[side]["bad"] == found[side]["total"] - found[side]["good"]
        assert found[side]["burn_rate"] == pytest.approx(found[side]["bad"] / found[side]["total"] / 0.05)
        assert found[side]["replicas"] == 2
    assert found["difference"]["significant"] is True
    assert found["summary"].startswith("2 is worse than 1.")
    low, high = found["difference"]["ci_lower"], found["difference"]["ci_upper"]
    assert 0 < low < found["difference"]["bad_ratio_difference"] < high


def sides(a: tuple[int, int, int], b: tuple[int, int, int]) -> tuple[BadRatioDifference | None, str]:
    """Compare (good, indeterminate, total) of two sides."""
    return _tested(
        *(Side(name, good, total, indeterminate) for name, (good, indeterminate, total) in (("a", a), ("b", b)))
    )


def test_a_difference_that_two_bucket_bounds_could_have_made_is_not_told() -> None:
    """The same requests, of which a's engine has the bound at 600 ms and b's has 500 and 750 ms."""
    told, verdict = sides((960, 0, 1000), (900, 80, 1000))
    assert told is None
    assert verdict.startswith("Inconclusive: 0 requests of a and 80 of b are indeterminate")
    told, verdict = sides((990, 0, 1000), (800, 100, 1000))
    assert told is not None
    assert told.significant and told.bad_ratio_difference == pytest.approx(0.1 - 0.01)
    assert verdict.startswith("b is worse than a. 10.00%–20.00% of requests were bad with b, 1.00% ")


def test_sides_with_other_bounds_are_compared_at_one_limit(tmp_path: Path, recorded: list[Series]) -> None:
    """Of two replicas with the same requests one lacks the bound at the limit: conservative counting would make it worse."""
    chosen = load(SPEC_TEXT.replace("window: 28d", "window: 28d, bucket_mismatch: lower_bound"))
    lacking = [s for s in recorded if s.labels["replica"] == "a"]
    lacking += [
        s._replace(labels=s.labels | {"replica": "twin", "instance": "twin:9800", "zone": "zone-twin"})
        for s in lacking
        if s.labels.get("le") != "0.6"
    ]
    ledger = Ledger(open_database(f"sqlite:///{tmp_path}/ledger.db"))
    app = create_app(Service(chosen, Recorded(lacking), ledger, clock=lambda: END))
    asked = {**ASKED, "label": "zone", "baseline": "zone-a", "candidate": "zone-twin"}
    found = TestClient(app).get("/api/v1/slos/fast/compare", params=asked).json()
    ledger.engine.dispose()
    assert found["baseline"]["indeterminate"] == 0
    assert found["candidate"]["indeterminate"] > 0
    assert (
        found["candidate"]["good"]
        <= found["baseline"]["good"]
        <= found["candidate"]["good"] + found["candidate"]["indeterminate"]
    )
    assert found["difference"] is None


def test_a_percentile_is_told_as_the_bounds_between_which_it_lies(client: TestClient) -> None:
    found = client.get(
        "/api/v1/slos/fast/compare", params={**ASKED, "label": "zone", "baseline": "zone-a", "candidate": "zone-b"}
    ).json()
    for side, served in (("baseline", A), ("candidate", B)):
        ordered = sorted(ttft for at, ttft in served if at <= END)
        assert [one["quantile"] for one in found[side]["percentiles"]] == [0.5, 0.9, 0.95, 0.99]
        for one in found[side]["percentiles"]:
            truth = ordered[-(-round(one["quantile"] * len(ordered) * 100) // 100) - 1]
            assert one["lower"] < truth <= one["upper"]
            assert one["latency"] == "time_to_first_token"


def test_the_bracket_of_a_quantile_on_both_sides_of_a_bound() -> None:
    buckets = {0.1: 50, 0.25: 95, float("inf"): 100}
    assert bracket(buckets, 0.5) == (0.0, 0.1)
    assert bracket(buckets, 0.51) == (0.1, 0.25)
    assert bracket(buckets, 0.95) == (0.1, 0.25)
    assert bracket(buckets, 0.96) == (0.25, float("inf"))
    assert bracket({}, 0.5) is None
    assert bracket({0.1: 0, float("inf"): 0}, 0.5) is None


def test_adapters_and_deployments_part_the_requests_themselves(recorded: list[Series], tmp_path: Path) -> None:
    start = next(item for item in recorded if item.name == c.REPLICA_START.name)
    times = [at for at, _ in start.samples if at >= T0 - 60]
    more = [
        Series(
            c.ADAPTER_REQUESTS.name,
            {
                **start.labels,
                "rank": "0",
                "adapter": adapter,
                "deployment": "",
                "objective": "fast",
                "outcome": outcome,
            },
            [(at, 7.0 + (at - T0) / 15 * step) for at in times],
        )
        for adapter, outcome, step in (("law", "good", 9), ("law", "bad", 1), ("none", "good", 10), ("none", "bad", 0))
    ]
    ledger = Ledger(open_database(f"sqlite:///{tmp_path}/ledger.db"))
    client = TestClient(create_app(Service(SPEC, Recorded([*recorded, *more]), ledger, clock=lambda: END)))
    found = client.get(
        "/api/v1/slos/fast/compare", params={**ASKED, "label": "adapter", "baseline": "none", "candidate": "law"}
    ).json()
    assert (found["baseline"]["good"], found["baseline"]["total"]) == (4800, 4800)
    assert (found["candidate"]["good"], found["candidate"]["total"], found["candidate"]["replicas"]) == (
        4320,
        4800,
        None,
    )
    ledger.engine.dispose()


def gateway(tenant: str, per_scrape: dict[str, int], born: float, reset: float) -> list[Series]:
    """A tenant's counters at a gateway that starts again once; nothing of it is there before its first request."""
    labels = {"gateway": "edge", "model": "m", "tenant": tenant, "instance": "gw:9801"}
    times = [T0 - 60 + 15 * i for i in range(int(END - T0 + 60) // 15 + 1)]

    def grown(step: int) -> list[tuple[float, float]]:
        since = {at: reset if at >= reset else born for at in times if at >= born}
        return [(at, float(step * ((at - begin) // 15 + 1))) for at, begin in since.items()]

    found = [Series(c.GATEWAY_REQUESTS.name, labels, grown(sum(per_scrape.values())))]
    for reason in sorted({"4xx", "5xx", "client_closed", "stream_interrupted", *per_scrape} - {"good"}):
        found.append(Series(c.GATEWAY_FAILURES.name, {**labels, "reason": reason}, grown(per_scrape.get(reason, 0))))
    counts = {0.5: 6, 0.6: 8, float("inf"): 10}
    for bound, step in counts.items():
        found.append(Series(c.GATEWAY_TTFT.bucket, {**labels, "le": c.bucket_bound(bound)}, grown(step)))
    return [*found, Series(c.GATEWAY_TTFT.count, labels, grown(10))]


@pytest.mark.parametrize(
    "failures", [("5xx", "client_closed"), ("500", "429"), ("stream_interrupted", "4xx"), ("", "400")]
)
def test_tenants_are_told_apart_as_the_gateway_saw_them(tmp_path: Path, failures: tuple[str, str]) -> None:
    ours, clients = (
        failures  # Plimsoll's gateway says classes, LiteLLM the very status, or nothing where there was none
    )
    one = gateway("acme", {"good": 8, ours: 1, clients: 1}, T0 - 60, T0 + 3600)
    late = gateway("zeta", {"good": 10}, T0 + 1200, T0 + 3600)
    ledger = Ledger(open_database(f"sqlite:///{tmp_path}/ledger.db"))
    client = TestClient(create_app(Service(SPEC, Recorded([*one, *late]), ledger, clock=lambda: END)))
    asked = {**ASKED, "label": "tenant", "baseline": "acme", "candidate": "zeta"}
    up = client.get("/api/v1/slos/up/compare", params=asked).json()
    scrapes, later = 7200 // 15, 6000 // 15 + 1  # zeta's first scrape has a first request in it
    assert (up["baseline"]["good"], up["baseline"]["total"]) == (8 * scrapes, 9 * scrapes)
    assert (up["candidate"]["good"], up["candidate"]["total"], up["candidate"]["replicas"]) == (
        10 * later,
        10 * later,
        None,
    )
    fast = client.get("/api/v1/slos/fast/compare", params=asked).json()
    assert (fast["baseline"]["good"], fast["baseline"]["total"]) == (8 * scrapes, 10 * scrapes)
    assert [(p["lower"], p["upper"]) for p in fast["baseline"]["percentiles"]] == [
        (0.0, 0.5),
        (0.6, None),
        (0.6, None),
        (0.6, None),
    ]
    ledger.engine.dispose()


@pytest.mark.parametrize(
    ("asked", "code", "named"),
    [
        ({"candidate": "3"}, "unknown_label_value", "Values with data: 1, 2."),
        ({"label": "nope"}, "unknown_label_value", "Values with data: none."),
        ({"label": 'version"} or up{'}, "invalid_request", "query.label"),
        ({"from": "2023-11-01T00:00:00Z"}, "invalid_time_range", "from"),
        ({"from": "2023-11-15T00:15:00Z"}, "invalid_time_range", "from"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_what_is_there(
    client: TestClient, asked: dict[str, str], code: str, named: str
) -> None:
    answer = client.get("/api/v1/slos/fast/compare", params={**ASKED, **asked})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["code"] == code
    assert named in answer.json()["detail"]


def test_availability_is_not_parted_by_adapter_and_a_dead_source_is_said(client: TestClient) -> None:
    rejected = client.get("/api/v1/slos/up/compare", params={**ASKED, "label": "adapter"})
    assert (rejected.status_code, rejected.json()["code"]) == (422, "invalid_label")
    goodput = client.get("/api/v1/slos/whole/compare", params={**ASKED, "label": "tenant"})
    assert (goodput.status_code, goodput.json()["code"]) == (422, "invalid_label")
    service = Service(SPEC, Recorded([], down=True), Ledger(open_database("sqlite://")), clock=lambda: END)
    answer = TestClient(create_app(service)).get("/api/v1/slos/fast/compare", params=ASKED)
    assert (answer.status_code, answer.json()["code"]) == (503, "source_unavailable")
    assert "recorded: down" in answer.json()["detail"]
    service.ledger.engine.dispose()


def test_the_test_is_fishers_and_the_interval_newcombes() -> None:
    found = difference(1, 100, 7, 100)
    assert found is not None
    # By hand: every table with the same margins that is no more likely than this one.
    tables = hypergeom(200, 8, 100)
    seen = tables.pmf(7)
    by_hand = sum(tables.pmf(k) for k in range(9) if tables.pmf(k) <= seen * (1 + 1e-7))
    assert found.p_value == pytest.approx(by_hand)
    assert not found.significant
    # Newcombe 1998, table II, method 10: 56/70 against 48/80 is 0.0524 to 0.3339.
    paper = difference(80 - 48 + 16, 80, 70 - 14, 70)
    assert paper is not None
    assert paper.difference == pytest.approx(0.2)
    assert [paper.low, paper.high] == pytest.approx([0.0524, 0.3339], abs=1e-4)
    assert difference(0, 0, 1, 2) is None
    better = difference(500, 1000, 400, 1000)
    assert better is not None
    assert replace(better).significant
    assert better.high < 0
