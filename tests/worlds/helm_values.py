"""Sets of values with which the chart is rendered: one for each way to install it."""

from typing import Any

OFF = {"enabled": False}
POSTGRESQL = {"service": {"database": {"host": "db.example"}}}
TARGET = {"pool": "chat-70b", "apiVersion": "apps/v1", "kind": "Deployment", "name": "chat-70b", "namespace": "serving"}
LEADER_WORKER_SET = {
    "apiVersion": "leaderworkerset.x-k8s.io/v1",
    "kind": "LeaderWorkerSet",
    "podLabels": {"leaderworkerset.sigs.k8s.io/name": "chat-70b"},
}
DYNAMO = {
    "apiVersion": "nvidia.com/v1alpha1",
    "kind": "DynamoGraphDeploymentScalingAdapter",
    "name": "chat-70b-decode",
}
OIDC = {
    "enabled": True,
    "issuerUrl": "https://id.example/realms/sre",
    "emailDomains": ["example.com"],
    "writers": ["sre"],
}
INGRESS = {"enabled": True, "className": "nginx", "host": "slo.example.com", "tlsSecretName": "slo-tls"}

VALUES: dict[str, dict[str, Any]] = {
    "default": {},
    "postgresql": POSTGRESQL,
    "three services": {"service": {"replicas": 3, "database": {"host": "db", "sslmode": "verify-full"}}},
    "existing volume": {"service": {"sqlite": {"existingClaim": "ledger", "storageClassName": "ssd"}}},
    "engines on host network": {
        "exporter": {
            "discover": False,
            "engines": ["chat=http://$(NODE_IP):8000", "http://$(NODE_IP):8001"],
            "gpus": False,
        },
    },
    "GKE": {
        "exporter": {
            "runtimeClassName": "",
            "privileged": True,
            "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"},
            "extraEnv": [{"name": "LD_LIBRARY_PATH", "value": "/usr/local/nvidia/lib64"}],
            "extraVolumes": [{"name": "nvidia", "hostPath": {"path": "/home/kubernetes/bin/nvidia"}}],
            "extraVolumeMounts": [{"name": "nvidia", "mountPath": "/usr/local/nvidia", "readOnly": True}],
        }
    },
    "privileged": {"exporter": {"privileged": True, "priorityClassName": "system-node-critical", "stateHostPath": ""}},
    "least rights": {"exporter": {"hostPID": False, "podResources": False, "stateHostPath": ""}},
    "exporter alone": {"service": OFF, "monitoring": {"rules": False}, "grafana": {"dashboards": False}},
    "service alone": {"exporter": OFF, **POSTGRESQL},
    "no operator": {"monitoring": {"podMonitor": False, "serviceMonitor": False, "rules": False}},
    "login by token": {"ingress": {**INGRESS, "trustedProxies": ["10.0.0.0/16"]}},
    "login by OIDC": {"ingress": {**INGRESS, "oidc": OIDC}, "networkPolicy": {"enabled": True}, **POSTGRESQL},
    "KEDA": {"autoscaling": {"targets": [TARGET]}},
    "HPA": {"autoscaling": {"with": "hpa", "targets": [TARGET]}},
    "LeaderWorkerSet": {"autoscaling": {"targets": [TARGET | LEADER_WORKER_SET]}},
    "Dynamo": {"autoscaling": {"targets": [TARGET | DYNAMO]}},
    "routing": {
        "monitoring": {"alertmanagerConfig": {"enabled": True, "secretName": "paging", "labels": {"team": "sre"}}}
    },
    "receivers": {
        "service": {
            "url": "https://slo.example.com",
            "grafanaUrl": "https://grafana.example.com",
            "webhookUrl": "https://ops.example/plimsoll",
            "webhookTokenKey": "webhook-token",
            "review": {
                "receivers": ["email:capacity@ops.example", "slack", "https://ops.example/reviews"],
                "emailFrom": "slo@ops.example",
                "smtp": {"relay": "mail.example:587", "user": "plimsoll"},
                "tokenKey": "review-token",
            },
            "changeEvents": {
                "pagerdutyKey": "pagerduty-key",
                "url": "https://events.eu.pagerduty.com/v2/change/enqueue",
            },
        }
    },
    "own Grafana": {
        "grafana": {
            "namespace": "grafana",
            "dataSource": {"enabled": True, "url": "http://mimir/prometheus"},
            "folder": "LLM: SLOs",
        }
    },
    "everything": {
        "image": {"repository": "registry.example/plimsoll-slo", "tag": "abc", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "pull"}],
        "exporter": {
            "engines": ["http://$(NODE_IP):8000"],
            "extraArgs": ["--allowed-host=a"],
            "podAnnotations": {"a": "b"},
        },
        "service": {
            **POSTGRESQL["service"],
            "webhookUrl": "https://ops.example/plimsoll",
            "sourceConfigKey": "source.yaml",
            "nodeSelector": {"a": "b"},
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
            "podAnnotations": {"a": "b"},
        },
        "ingress": {**INGRESS, "oidc": OIDC, "annotations": {"a": "b"}},
        "monitoring": {"region": "eu-1", "labels": {"release": "monitor"}, "alertmanagerConfig": {"enabled": True}},
        "grafana": {"dataSource": {"enabled": True, "url": "http://prometheus:9090"}},
        "autoscaling": {"targets": [TARGET]},
        "networkPolicy": {"enabled": True},
    },
}
