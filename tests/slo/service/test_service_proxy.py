"""Users whom a named proxy has authenticated."""

from collections.abc import Callable
from ipaddress import ip_network

import pytest

from access_world import HTML, READER, TEXT, client_of, lines, log_in
from plimsoll.slo.hosts import Hosts
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.access import Access, Proxy
from plimsoll.slo.service.state import Service
from service_world import INCIDENT, NOW, world
from world import spec


@pytest.fixture
def service(tmp_path: object, open_ledger: Callable[[str], Ledger]) -> Service:
    return Service(spec(), world(), open_ledger(f"sqlite:///{tmp_path}/ledger.db"), clock=lambda: NOW)


PROXY = Proxy([ip_network("10.0.0.0/24"), ip_network("fd00::/64")], "X-Forwarded-User", [("X-Forwarded-Groups", "sre")])
BEHIND = {"X-Forwarded-User": "ann@example.com", "X-Forwarded-Host": "slo.example.com", "X-Forwarded-Proto": "https"}


def test_the_user_of_a_named_proxy_reads_and_in_the_group_writes(service: Service) -> None:
    access = Access(hosts=Hosts(["slo.example.com"]), proxy=PROXY)
    for address in ("10.0.0.9", "fd00::7"):
        client = client_of(service, access, address=address)
        assert client.get("/api/v1/slos").status_code == 401
        assert client.get("/", headers=HTML | BEHIND).status_code == 200
        rejected = client.post(
            "/api/v1/exclusions", json=INCIDENT, headers=BEHIND | {"X-Forwarded-Groups": "dev, sres"}
        )
        assert (rejected.status_code, rejected.json()["code"]) == (403, "insufficient_scope")
        own = {"X-Forwarded-Groups": "dev, sre", "Origin": "https://slo.example.com"}
        written = client.post("/api/v1/exclusions", json=INCIDENT | {"created_by": "bob"}, headers=BEHIND | own)
        assert (written.status_code, written.json()["created_by"]) == (201, "ann@example.com")
        for twisted in (
            {"Origin": "https://evil.example"},
            {"X-Forwarded-Host": "evil.example", "Origin": "https://evil.example"},
        ):
            assert client.post("/api/v1/exclusions", json=INCIDENT, headers=BEHIND | own | twisted).status_code >= 403


@pytest.mark.parametrize("address", ["10.0.1.9", "127.0.0.1", "fd00:0:0:1::7", "", "proxy"])
def test_from_anybody_else_the_headers_of_a_proxy_say_nothing(
    service: Service, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_of(service, Access([READER], Hosts(["slo.example.com"]), PROXY), address=address)
    assert client.get("/", headers=BEHIND | {"X-Forwarded-For": "10.0.0.9"}).status_code == 401
    log_in(client, "wrong", **BEHIND, **{"X-Forwarded-For": "203.0.113.5"})
    assert lines(caplog)[-1]["address"] == address
    assert "Secure" not in log_in(client, TEXT, **BEHIND).headers["set-cookie"]


@pytest.mark.parametrize("names", [["ann", "root"], [""], ["a\tb"], ["x" * 101], [" "]])
def test_a_user_without_one_clear_name_is_nobody(service: Service, names: list[str]) -> None:
    client = client_of(service, Access(proxy=PROXY), address="10.0.0.9")
    headers = [("X-Forwarded-User", name) for name in names]
    assert client.get("/api/v1/slos", headers=headers).status_code == 401


def test_behind_a_named_proxy_the_client_is_whom_the_proxy_forwards(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_of(service, Access([READER], proxy=PROXY), address="10.0.0.9", limits={"wrong": "1/minute"})
    forwarded = {"X-Forwarded-For": "1.1.1.1, 203.0.113.5, 10.0.0.3", "X-Forwarded-Proto": "https"}
    assert log_in(client, "wrong", **forwarded).status_code == 401
    assert lines(caplog)[-1]["address"] == "203.0.113.5"
    assert log_in(client, TEXT, **forwarded | {"X-Forwarded-For": "9.9.9.9, 203.0.113.5"}).status_code == 429
    answer = log_in(client, TEXT, **forwarded | {"X-Forwarded-For": "203.0.113.6"})
    assert (answer.status_code, "Secure" in answer.headers["set-cookie"]) == (303, True)
