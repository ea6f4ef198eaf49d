"""Writes one archive that installs without a network: wheels with hashes for each Python, chart, configuration, licenses, SBOM.

`python tests/tools/bundle.py FILE` (`make bundle`). The wheels are for this machine's platform. The same files give the same bytes.
"""

import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import parse_wheel_filename

from dependencies import page as licenses
from interpreters import VERSIONS, find
from paths import ROOT
from sbom import sbom

EXTRAS = ("service", "build", "forecast", "otel", "parquet", "postgresql")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
PLIMSOLL = Path(sys.executable).with_name("plimsoll")
README = """Plimsoll without a network

    sha256sum --check --quiet SHA256SUMS
    python3 -m venv plimsoll
    plimsoll/bin/pip install --no-index --find-links wheels --require-hashes -r requirements-3.X.txt   # X: of your Python
    plimsoll/bin/plimsoll --version

requirements-3.X.txt  what each Python installs, with hashes: extras {extras}
wheels/               for {platform}
helm/                 the chart, with the rules and dashboards of objectives.yaml; for yours: plimsoll chart --objectives FILE --out DIR
config/               objectives.yaml, rules, routing, dashboards, Prometheus' and Compose's files
licenses/             Plimsoll's, and a list of all distributions (each wheel holds its own)
plimsoll.cdx.json     software bill of materials (CycloneDX 1.6)
"""


def bundle(file: Path, versions: Sequence[str] = VERSIONS, extras: Sequence[str] = EXTRAS) -> None:
    """Write the archive; raises CalledProcessError where pip can't have a wheel, and LookupError for a Python that isn't here."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / file.name.removesuffix(".tar.gz")
        folder.mkdir()
        wheel = _wheel(folder)
        for version in versions:
            _download(folder, wheel, version, extras)
        _files(folder)
        platform = subprocess.run(("uname", "-sm"), check=True, capture_output=True, text=True).stdout.strip()
        (folder / "README").write_text(README.format(extras=", ".join(extras), platform=platform))
        sums = [
            f"{_sha256(path)}  {path.relative_to(folder)}\n" for path in sorted(folder.rglob("*")) if path.is_file()
        ]
        (folder / "SHA256SUMS").write_text("".join(sums))
        _archive(folder, file)


def _wheel(folder: Path) -> Path:
    subprocess.run((*PIP, "wheel", "--no-deps", "--wheel-dir", folder / "wheels", ROOT), check=True)
    (wheel,) = (folder / "wheels").glob("plimsoll_slo-*.whl")
    return wheel


def _download(folder: Path, wheel: Path, version: str, extras: Sequence[str]) -> None:
    """Download what one Python needs, by that Python's own pip, which knows its markers and tags, and list it with hashes."""
    python = find(version)
    if python is None:
        raise LookupError(f"no Python {version}: run `python tests/tools/interpreters.py`, or install it")
    with tempfile.TemporaryDirectory() as name:
        # What has no wheel for any Python is built once, here.
        command = (*PIP, "--python", python, "wheel", "--wheel-dir", name, "--constraint", ROOT / "requirements.lock")
        subprocess.run((*command, f"{wheel}[{','.join(extras)}]"), check=True)
        lines = []
        for path in sorted(Path(name).glob("*.whl")):
            shutil.copy(path, folder / "wheels" / path.name)
            distribution, number, *_ = parse_wheel_filename(path.name)
            lines.append(f"{distribution}=={number} --hash=sha256:{_sha256(path)}\n")
        whole = "".join(lines).replace("plimsoll-slo==", f"plimsoll-slo[{','.join(extras)}]==")
        (folder / f"requirements-{version}.txt").write_text(whole)


def _files(folder: Path) -> None:
    config = folder / "config"
    for command in (("build", "--out", config), ("chart", "--out", folder / "helm")):
        subprocess.run((PLIMSOLL, *command), check=True, stdout=subprocess.DEVNULL)
    for name in (
        "slo/objectives.yaml",
        "compose/compose.yaml",
        "compose/gpu.yaml",
        "compose/prometheus.yml",
        "compose/Dockerfile",
        *(f"compose/systemd/{unit}" for unit in ("plimsoll-exporter.service", "plimsoll-service.service")),
    ):
        shutil.copy(ROOT / name, config)
    (folder / "licenses").mkdir()
    for name in ("LICENSE", "slo/service/static/vendor/uPlot.LICENSE"):
        shutil.copy(ROOT / name, folder / "licenses")
    (folder / "licenses" / "dependencies.md").write_text(licenses())
    (folder / "plimsoll.cdx.json").write_text(sbom())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _archive(folder: Path, file: Path) -> None:
    """Pack in order, without times and owners."""

    def plain(one: tarfile.TarInfo) -> tarfile.TarInfo:
        one.mtime, one.uid, one.gid, one.uname, one.gname = 0, 0, 0, "", ""
        return one

    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        file.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for path in sorted(folder.rglob("*")):
            archive.add(path, f"{folder.name}/{path.relative_to(folder)}", recursive=False, filter=plain)


if __name__ == "__main__":
    try:
        bundle(Path(sys.argv[1]))
    except (LookupError, subprocess.CalledProcessError) as error:
        sys.exit(f"bundle: {error}")
    print(f"{sys.argv[1]}: {Path(sys.argv[1]).stat().st_size / 1e6:.0f} MB")
