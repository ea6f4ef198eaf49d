"""The import packages: each top-level folder is a package below `plimsoll`, so that a wheel claims one name in its environment."""

from pathlib import Path

from setuptools import setup

FOLDERS = ("alerts", "compose", "dashboards", "exporters", "slo")
ROOT = Path(__file__).parent

setup(
    package_dir={f"plimsoll.{folder}": folder for folder in FOLDERS},
    packages=[
        f"plimsoll.{path.parent.relative_to(ROOT).as_posix().replace('/', '.')}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("__init__.py"))
    ],
)
