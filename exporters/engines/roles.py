"""Roles of disaggregated engines, and which of their numbers are about a user's request.

A request that crosses two engines is on both pages. It is counted where its last token is made, at decode. Prefill finishes its own
request after one token; decode's clocks start when prefill is done. So neither page has the user's time to first token or duration,
nor what a plugin evaluated by them: only a gateway sees these. What fails or is rejected at prefill never shows at decode, so it counts.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from plimsoll.exporters.collector import Point
from plimsoll.exporters.vllm.command_line import options
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric

ROLES = frozenset({"prefill", "decode"})
_WHOLE = frozenset({metrics.TTFT, metrics.DURATION, metrics.OBJECTIVE_REQUESTS, metrics.ADAPTER_REQUESTS})
# By role: metrics that aren't about users' requests there.
_NOT_OF_USERS: dict[str, frozenset[Metric]] = {
    "decode": _WHOLE,
    "prefill": _WHOLE
    | {
        *(metrics.ITL, metrics.TPOT, metrics.DECODE, metrics.PROMPT_LENGTH, metrics.GENERATION_LENGTH),
        *(metrics.PROMPT_TOKENS, metrics.GENERATION_TOKENS),
    },
}
_SERVED = ("stop", "length")
# vLLM's kv_role, of --kv-transfer-config; `kv_both` may be either.
_KV_ROLES = {"kv_producer": "prefill", "kv_consumer": "decode"}
# Labels whose value is the role, of llm-d (KServe sets it, too), Dynamo, lws' DisaggregatedSet, SGLang's RoleBasedGroup (now and
# before), and AIBrix. Other values than `prefill` and `decode` are no role of ours.
_ROLE_LABELS = (
    "llm-d.ai/role",
    "nvidia.com/dynamo-component-type",
    "nvidia.com/dynamo-sub-component-type",
    "disaggregatedset.x-k8s.io/role",
    "rbg.workloads.x-k8s.io/role-name",
    "rolebasedgroup.workloads.x-k8s.io/role",
    "role-name",
)
# KServe's, of llminferenceservice-workload-prefill, -leader-prefill and -worker-prefill. The others decode, or do both: unknown.
_COMPONENT, _KSERVE = "app.kubernetes.io/component", "llminferenceservice-"
# production-stack has no role, but its router selects by the label `model`, which its guides set to the role.
_STACK, _STACK_ROLE = "serving-engine", "model"


def of_users(points: Iterable[Point], role: str) -> Iterator[Point]:
    """Yield the points that are about users' requests or the engine itself. A prefill engine finishes none of the users': 0."""
    dropped = _NOT_OF_USERS.get(role, frozenset())
    for point in points:
        if point.metric in dropped:
            continue
        own = role == "prefill" and point.metric is metrics.FINISHED and point.labels.get("reason") in _SERVED
        yield point._replace(value=0.0) if own else point


def of_command(words: Sequence[str]) -> str:
    """Return the role that a server's command line gives it: vLLM's `kv_role`, SGLang's `--disaggregation-mode`; or an empty string."""
    for option, value in options(words):
        if option == "--disaggregation-mode" and value in ROLES:
            return value
        if option == "--kv-transfer-config.kv_role":
            return _KV_ROLES.get(value, "")
        if option == "--kv-transfer-config":
            with suppress(ValueError):
                found: Any = json.loads(value)
                return _KV_ROLES.get(str(found.get("kv_role")), "") if isinstance(found, dict) else ""
    return ""


def of_labels(labels: Mapping[str, str]) -> str:
    """Return the role that a pod's labels give it; empty where they name none."""
    found = [labels[name] for name in _ROLE_LABELS if name in labels]
    component = labels.get(_COMPONENT, "")
    if component.startswith(_KSERVE) and component.endswith("-prefill"):
        found.append("prefill")
    if component == _STACK:
        found.append(labels.get(_STACK_ROLE, ""))
    return next((one for one in found if one in ROLES), "")
