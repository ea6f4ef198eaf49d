"""Print a patch that lets an engine's pod finish its requests before it stops.

The pod is given as long as the longest request took since the engines started, and waits only while requests are left. Apply the patch with
`kubectl patch deployment NAME --patch-file FILE`. With --deletion-costs, print instead the commands that let Kubernetes remove
the pods with the coldest prefix caches first.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from math import ceil, isinf
from shlex import quote
from typing import Any

import yaml

from plimsoll.compose.engine_tokens import add_tokens
from plimsoll.compose.inputs import UserError
from plimsoll.compose.live import starting
from plimsoll.compose.live.service_client import add_service, read
from plimsoll.compose.sources import add_source_config, read_source
from plimsoll.slo.calendar import DAY
from plimsoll.slo.metrics import DURATION, REPLICA_START
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.usage.longest import longest_request

EXTRA = "service"
ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
UNROUTED = 10  # seconds until gateways and kube-proxy no longer send requests to a pod that is terminating
STOPPING = 30  # seconds that Kubernetes gives a process by default, and so the engine after its last request
# Python, because an image of vLLM has it and may lack curl. A page that doesn't respond ends the wait: the engine has stopped.
WAIT = (
    "import re, time, urllib.request\n"
    f"time.sleep({UNROUTED})\n"
    "def left():\n"
    "    page = urllib.request.urlopen('http://127.0.0.1:PORT/metrics', timeout=5).read().decode()\n"
    "    return sum(map(float, re.findall(r'^vllm:num_requests_(?:running|waiting)(?:{.*})? (\\S+)', page, re.M)))\n"
    "while left():\n"
    "    time.sleep(1)\n"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--engine", action="append", metavar="[NAME=]URL", help="engine of the pool. Repeatable.")
    where.add_argument("--source", metavar="SOURCE", help="prometheus:URL, or scrape:URL[,URL...] of exporters")
    where.add_argument("--seconds", type=float, help="length of the longest request, where nothing can be read")
    where.add_argument(
        "--deletion-costs",
        metavar="POOL",
        help="print a `kubectl annotate` for each pod of this pool, by the warmth of its prefix cache, as the SLO service has it",
    )
    add_service(parser)
    parser.add_argument("--model", help="model of the pool, where the source has several")
    parser.add_argument("--container", default="vllm", help="the engine's container (default: vllm)")
    parser.add_argument("--port", type=int, default=8000, help="the engine's port in the pod (default: 8000)")
    add_tokens(parser)
    add_source_config(parser)


def run(args: argparse.Namespace) -> int:
    """Print the patch; raises UserError."""
    if args.deletion_costs is not None:
        print("\n".join(annotations(read(args, "pools", args.deletion_costs, "deletion-costs")["replicas"])))
        return 0
    longest = _longest(args) if args.seconds is None else args.seconds
    if not 0 < longest <= DAY:
        raise UserError(
            f"--seconds {longest:g}: isn't above 0 and at most {DAY:.0f}. Give the length of the longest request."
        )
    grace = UNROUTED + ceil(longest) + STOPPING
    print(
        f"# Requests of up to {longest:g} s, {UNROUTED} s until none is routed here, {STOPPING} s for the engine to stop."
    )
    print(yaml.safe_dump(patch(args.container, args.port, grace), sort_keys=False, width=200), end="")
    return 0


def annotations(replicas: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a command for each pod, and a comment where there is none. Where warmth isn't known, an earlier value is removed."""
    for one in replicas:
        cost = one["deletion_cost"]
        if cost is None:
            yield f"# {one['replica']}: what its prefix cache held in the last 15 min isn't known, so it has no value. Kubernetes takes that for 0."
        if one["pod"] is None:
            yield f"# {one['replica']}: its pod isn't known. Set {ANNOTATION} by hand{'' if cost is None else f' to {cost}'}."
            continue
        target = f"kubectl annotate --overwrite -n {quote(one['namespace'])} pod {quote(one['pod'])}"
        yield f"{target} {ANNOTATION}{'-' if cost is None else f'={cost}'}"


def patch(container: str, port: int, grace: int) -> dict[str, object]:
    """Return a strategic merge patch of a Deployment or StatefulSet: the pod has `grace` seconds, and stops once its requests are finished."""
    wait = {"exec": {"command": ["python3", "-c", WAIT.replace("PORT", str(port))]}}
    containers = [{"name": container, "lifecycle": {"preStop": wait}}]
    return {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": grace, "containers": containers}}}}


def _longest(args: argparse.Namespace) -> float:
    series = [one for one in _series(args) if args.model in (None, one.labels.get("model"))]
    models = sorted({one.labels["model"] for one in series if "model" in one.labels})
    if len(models) > 1:
        raise UserError(f"--model: several models are live: {', '.join(models)}. Name one.")
    longest = longest_request(series)
    if longest is None:
        raise UserError("no finished request is counted. Send requests first, or give their length with --seconds.")
    if isinf(longest):
        raise UserError("a request was longer than the last bucket of the histogram. Give its length with --seconds.")
    return longest


def _series(args: argparse.Namespace) -> list[Series]:
    if args.engine:
        return starting.from_engines(args.engine, args.engine_token)
    wanted = [Selector(name, ()) for name in (REPLICA_START.name, DURATION.bucket)]
    return starting.from_source(read_source(args.source, args.source_config), wanted)
