"""The objectives file is read again at SIGHUP and when it changes; a faulty one leaves the objectives before it in use."""

import re
import signal
from pathlib import Path

import httpx
import pytest

from export_process import exporting
from process import Command, environment
from stack import free_port, wait_for
from world import SPEC_TEXT

pytestmark = pytest.mark.slow
SUCCESSFUL, AT = "plimsoll_config_last_reload_successful", "plimsoll_config_last_reload_success_timestamp_seconds"
MORE = SPEC_TEXT + "  - {id: up, pool: pool, indicator: availability, target: 99%, window: 7d}\n"
FAULTY = SPEC_TEXT.replace("target: 95%", "target: 195%")


def replace(file: Path, text: str) -> None:
    """Write a file as editors and ConfigMaps do: another one takes its name."""
    draft = file.with_suffix(".new")
    draft.write_text(text)
    draft.rename(file)


def test_the_service_takes_up_other_objectives_and_keeps_its_own_where_the_file_is_faulty(tmp_path: Path) -> None:
    file, port = tmp_path / "objectives.yaml", free_port()
    file.write_text(SPEC_TEXT)
    url = f"http://127.0.0.1:{port}"
    options = ["--objectives", str(file), "--source", "scrape:http://127.0.0.1:9", "--listen", f"127.0.0.1:{port}"]
    options += ["--db", f"sqlite:///{tmp_path}/ledger.db"]

    def ids() -> list[str]:
        return [one["id"] for one in httpx.get(f"{url}/api/v1/slos").raise_for_status().json()["slos"]]

    def metric(name: str) -> float:
        (value,) = re.findall(rf"^{name} (\S+)$", httpx.get(f"{url}/metrics").text, re.MULTILINE)
        return float(value)

    log = tmp_path / "log"
    with Command(log, "serve", *options, ready=f"{url}/-/healthy", env=environment()) as running:
        assert ids() == ["fast"] and metric(SUCCESSFUL) == 1
        began = metric(AT)
        replace(file, MORE)  # no signal: the change is seen
        wait_for(lambda: ids() == ["fast", "up"], "the changed file", 30)
        wait_for(lambda: metric(AT) > began, "the time of the reload", 30)
        replace(file, FAULTY)
        wait_for(lambda: metric(SUCCESSFUL) == 0, "the faulty file", 30)
        assert ids() == ["fast", "up"]
        assert f"objectives not reloaded: {file}: objectives[0].target" in log.read_text()
        replace(file, SPEC_TEXT)
        assert running.process is not None
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: ids() == ["fast"] and metric(SUCCESSFUL) == 1, "the reload by signal", 30)
        assert httpx.get(f"{url}/api/v1/slos/up").status_code == 404
    assert "Traceback" not in log.read_text()


def test_the_exporter_validates_the_file_again_and_exports_the_result(tmp_path: Path) -> None:
    file = tmp_path / "objectives.yaml"
    file.write_text(SPEC_TEXT)
    options = ("--no-gpu", "--discover", "processes", "--objectives", str(file))
    with exporting(tmp_path, *options) as exporter:
        assert exporter.values()[SUCCESSFUL, ""] == 1
        replace(file, FAULTY)
        wait_for(lambda: exporter.values()[SUCCESSFUL, ""] == 0, "the faulty file", 30)
        replace(file, SPEC_TEXT)
        exporter.process.send_signal(signal.SIGHUP)
        wait_for(lambda: exporter.values()[SUCCESSFUL, ""] == 1, "the mended file", 30)
