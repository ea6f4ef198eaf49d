"""The Pythons that Plimsoll is installed on in tests: this one, those on the machine, and Debian's next, unpacked, not installed.

Run as a script it fetches what the machine lacks and Debian has (`make test` does).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from newer import HOME, unpack

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
# Their C library is newer than an installed one may be, so they come with the libraries that they were built with.
_LIBRARIES = (
    *("libc6", "libgcc-s1", "libstdc++6", "libexpat1", "zlib1g", "libssl3t64", "libffi8", "libsqlite3-0"),
    *("libbz2-1.0", "liblzma5", "libuuid1", "libzstd1"),
)
_LAUNCHER = """#!/bin/sh
exec "{loader}" --library-path "{libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}" --argv0 "$0" "{binary}" "$@"
"""


def find(version: str) -> Path | None:
    """Path of a Python of this version (such as 3.13) that can make virtual environments, if there is one."""
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places: list[str | Path] = [
        *([sys.executable] if version == f"{sys.version_info.major}.{sys.version_info.minor}" else []),
        *([found] if (found := shutil.which(name)) else []),
        *sorted(pyenv.glob(f"{version}.*/bin/{name}")),
        _root(version) / "usr" / "bin" / name,
    ]
    return next((Path(place) for place in places if _works(place)), None)


def fetch(version: str) -> None:
    """Unpack Debian's next package of this version, made to run where it lies; raises what `newer.unpack` raises."""
    root, name = _root(version), f"python{version}"
    unpack([name, f"{name}-minimal", f"lib{name}-stdlib", f"lib{name}-minimal", *_LIBRARIES], root)
    launcher = root / "usr" / "bin" / name
    binary = launcher.rename(launcher.with_name(f"{name}.bin"))
    loader, libc = next(root.glob("usr/lib*/ld-linux*")), next(root.glob("usr/lib/*/libc.so.6"))
    launcher.write_text(_LAUNCHER.format(loader=loader, libraries=libc.parent, binary=binary))
    launcher.chmod(0o755)


def _root(version: str) -> Path:
    return HOME / f"python{version}"


def _works(path: str | Path) -> bool:
    """Whether it starts: pyenv leaves a `python3.X` on the PATH for each version that it has, started or not."""
    try:
        return (
            subprocess.run([path, "-c", "import ssl, sqlite3, venv"], capture_output=True, check=False).returncode == 0
        )
    except OSError:
        return False


if __name__ == "__main__":
    for wanted in VERSIONS:
        if find(wanted) is None:
            try:
                fetch(wanted)
            except (subprocess.CalledProcessError, OSError, StopIteration) as error:
                print(
                    f"Python {wanted}: not to be had here ({error!r}); the package is not installed on it.",
                    file=sys.stderr,
                )
