"""A source that asks for a token, a tenant, and a certificate, and shows one of its own CA: right numbers with all, one line without each."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from faulty_api import FaultyApi
from fits import measured
from ledger_world import END, T0, WORLD
from plimsoll.compose.cli import main
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.scrape_source import ScrapeSource
from plimsoll.slo.metrics import REPLICA_START
from plimsoll.slo.sources import SourceError
from plimsoll.slo.sources.http_config import Credentials, HttpConfigError, load
from plimsoll.slo.sources.prometheus import PrometheusSource
from plimsoll.slo.sources.selector import Selector
from private_ca import PrivateCa
from process import Command, environment, rejected
from stack import free_port, wait_for
from stored_world import stored_in_prometheus
from world import SPEC_TEXT

STARTS = [Selector(REPLICA_START.name)]
DEMANDED = {"Authorization": "Bearer hunter2", "X-Scope-OrgID": "team-1"}


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> PrivateCa:
    return PrivateCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    running = stored_in_prometheus(WORLD.all_series())
    yield running.url
    running.__exit__()


def written(folder: Path, ca: PrivateCa, *, without: str = "nothing") -> Path:
    """A configuration with everything that is asked for, but for one thing."""
    (folder / "token").write_text("hunter2")
    tls = {"ca_file": str(ca.file), "cert_file": str(ca.client.certificate), "key_file": str(ca.client.key)}
    tls = {name: value for name, value in tls.items() if without not in name}
    config: dict[str, object] = {
        "authorization": {"credentials_file": "token"},
        "tls_config": tls,
        "http_headers": {"X-Scope-OrgID": {"values": ["team-1"]}},
    }
    config.pop(without, None)
    if without in ("cert", "key"):
        config["tls_config"] = {"ca_file": str(ca.file)}
    file = folder / "source.yaml"
    file.write_text(json.dumps(config))
    return file


def asked(url: str, credentials: Credentials) -> list[object]:
    with closing(PrometheusSource(url, credentials)) as source:
        return sorted(source.series(STARTS, T0, END), key=str)


@pytest.mark.prometheus
def test_a_guarded_prometheus_answers_with_everything_and_is_named_without_one(
    ca: PrivateCa, upstream: str, tmp_path: Path
) -> None:
    api = FaultyApi(upstream)
    api.demanded = DEMANDED
    with api.served(ca.server(client_certificate=True)) as url:
        truth = sorted(WORLD.series(STARTS, T0, END), key=str)
        assert asked(url, load(written(tmp_path, ca))) == truth
        for without, reason in {
            "authorization": "401",
            "http_headers": "401",
            "ca_file": "certificate",
            "cert": "certificate",
        }.items():
            with pytest.raises(SourceError) as raised:
                asked(url, load(written(tmp_path, ca, without=without)))
            message = str(raised.value)
            assert message.startswith(f"{url}: ") and reason in message.lower(), (without, message)
            assert message.isprintable() and "hunter2" not in message


def test_a_rotated_token_and_certificate_are_used_at_once(ca: PrivateCa, tmp_path: Path) -> None:
    api = FaultyApi("")
    api.raw = 200, b'{"status":"success","data":{"resultType":"matrix","result":[]}}'
    api.demanded = DEMANDED
    own = tmp_path / "ca.pem"
    own.write_bytes(ca.file.read_bytes())
    file = written(tmp_path, ca, without="cert")
    file.write_text(file.read_text().replace(str(ca.file), "ca.pem"))
    credentials = load(file)
    other = PrivateCa(tmp_path / "other")
    with api.served(ca.server()) as url, closing(PrometheusSource(url, credentials)) as source:
        assert source.series(STARTS, T0, END) == []
        (tmp_path / "token").write_text("hunter3")
        with pytest.raises(SourceError, match="401"):
            source.series(STARTS, T0, END)
        api.demanded = DEMANDED | {"Authorization": "Bearer hunter3"}
        assert source.series(STARTS, T0, END) == []
        own.write_bytes(other.file.read_bytes())
        with pytest.raises(SourceError, match="certificate"):
            source.series(STARTS, T0, END)
        (tmp_path / "token").unlink()
        with pytest.raises(SourceError, match="token: can't be read"):
            source.series(STARTS, T0, END)


def test_targets_are_scraped_with_them_too(ca: PrivateCa, tmp_path: Path) -> None:
    engine = open_database("sqlite://")
    api = FaultyApi("")
    api.raw, api.demanded = (200, f'{REPLICA_START.name}{{replica="a"}} 1\n'.encode()), DEMANDED
    with api.served(ca.server(client_certificate=True)) as url:
        credentials = load(written(tmp_path, ca))
        with closing(ScrapeSource([url], engine, STARTS, lambda: T0, credentials)) as source:
            source.scrape()
            assert len(source.series(STARTS, T0 - 1, T0)) == 1
            (tmp_path / "token").write_text("wrong")
            with pytest.raises(SourceError, match="HTTP 401"):
                source.scrape()
    engine.dispose()


@pytest.mark.parametrize("command", ["serve", "check", "calibrate", "backtest"])
@pytest.mark.parametrize("url", ["http://ann:hunter2@127.0.0.1:9", "http://127.0.0.1:9/?token=hunter2"])
def test_a_secret_in_an_address_is_refused_and_not_repeated(command: str, url: str, tmp_path: Path) -> None:
    file = tmp_path / "objectives.yaml"
    file.write_text(SPEC_TEXT)
    option = "--prometheus" if command in ("calibrate", "backtest") else "--source"
    more = ["--pool", "pool", *measured(SPEC_TEXT, tmp_path / "own.json")] if command == "backtest" else []
    for given in [url] if option == "--prometheus" else [f"prometheus:{url}", f"scrape:http://127.0.0.1:1,{url}", url]:
        line = rejected([command, option, given, "--objectives", str(file), *more])
        assert option in line and "hunter2" not in line
        assert given == url or "--source-config" in line or option == "--prometheus"


@pytest.mark.prometheus
def test_commands_take_the_file_by_option_or_environment_and_show_nothing_of_it(
    ca: PrivateCa, upstream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api = FaultyApi(upstream)
    api.demanded = DEMANDED
    objectives, config = tmp_path / "objectives.yaml", written(tmp_path, ca)
    objectives.write_text(SPEC_TEXT)
    with api.served(ca.server(client_certificate=True)) as url:
        check = ["check", "--objectives", str(objectives), "--source", f"prometheus:{url}"]
        assert main(check) == 2
        assert (
            main([*check, "--source-config", str(config)]) == 1
        )  # an SLO that isn't live, as the world is of the past
        monkeypatch.setenv("PLIMSOLL_SOURCE_CONFIG", str(config))
        assert main(check) == 1
        assert main(["calibrate", "--prometheus", url, "--objectives", str(objectives)]) == 1
        assert main(["calibrate", "--prometheus", url, "--objectives", str(objectives), "--source-config", "no"]) == 2
        written_text = "".join(capsys.readouterr())
        assert "slo-not-live" in written_text and "hunter2" not in written_text


@pytest.mark.slow
def test_a_running_service_shows_no_credentials(ca: PrivateCa, tmp_path: Path) -> None:
    api = FaultyApi("")
    api.raw, api.demanded = (200, f'{REPLICA_START.name}{{replica="a"}} 1\n'.encode()), DEMANDED
    config = written(tmp_path, ca)
    own = f"127.0.0.1:{free_port()}"
    with api.served(ca.server(client_certificate=True)) as url:
        given = ["--source", f"scrape:{url}", "--source-config", str(config), "--db", f"sqlite:///{tmp_path}/l.db"]
        command = Command(
            tmp_path / "log", "serve", *given, "--listen", own, ready=f"http://{own}/-/ready", env=environment()
        )
        with command:
            assert command.process is not None
            (tmp_path / "token").write_text("hunter3")
            wait_for(lambda: "401" in (tmp_path / "log").read_text(), "the refusal in the log")
            shown = subprocess.run(
                ["ps", "-o", "args=", "-p", str(command.process.pid)], capture_output=True, text=True, check=True
            )
            pages = [fetched(own, path) for path in ("/", "/-/ready", "/metrics", "/api/v1/slos")]
    everything = "".join([shown.stdout, (tmp_path / "log").read_text(), *pages])
    assert url in everything and "hunter" not in everything


def fetched(address: str, path: str) -> str:
    return httpx.get(f"http://{address}{path}").text


def test_a_service_does_not_start_with_a_file_that_it_cannot_use(tmp_path: Path) -> None:
    file = tmp_path / "source.yaml"
    file.write_text("authorization: {credentials: hunter2}")
    file.chmod(0o644)
    given = ["serve", "--source", "scrape:http://127.0.0.1:9", "--db", f"sqlite:///{tmp_path}/l.db"]
    line = rejected([*given, "--source-config", str(file)])
    assert f"Run `chmod 600 {file}`" in line and "hunter2" not in line
    line = rejected(given, environment(PLIMSOLL_SOURCE_CONFIG=str(file)))
    assert "PLIMSOLL_SOURCE_CONFIG" in line and "hunter2" not in line
    with pytest.raises(HttpConfigError):
        load(file)
