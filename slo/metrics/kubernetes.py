"""Metrics of the pods that replicas run in."""

from plimsoll.slo.metrics.metric import Metric

# What every series of a replica has that was found in a pod, so that pools can be matched by it. The other labels are on REPLICA_POD alone.
POD_LABELS = ("namespace", "workload")
REPLICA_POD = Metric(
    "llm_replica_pod_info",
    "gauge",
    ("replica", "namespace", "pod", "container", "node", "workload", "workload_kind", "group"),
    "Kubernetes pod that the replica runs in, constant 1. Label workload is what owns the pod (of a Deployment, its name); group names the pods over several nodes that serve as one replica.",
)
MEMBER_UP = Metric(
    "llm_group_member_up",
    "gauge",
    ("namespace", "group", "member", "pod", "node"),
    "Whether a pod of a group that serves as one replica is ready (1) or not (0). Member 0 leads; each exporter reports those of its node.",
)
GROUP_SIZE = Metric("llm_group_size", "gauge", ("namespace", "group"), "Pods that a group needs to serve.")
