"""The import packages and their files: each top-level folder is a package below `plimsoll`, and only the project's own files ship.

In a clone those are the files that git tracks, so that a secret or a note left in a folder gets into no wheel and no sdist.
Elsewhere (an unpacked sdist or archive) there is nothing else.
"""

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

FOLDERS = ("alerts", "compose", "dashboards", "exporters", "slo")
ROOT = Path(__file__).resolve().parent


@cache
def tracked() -> frozenset[Path] | None:
    """Return the files that git tracks, or None outside a clone; where git can't answer, nothing is built."""
    if not (ROOT / ".git").exists():
        return None
    command = ("git", "ls-files", "-z")
    try:
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = str(getattr(error, "stderr", "") or error).strip()
        sys.exit(f"setup.py: git can't list the project's files: {reason}. Fix git, or build from an sdist.")
    return frozenset(Path(name) for name in listed.stdout.split("\0") if name)


def is_shipped(path: str) -> bool:
    """Whether a file, by its path from here, belongs to the project."""
    ours = tracked()
    return ours is None or Path(path) in ours


class Build(build_py):
    """Copies the project's own files, and nothing that an earlier build copied."""

    def run(self) -> None:
        """Remove what an earlier build left, then build."""
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """List a package's modules as (package, module, file)."""
        return [found for found in super().find_package_modules(package, package_dir) if is_shipped(found[2])]

    def find_data_files(self, package: str, src_dir: str) -> list[str]:
        """List a package's data files."""
        return [name for name in super().find_data_files(package, src_dir) if is_shipped(name)]


class SourceDistribution(sdist):
    """Archives the project's own files and the metadata."""

    def run(self) -> None:
        """Remove an earlier build's list of files, which setuptools would add to this one's, then archive."""
        Path(self.get_finalized_command("egg_info").egg_info, "SOURCES.txt").unlink(missing_ok=True)
        super().run()

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Copy the files to where they are archived from."""
        super().make_release_tree(base_dir, [name for name in files if ".egg-info/" in name or is_shipped(name)])


setup(
    cmdclass={"build_py": Build, "sdist": SourceDistribution},
    package_dir={f"plimsoll.{folder}": folder for folder in FOLDERS},
    packages=[
        f"plimsoll.{path.parent.relative_to(ROOT).as_posix().replace('/', '.')}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("__init__.py"))
    ],
)
