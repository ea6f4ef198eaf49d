"""Engines among the pods of this node, from the Kubernetes API: by the labels that serving stacks set, or by a GPU and a usual port.

It needs `get` and `list` of pods, and the node's name in NODE_NAME (the downward API). A pod that is being deleted left on purpose. One
whose container crashes stays, and is down.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from plimsoll.exporters.discovery import DiscoveryError, Target
from plimsoll.exporters.discovery.api import get_json
from plimsoll.exporters.discovery.processes import USUAL_PORTS
from plimsoll.exporters.engines.roles import of_labels
from plimsoll.exporters.kubernetes.groups import GroupMembers
from plimsoll.exporters.kubernetes.identity import has_gpu, identity_of

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Stack(NamedTuple):
    """A serving stack: the label (and value; empty: any) of its engines' pods, and the ports of their metrics, the best first."""

    label: str
    value: str
    ports: tuple[int, ...]


# llm-d's decode pods have a routing sidecar on 8000, and vLLM on 8200. Dynamo's workers have their metrics on the system port.
STACKS = (
    Stack("llm-d.ai/inference-serving", "true", (8200, 8000)),
    Stack("llm-d.ai/model", "", (8200, 8000)),
    Stack("kserve.io/component", "workload", (8001, 8000)),
    Stack("serving.kserve.io/inferenceservice", "", (8080, 8000)),
    Stack("app.kubernetes.io/component", "serving-engine", (8000,)),
    Stack("nvidia.com/metrics-enabled", "true", (9090,)),
    Stack("leaderworkerset.sigs.k8s.io/name", "", (8000, 30000)),
)
WORKER = "leaderworkerset.sigs.k8s.io/worker-index"  # 0: the leader, which serves


class KubernetesDiscovery:
    """Lists the pods of one node."""

    name = "kubernetes"

    def __init__(self, environ: Mapping[str, str] = os.environ, account: Path = ACCOUNT, root: str = "") -> None:
        """`root` is the API's address (default: that of the cluster, from the environment)."""
        host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
        shown = f"[{host}]" if ":" in host else host
        self._root = root or (f"https://{shown}:{port}" if host else "")
        self._node, self._account = environ.get("NODE_NAME", ""), account
        self.groups = GroupMembers()

    def find(self) -> list[Target]:
        """Return the pods that serve, or may serve; raises DiscoveryError."""
        try:
            pods = self._pods()
            self.groups.see(pods)
            return [target for pod in pods for target in _targets(pod)]
        except DiscoveryError as error:
            self.groups.failed(str(error))
            raise
        except (KeyError, TypeError, AttributeError) as error:
            why = f"{self._root}: not a list of pods ({type(error).__name__}: {error})."
            self.groups.failed(why)
            raise DiscoveryError(why) from error

    def _pods(self) -> list[Mapping[str, Any]]:
        """Return the running pods of this node."""
        if not self._root or not self._node:
            raise DiscoveryError(
                "--discover kubernetes: KUBERNETES_SERVICE_HOST or NODE_NAME isn't set. Run it in a pod, with spec.nodeName as NODE_NAME."
            )
        try:
            token = (self._account / "token").read_text().strip()
        except OSError as error:
            raise DiscoveryError(
                f"{self._account}/token: {error.strerror}. Set automountServiceAccountToken: true."
            ) from error
        query = urlencode({"fieldSelector": f"spec.nodeName={self._node},status.phase=Running"})
        answer = get_json(
            self._root, f"/api/v1/pods?{query}", {"Authorization": f"Bearer {token}"}, self._account / "ca.crt"
        )
        pods: list[Mapping[str, Any]] = answer["items"]
        return pods


def _targets(pod: Mapping[str, Any]) -> Iterator[Target]:
    about, address = pod["metadata"], pod.get("status", {}).get("podIP", "")
    labels = about.get("labels") or {}
    if not address or about.get("deletionTimestamp") or labels.get(WORKER, "0") != "0":
        return
    containers = pod["spec"]["containers"]
    declared = [one["containerPort"] for container in containers for one in container.get("ports") or ()]
    port = _port(labels, about.get("annotations") or {}, declared, any(map(has_gpu, containers)))
    if port:
        host = f"[{address}]" if ":" in address else address
        name = f"{about['name']}.{about['namespace']}"
        yield Target(f"http://{host}:{port}", name, certain=False, pod=identity_of(pod, port), role=of_labels(labels))


def _port(labels: Mapping[str, str], annotations: Mapping[str, str], declared: list[int], gpu: bool) -> int | None:
    stack = next((one for one in STACKS if one.label in labels and one.value in ("", labels[one.label])), None)
    annotated = annotations.get("prometheus.io/port", "")
    if stack is not None:
        given = int(annotated) if annotated.isdecimal() else None
        return given or next((port for port in stack.ports if port in declared), stack.ports[0])
    return next((port for port in declared if port in USUAL_PORTS), None) if gpu else None
