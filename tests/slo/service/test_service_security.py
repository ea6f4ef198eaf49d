"""Who may ask the service for what, how often, and what an attack gets: a clear refusal and nothing else."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.access import Access
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.service.tokens import bearer, find, new_token, read_tokens, token
from service_world import INCIDENT, NOW, T0, world
from world import spec

Opener = Callable[[str], Ledger]
ENDLESS = {"reads": "100000/second", "writes": "100000/second"}


@pytest.fixture
def service(database: str, open_ledger: Opener) -> Service:
    service = Service(spec(), world(), open_ledger(database), clock=lambda: NOW)
    service.ingest()
    return service


def caller(service: Service, scope: str, **limits: str) -> TestClient:
    made, kept = new_token("caller", "write" if scope == "write" else "read")
    app = create_app(service, Access([token("other", "write", "other"), kept]), limits=limits)
    return TestClient(app, headers={"Authorization": f"Bearer {made}"})


def test_a_reading_token_reads_and_a_writing_token_writes_too(service: Service) -> None:
    reader, writer = caller(service, "read"), caller(service, "write")
    assert reader.get("/api/v1/slos").status_code == writer.get("/api/v1/slos").status_code == 200
    rejected = reader.post("/api/v1/exclusions", json=INCIDENT)
    assert (rejected.status_code, rejected.headers["content-type"]) == (403, "application/problem+json")
    assert rejected.json()["code"] == "insufficient_scope"
    assert "caller" in rejected.json()["detail"]
    assert writer.post("/api/v1/exclusions", json=INCIDENT).status_code == 201


def test_only_hashes_of_tokens_are_kept() -> None:
    made, kept = new_token("grafana", "read")
    assert made not in str(kept)
    (again,) = read_tokens(f"# tokens\n\n{kept}  # for the dashboards\n")
    assert again == kept
    for right in (f"Bearer {made}", f"bearer {made}"):
        assert find([again], bearer(right)) == kept
    for wrong in ("", "Bearer ", f"Bearer {kept.digest}", made, f"Basic {made}", f"Bearer {made} "):
        assert find([again], bearer(wrong)) is None, wrong
    with pytest.raises(ValueError, match="line 2"):
        read_tokens(f"{kept}\ngrafana admin {kept.digest}")
    with pytest.raises(ValueError, match="line 1"):
        new_token("Two Words", "read")


def test_too_many_questions_are_refused_with_the_time_to_wait(service: Service) -> None:
    client = caller(service, "write", reads="5/minute", writes="2/minute", wrong="3/minute")
    answers = [client.get("/api/v1/pools") for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    assert (answers[-1].headers["content-type"], answers[-1].headers["retry-after"]) == (
        "application/problem+json",
        "60",
    )
    assert [client.post("/api/v1/exclusions", json=INCIDENT).status_code for _ in range(3)] == [201, 201, 429]
    guesses = [client.get("/api/v1/pools", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(5)]
    assert guesses == [401, 401, 401, 429, 429]
    assert client.get("/-/healthy").status_code == 200


def test_every_answer_carries_the_security_headers_and_no_other_origin_is_let_in(service: Service) -> None:
    client = TestClient(create_app(service))
    for answer in (
        client.get("/"),
        client.get("/api/v1/nowhere"),
        client.options("/api/v1/slos"),
        client.get("/-/ready"),
    ):
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert (answer.headers["x-content-type-options"], answer.headers["x-frame-options"]) == ("nosniff", "DENY")
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    foreign = client.post("/api/v1/exclusions", json=INCIDENT, headers={"Origin": "https://evil.example"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "cross_origin")
    own = client.post("/api/v1/exclusions", json=INCIDENT, headers={"Origin": "http://localhost"})
    assert own.status_code == 201
    plain = client.post("/api/v1/exclusions", content="{}", headers={"Content-Type": "text/plain"})
    assert plain.status_code == 422


def test_an_answer_that_did_not_change_is_not_sent_again(service: Service) -> None:
    client = TestClient(create_app(service))
    for path in ("/api/v1/slos", "/api/v1/slos/fast/slots", "/api/v1/pools"):
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    tag = client.get("/api/v1/slos").headers["etag"]
    client.post("/api/v1/exclusions", json=INCIDENT)
    assert client.get("/api/v1/slos", headers={"If-None-Match": tag}).status_code == 200


def test_pages_follow_each_other_and_lose_nothing(service: Service) -> None:
    client = TestClient(create_app(service))
    whole = client.get("/api/v1/slos/fast/slots", params={"from": "2023-11-14T22:00:00Z"}).json()
    found, path = [], "/api/v1/slos/fast/slots?from=2023-11-14T22:00:00Z&limit=5"
    while path:
        answer = client.get(path).json()
        assert len(answer["slots"]) <= 5
        found += answer["slots"]
        path = answer["next"]
    assert (found, whole["next"]) == (whole["slots"], None)
    assert client.get("/api/v1/slos", params={"after": "fast"}).json()["slos"] == []


def test_the_past_is_told_as_it_was_and_the_future_not_at_all(service: Service) -> None:
    client = TestClient(create_app(service))
    then = client.get("/api/v1/slos/fast", params={"at": "2023-11-14T22:50:00Z"}).json()
    assert (then["total"], then["total"] - then["good"]) == (584, 0)  # one every 3.6 s of 35 minutes, the first at once
    listed = client.get("/api/v1/slos", params={"at": "2023-11-14T22:50:00Z"}).json()
    (slo,) = listed["slos"]
    assert then.items() >= slo.items()
    assert listed["at"] == "2023-11-14T22:50:00Z"
    history = client.get("/api/v1/slos/fast/budget", params={"at": "2023-11-14T22:50:00Z"}).json()
    assert (history["bad"], history["points"][-1]["at"]) == (0, "2023-11-14T22:50:00Z")
    for wrong in ("2100-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "1969-12-31T00:00:00Z"):
        assert client.get("/api/v1/slos", params={"at": wrong}).status_code == 422


ATTACKS = [
    "' OR 1=1 --",
    "fast'; DROP TABLE slots; --",
    '"} or vector(1) #',
    "../../etc/passwd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "fast\x00",
    "é" * 5000,
    "-1",
    "1e999",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_a_clear_refusal_and_does_nothing(service: Service, attack: str) -> None:
    client = TestClient(create_app(service, limits=ENDLESS), raise_server_exceptions=False)
    before = client.get("/api/v1/slos").json()
    quoted = attack.replace("%", "%25").replace("\x00", "%00").replace("#", "%23").replace("?", "%3F")
    answers = [client.get(f"/api/v1/{part}/{quoted}") for part in ("slos", "exclusions", "pools")]
    answers += [client.get(f"/api/v1/slos/{quoted}/{part}") for part in ("budget", "slots")]
    answers += [client.get("/api/v1/slos", params={name: attack}) for name in ("at", "after", "limit")]
    answers += [client.get("/api/v1/audit", params={"before": attack}), client.get(f"/static/{quoted}")]
    for field in ("from", "to", "slo_id", "pool"):
        answers.append(client.post("/api/v1/exclusions", json=INCIDENT | {field: attack}))
    answers.append(client.post("/api/v1/slos/fast/corrections", json={"start": attack, "good": attack}))
    for answer in answers:
        assert answer.status_code in (400, 404, 405, 422), (answer.url, answer.status_code, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    client.post("/api/v1/exclusions", json=INCIDENT | {"created_by": attack[:100], "reason": attack[:200]})
    assert client.get("/api/v1/slos").json()["slos"][0]["id"] == before["slos"][0]["id"]
    assert "<script>alert" not in client.get("/").text
    assert len(service.ledger.slots("fast", 0, 1e12)) == 13


def test_a_full_disk_refuses_what_is_new_and_serves_what_is_known(tmp_path: object, open_ledger: Opener) -> None:
    service = Service(spec(), world(), open_ledger(f"sqlite:///{tmp_path}/ledger.db"), clock=lambda: NOW)
    service.ingest()
    client = TestClient(create_app(service))
    service.ledger.engine.dispose()
    event.listen(
        service.ledger.engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 1")
    )
    long = INCIDENT | {"reason": "x" * 200}
    answers = [client.post("/api/v1/exclusions", json=long) for _ in range(60)]
    assert answers[-1].status_code == 503
    assert answers[-1].json()["code"] == "ledger_unavailable"
    assert "database or disk is full" in answers[-1].json()["detail"]
    assert client.get("/api/v1/slos/fast").status_code == 200
    kept = client.get("/api/v1/exclusions").json()["exclusions"]
    assert len(kept) == sum(answer.status_code == 201 for answer in answers)
    assert len(client.get("/api/v1/audit").json()["events"]) == len(kept)


def test_a_clock_that_jumps_ahead_and_back_loses_nothing(database: str, open_ledger: Opener) -> None:
    now = [T0 + 900.0]
    service = Service(spec(), world(), open_ledger(database), clock=lambda: now[0])
    service.ingest()
    now[0] = T0 + 900 + 30 * 86400  # for half an hour it is a month ahead
    service.ingest()
    now[0] = T0 + 2700
    assert "clock went back" in str(service.not_ready_reasons())
    service.ingest()
    assert service.not_ready_reasons() == []
    now[0] = NOW
    service.ingest()
    (found,) = service.evaluated().budgets.values()
    assert (found.counted.good, found.counted.total) == (960, 1000)
