"""Newer Prometheus, promtool and Alertmanager beside Debian's installed ones, unpacked from its next packages, not installed.

Run as a script it fetches them (`make test` does). The mirror is the one that this machine's apt uses already.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HOME = Path.home() / ".cache" / "plimsoll" / "newer"
BINARIES = HOME / "root" / "usr" / "bin"
PACKAGES = ("prometheus", "promtool", "prometheus-alertmanager")
SUITE = "sid"


def newer(binary: str) -> Path | None:
    """Path of the newer binary, if it was fetched."""
    path = BINARIES / binary
    return path if path.exists() else None


def fetch() -> None:
    """Unpack the packages once; raises what `unpack` raises."""
    if not all(newer(package) for package in PACKAGES):
        unpack(PACKAGES, HOME / "root")


def unpack(packages: Sequence[str], root: Path) -> None:
    """Unpack Debian's next packages into a folder; raises CalledProcessError, OSError or StopIteration without apt or mirror."""
    asked = ("apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(SITE)", "Created-By: Packages")
    repositories = [line.split() for line in _run(*asked).splitlines()]
    mirror = next(line[0] for line in repositories if "Debian" in line and "security" not in line[0])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("lists", "cache/archives"):
            (folder / part / "partial").mkdir(parents=True)
        keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
        (folder / "list").write_text(f"deb [signed-by={keys}] {mirror} {SUITE} main\n")
        settings = {
            "Dir::Etc::sourcelist": folder / "list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": folder / "lists",
            "Dir::Cache": folder / "cache",
            "APT::Sandbox::User": "root",
        }
        apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in settings.items())]
        _run(*apt, "update", cwd=folder)
        _run(*apt, "download", *(f"{package}/{SUITE}" for package in packages), cwd=folder)
        root.mkdir(parents=True, exist_ok=True)  # dpkg-deb makes the last folder of a path alone
        for package in folder.glob("*.deb"):
            _run("dpkg-deb", "-x", str(package), str(root))


def _run(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    try:
        fetch()
    except (subprocess.CalledProcessError, OSError, StopIteration) as error:
        sys.exit(f"Newer Prometheus: not to be had here ({error!r}); rules are tested on the installed version alone.")
