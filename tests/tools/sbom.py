"""Writes the software bill of materials (CycloneDX 1.6, JSON) of what runs in production: `python tests/tools/sbom.py FILE`.

The same environment gives the same bytes: no time, no serial number, no path of the machine.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from dependencies import NAME, USERS, dependencies, normalized
from paths import ROOT

VERSION = "1.6"
COMMAND = (
    "cyclonedx_py",
    "environment",
    "--output-reproducible",
    "--spec-version",
    VERSION,
    "--mc-type",
    "application",
)


def sbom() -> str:
    """Return the document. cyclonedx-py lists the whole environment; development tools are left out."""
    command = [
        sys.executable,
        "-m",
        *COMMAND,
        "--pyproject",
        str(ROOT / "pyproject.toml"),
        "--output-file",
        "-",
        sys.executable,
    ]
    written = subprocess.run(command, check=True, capture_output=True, text=True)
    whole: dict[str, Any] = json.loads(written.stdout)
    wanted = {one.name for one in dependencies(*USERS)}
    whole["components"] = [one for one in whole["components"] if normalized(one["name"]) in wanted]
    root = whole["metadata"]["component"]["bom-ref"]
    refs = {root, *(one["bom-ref"] for one in whole["components"])}
    whole["dependencies"] = [
        {"ref": one["ref"], "dependsOn": [ref for ref in one.get("dependsOn", ()) if ref in refs]}
        for one in whole["dependencies"]
        if one["ref"] in refs
    ]
    assert normalized(whole["metadata"]["component"]["name"]) == NAME
    return json.dumps(whole, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).parent.mkdir(parents=True, exist_ok=True)
    Path(sys.argv[1]).write_text(sbom(), encoding="utf-8")
