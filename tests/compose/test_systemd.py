"""The systemd units: sound for systemd itself, confined, and they start our commands as these are spelled."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from paths import ROOT
from plimsoll.compose.cli import build_parser
from plimsoll.compose.settings.options import with_settings

UNITS = sorted((ROOT / "compose" / "systemd").glob("*.service"))
ANALYZE = shutil.which("systemd-analyze")
# systemd's own measure of what a unit may do: 0 (nothing) to 10. The exporter reads other users' processes.
EXPOSURE = {"plimsoll-exporter.service": 3.0, "plimsoll-service.service": 1.5}
PLACES = {
    "${STATE_DIRECTORY}": "/state",
    "${CREDENTIALS_DIRECTORY}": "/credentials",
    "%d": "/credentials",
    "%S": "/var/lib",
}


def settings(unit: Path) -> dict[str, list[str]]:
    """All values by name, in order, with systemd's own variables filled in."""
    found: dict[str, list[str]] = {}
    text = unit.read_text()
    for variable, place in PLACES.items():
        text = text.replace(variable, place)
    for name, value in re.findall(r"^(\w+)=(.*)$", text, re.M):
        found.setdefault(name, []).append(value)
    return found


def test_there_is_a_unit_for_the_exporter_and_one_for_the_service() -> None:
    assert [unit.name for unit in UNITS] == list(EXPOSURE)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_command_and_its_variables_are_spelled_as_the_command_line_reads_them(unit: Path) -> None:
    lines = settings(unit)
    program, command, *arguments = shlex.split(lines["ExecStart"][0])
    variables = dict(one.split("=", 1) for one in lines["Environment"])
    parser = build_parser([command])
    (own,) = (action.choices[command] for action in parser._actions if isinstance(action.choices, dict))
    needed = {"PLIMSOLL_SOURCE": "prometheus:http://127.0.0.1:9090"}  # from the unit's file
    given = with_settings(own, command, [command, *arguments], variables | (needed if command == "serve" else {}))
    parsed = parser.parse_args(given)
    assert (Path(program).name, parsed.run is not None) == ("plimsoll", True)
    if command == "serve":
        assert (str(parsed.db), str(parsed.token_file)) == (
            "sqlite:////var/lib/plimsoll/ledger.db",
            "/credentials/tokens",
        )
    else:
        assert (parsed.state_dir, parsed.discover) == (Path("/state"), ["processes"])
        assert variables == {"PLIMSOLL_EXPORTER_TOKEN_FILE": "/credentials/exporter-token"}


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_no_fault_and_the_unit_is_confined(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/plimsoll/bin/plimsoll", "/bin/true"))
    done = subprocess.run((str(ANALYZE), "verify", copy), capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, [])
    command = (str(ANALYZE), "security", "--offline=true", f"--threshold={round(EXPOSURE[unit.name] * 10)}", copy)
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
