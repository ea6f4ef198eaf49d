"""Who gets in: known hosts and origins, sessions of browsers, and users of a proxy."""

import logging
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from limits import parse

from access_world import HTML, READER, TEXT, client_of, lines, log_in
from plimsoll.slo.hosts import Hosts
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service import auth
from plimsoll.slo.service.access import Access
from plimsoll.slo.service.sessions import SESSION_SECONDS
from plimsoll.slo.service.state import Service
from plimsoll.slo.service.tokens import Token, new_token
from service_world import INCIDENT, NOW, world
from world import spec

LINK = "/slos/fast?from=2023-11-14T22:00:00Z&x=a%2Fb"
WRITE_TEXT, WRITER = new_token("ci", "write")


@pytest.fixture
def clock() -> list[float]:
    return [NOW]


@pytest.fixture
def service(tmp_path: object, open_ledger: Callable[[str], Ledger], clock: list[float]) -> Service:
    return Service(spec(), world(), open_ledger(f"sqlite:///{tmp_path}/ledger.db"), clock=lambda: clock[0])


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8080", True),
        ("localhost", True),
        ("LocalHost.:8080", True),
        ("app.localhost:1", True),
        ("[::1]:8080", True),
        ("[fd00::2]", True),
        ("10.1.2.3:8080", True),
        ("slo.example.com", True),
        ("SLO.example.com.:443", True),
        ("evil.example", False),
        ("slo.example.com.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:8080", False),
        ("evil.example:8080@127.0.0.1", False),
        ("127.0.0.1:8080.evil.example", False),
        ("2130706433", False),
        ("[::1", False),
        ("::1", False),
        ("", False),
        ("localhost:80:80", False),
        ("localhost/evil", False),
    ],
)
def test_an_open_service_answers_only_to_its_names(service: Service, host: str, known: bool) -> None:
    client = client_of(service, Access(hosts=Hosts(["slo.example.com"])), address="127.0.0.1")
    for path in ("/", "/api/v1/slos", "/metrics", "/runbooks"):
        assert client.get(path, headers={"Host": host}).status_code == (200 if known else 421), path
    written = client.post("/api/v1/exclusions", json=INCIDENT, headers={"Host": host})
    assert written.status_code == (201 if known else 421)
    assert len(service.records.exclusions()) == known
    assert client.get("/-/healthy", headers={"Host": host}).status_code == 200
    assert client.get("/-/ready", headers={"Host": host}).status_code in (200, 503)


def test_a_token_is_enough_by_any_name(service: Service) -> None:
    client = client_of(service, Access([READER]))
    bearer = {"Host": "plimsoll.monitoring.svc:8080", "Authorization": f"Bearer {TEXT}"}
    assert client.get("/api/v1/slos", headers=bearer).status_code == 200
    assert client.get("/metrics", headers=bearer).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Origin": "http://localhost"}, 201),
        ({"Origin": "http://localhost:80"}, 201),
        ({"Origin": "http://localhost:8080"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 421),
        ({"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, 421),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, 201),
        ({"Sec-Fetch-Site": "none"}, 201),
    ],
)
def test_a_page_of_another_origin_writes_nothing(service: Service, headers: dict[str, str], status: int) -> None:
    client = client_of(service, address="127.0.0.1")
    assert client.post("/api/v1/exclusions", json=INCIDENT, headers=headers).status_code == status
    assert len(service.records.exclusions()) == (status == 201)


def test_a_browser_logs_in_and_its_link_leads_on(service: Service) -> None:
    client = client_of(service, Access([READER]))
    page = client.get(LINK, headers=HTML)
    assert (page.status_code, page.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert f'name="next" value="{LINK.replace("&", "&amp;")}"' in page.text
    api = client.get(LINK)
    assert (api.status_code, api.headers["content-type"]) == (401, "application/problem+json")
    assert api.headers["www-authenticate"] == page.headers["www-authenticate"] == "Bearer"
    for path in ("/runbooks", "/static/page.css", "/login", "/-/healthy"):
        assert client.get(path, headers=HTML).status_code == 200
    answer = log_in(client, f" {TEXT}\n", LINK, Origin="http://localhost")
    assert (answer.status_code, answer.headers["location"]) == (303, LINK)
    cookie = answer.headers["set-cookie"].lower()
    for attribute in ("plimsoll_session=", "httponly", "samesite=lax", "path=/", f"max-age={SESSION_SECONDS}"):
        assert attribute in cookie
    assert "secure" not in cookie and TEXT not in cookie
    shown = client.get(LINK, headers=HTML)
    assert (shown.status_code, shown.headers["cache-control"]) == (200, "no-store")
    assert client.get("/api/v1/slos").status_code == 200
    assert client.post("/logout", headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.get(LINK).status_code == 200
    assert client.post("/logout").headers["location"] == "/login"
    assert client.get(LINK).status_code == 401


@pytest.mark.parametrize(
    "target",
    [
        *("//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "/\n//evil.example"),
        *("javascript:alert(1)", "evil.example", "", "/é", "\\\\evil.example"),
    ],
)
def test_a_login_leads_to_no_other_host(service: Service, target: str) -> None:
    client = client_of(service, Access([READER]))
    assert log_in(client, TEXT, target).headers["location"] == "/"
    assert 'name="next" value="/"' in client.get("/login", params={"next": target}).text


def test_a_session_writes_only_with_its_token_s_scope_and_from_its_own_pages(service: Service) -> None:
    client = client_of(service, Access([READER, WRITER]))
    log_in(client, TEXT)
    assert client.post("/api/v1/exclusions", json=INCIDENT).status_code == 403
    log_in(client, WRITE_TEXT)
    foreign = {"Origin": "https://evil.example"}
    assert client.post("/api/v1/exclusions", json=INCIDENT, headers=foreign).status_code == 403
    assert client.post("/api/v1/exclusions", json=INCIDENT, headers={"Origin": "http://localhost"}).status_code == 201


def test_a_session_ends_with_its_time_and_with_its_token_and_holds_at_every_service(
    service: Service, clock: list[float]
) -> None:
    client = client_of(service, Access([READER]))
    log_in(client, TEXT)
    cookies = dict(client.cookies)

    def status(tokens: list[Token], cookies: dict[str, str]) -> int:
        other = client_of(service, Access(tokens))
        other.cookies.update(cookies)
        return other.get("/").status_code

    assert status([WRITER, READER], cookies) == 200
    _, renewed = new_token("ann", "read")
    assert status([WRITER], cookies) == status([renewed], cookies) == 401
    promoted = Token(READER.name, "write", READER.digest)
    assert status([promoted], cookies) == 401
    (value,) = cookies.values()
    name, expires, signature = value.split(".")
    for forged in (
        f"{name}.{int(expires) + 1}.{signature}",
        f"ci.{expires}.{signature}",
        f"{name}..",
        "",
        "..",
    ):
        assert status([READER, WRITER], {"plimsoll_session": forged}) == 401, forged
    bare = client_of(service, Access([READER]))
    assert bare.get("/", headers=[(b"cookie", b"plimsoll_session=\xe9.9999999999.\xe9")]).status_code == 401
    clock[0] = NOW + SESSION_SECONDS - 1
    assert client.get("/").status_code == 200
    clock[0] += 1
    assert client.get("/", headers=HTML).status_code == 401


def test_over_https_the_cookie_is_bound_to_the_host(service: Service) -> None:
    client = client_of(service, Access([READER]), "https://slo.example.com")
    cookie = log_in(client, TEXT).headers["set-cookie"]
    assert cookie.startswith("__Host-plimsoll_session=") and "; Secure" in cookie
    assert client.get("/").status_code == 200
    plain = client_of(service, Access([READER]))
    plain.cookies.set("__Host-plimsoll_session", dict(client.cookies)["__Host-plimsoll_session"])
    assert plain.get("/").status_code == 401


def test_wrong_tokens_are_counted_by_address_and_logged_without_the_token(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "plimsoll.access")
    client = client_of(service, Access([READER]), limits={"wrong": "3/minute"})
    wrong = [log_in(client, f"wrong-{n}", **{"X-Forwarded-For": f"10.0.0.{n}"}) for n in range(3)]
    assert [one.status_code for one in wrong] == [401] * 3
    assert "Unknown token" in wrong[0].text
    # Now a right one makes no difference, neither here nor at the API: the limit can't be walked around.
    assert log_in(client, TEXT).status_code == 429
    assert client.get("/api/v1/slos", headers={"Authorization": f"Bearer {TEXT}"}).status_code == 429
    assert client.get("/login", headers=HTML).status_code == 200
    app = client.app
    others = [TestClient(app, client=(address, 1)) for address in ("192.0.2.8", "2001:db8::1", "2001:db8::2:0:0:9")]
    assert log_in(others[0], TEXT).status_code == 200
    assert [log_in(others[1], "wrong").status_code for _ in range(3)] == [401] * 3
    assert log_in(others[2], TEXT).status_code == 429, "an address of the same network"
    found = lines(caplog)
    assert [one["event"] for one in found] == ["login_failed"] * 3 + ["login"] + ["login_failed"] * 3
    assert found[0] == {"event": "login_failed", "at": "2023-11-14T23:15:00Z", "address": "192.0.2.7", "name": None}
    assert (found[3]["name"], found[3]["address"]) == ("ann", "192.0.2.8")
    assert TEXT not in caplog.text and "wrong-" not in caplog.text


def test_many_addresses_fill_neither_memory_nor_log_and_lock_no_one_out(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(auth, "ALL_WRONG_TOKENS", parse("5/minute"))
    app = client_of(service, Access([READER])).app
    codes = [log_in(TestClient(app, client=(f"198.51.100.{n}", 1)), "wrong").status_code for n in range(9)]
    assert codes == [401] * 5 + [429] * 4
    assert len(lines(caplog)) == 5
    assert log_in(TestClient(app, client=("198.51.100.200", 1), follow_redirects=False), TEXT).status_code == 303


def test_the_audit_holds_who_was_authenticated_and_not_who_is_claimed(service: Service) -> None:
    client = client_of(service, Access([WRITER]))
    client.headers["Authorization"] = f"Bearer {WRITE_TEXT}"
    made = client.post("/api/v1/exclusions", json=INCIDENT | {"created_by": "root"})
    anonymous = {name: value for name, value in INCIDENT.items() if name != "created_by"}
    assert made.json()["created_by"] == client.post("/api/v1/exclusions", json=anonymous).json()["created_by"] == "ci"
    cancel = client.post(f"/api/v1/exclusions/{made.json()['id']}/cancel", json={"actor": "root", "reason": "over"})
    assert cancel.status_code == 200
    assert {one["actor"] for one in client.get("/api/v1/audit").json()["events"]} == {"ci"}
    missing = client_of(service, address="127.0.0.1").post("/api/v1/exclusions", json=anonymous)
    assert (missing.status_code, missing.json()["code"]) == (422, "missing_actor")
