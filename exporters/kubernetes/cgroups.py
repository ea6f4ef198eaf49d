"""The container of a process, from /proc: its cgroup names the pod or container, its mounts the container's name."""

import re
from contextlib import suppress
from pathlib import Path

from plimsoll.exporters.kubernetes.kubelet import Container

PROC = Path("/proc")
# kubepods-burstable-pod0a1b_..._9f.slice (systemd, with underscores) or /kubepods/burstable/pod0a1b-...-9f (cgroupfs)
_POD = re.compile(r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})")
_CONTAINER_ID = re.compile(r"([0-9a-f]{64})(?:\.scope)?\s*$", re.MULTILINE)
# The kubelet mounts a file of its own into each container, below the container's name.
_NAME = re.compile(r"/pods/[0-9a-f-]{36}/containers/([^/ ]+)/")
_NAMESPACE = "var/run/secrets/kubernetes.io/serviceaccount/namespace"


def container_of(pid: int, proc: Path = PROC) -> Container | None:
    """Return the container of a process; None if it runs in none, or isn't visible from here.

    A pod's name is the host name of its containers, and its namespace that of the mounted service account; both are empty where
    the process's files aren't readable. Outside Kubernetes the name is the container's short ID.
    """
    place = proc / str(pid)
    cgroup = _text(place / "cgroup")
    pod, identity = _POD.search(cgroup), _CONTAINER_ID.search(cgroup)
    if pod is None:
        return Container("", "", identity[1][:12]) if identity else None
    name = _NAME.search(_text(place / "mountinfo"))
    host = _text(place / "root" / "etc" / "hostname").strip()
    namespace = _text(place / "root" / _NAMESPACE).strip()
    return Container(namespace, host or pod[1].replace("_", "-"), name[1] if name else "")


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(errors="replace")
    return ""
