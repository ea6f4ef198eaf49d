"""Situations of a healthy fleet: none pages, the tickets named don't open, and the same situation pages where users are hurt.

Every generated rule is evaluated by the real promtool, on Prometheus 2.42 and 3.5.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import structs

from healthy_fleet import Fleet
from paths import OBJECTIVES
from plimsoll.alerts.build import render
from plimsoll.slo import metrics as c
from plimsoll.slo.spec.objectives import Spec, load
from promtool import Batch, case, is_value, only, run_batches, silent
from stack import versions

SPEC = load(OBJECTIVES.read_text())
POOL = SPEC.pools[0]
TO_ZERO = structs.replace(SPEC, pools=(structs.replace(POOL, nodes=structs.replace(POOL.nodes, min=0, warm_spares=0)),))
Situation = Callable[[], Fleet]
GPU = {"GPULost", "GPURecoveryRequired", "GPUXIDError", "GPUMemoryUnrepairable"}  # no GPU is in these situations
RULE_FAILURES, NOTIFIED = "prometheus_rule_evaluation_failures_total", "alertmanager_notifications_total"


def rules(spec: Spec = SPEC, names: set[str] | None = None) -> str:
    """The rules with these names, by default all that can page and what they read: promtool evaluates every rule in every case."""
    files = render(spec)
    text = "groups:\n" + "".join(
        files[f"{name}.rules.yml"].partition("groups:\n")[2] for name in ("objectives", "health")
    )
    return only(text, names or _paging(text))


def _paging(text: str) -> set[str]:
    found = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    alerts = {rule["alert"] for rule in found if rule.get("labels", {}).get("severity") == "page"} - GPU
    tickets = {name for _, never, due in QUIET.values() for name in (*never, *due)}
    read = {
        rule["record"] for rule in found if "record" in rule and not re.search(r"_(1|3|7|14)d$|_2h$", rule["record"])
    }
    return alerts | tickets | read


def one_of_eight_dead() -> Fleet:
    fleet = Fleet(8, 150)
    fleet.vanish(8, 60, but=("up", str(c.COLLECTOR_SUCCESS), str(c.REPLICA_UP)))
    fleet.set("1x59 0x91", c.REPLICA_UP, instance="n8:9800")
    return fleet


def node_reboots() -> Fleet:
    fleet = Fleet(3, 150)
    fleet.vanish(2, 60, but=("up",), until=72)
    fleet.set("1x59 0x12 1x80", "up", instance="n2:9800")
    return fleet


def spot_node_lost() -> Fleet:
    fleet = Fleet(3, 150)
    fleet.vanish(2, 60)
    return fleet


def old_side_stopped() -> Fleet:
    fleet = Fleet(4, 150)
    for number in (3, 4):
        fleet.vanish(number, 60, but=("up", str(c.COLLECTOR_SUCCESS), str(c.REPLICA_UP)))
        fleet.set("1x59 0x91", c.REPLICA_UP, instance=f"n{number}:9800")
        fleet.set("1x59 0x91", c.COLLECTOR_SUCCESS, instance=f"n{number}:9800")
    return fleet


def full_cache() -> Fleet:
    fleet = Fleet(2, 90)
    fleet.set(fleet.flat(0.92), c.KV_CACHE_USAGE)
    fleet.set(fleet.flat(2), c.REQUESTS_WAITING)
    return fleet


def batch_queue() -> Fleet:
    fleet = full_cache()
    fleet.set(fleet.flat(500), c.REQUESTS_WAITING)
    return fleet


def long_prefill() -> Fleet:
    fleet = Fleet(2, 90)
    fleet.add(3, per_minute=0)
    fleet.set("0x59 1x5 0x30", c.REQUESTS_RUNNING, instance="n3:9800")
    fleet.set("0x64 1000000x30", c.PROMPT_TOKENS, instance="n3:9800")
    fleet.set("0x64 1000000x30", c.PROGRESS_TOKENS, instance="n3:9800")
    return fleet


def scaled_to_zero() -> Fleet:
    fleet = Fleet(2, 150)
    for number in (1, 2):
        fleet.vanish(number, 60)
    return fleet


def another_teams_rules_fail_once() -> Fleet:
    fleet = Fleet(2, 120)
    fleet.given[f'{RULE_FAILURES}{{instance="p:9090",rule_group="/etc/rules/theirs.yml;theirs"}}'] = "0x59 1x60"
    fleet.given[f'{RULE_FAILURES}{{instance="p:9090",rule_group="/etc/rules/h.yml;plimsoll-pools"}}'] = "0x59 1x60"
    return fleet


def one_slack_message_failed() -> Fleet:
    fleet, own = Fleet(2, 120), '{instance="a:9093",integration="slack"}'
    fleet.given |= {f"{NOTIFIED}{own}": "0+0.1x120", f"alertmanager_notifications_failed_total{own}": "0x59 1x60"}
    return fleet


def light_replica_joins() -> Fleet:
    fleet = Fleet(0, 150)
    for number in (1, 2, 3):
        fleet.add(number, tpot="0.05")
    fleet.add(4, per_minute=4, begin=60, tpot="0.01")
    return fleet


def one_of_two_is_light() -> Fleet:
    fleet = Fleet(0, 90)
    fleet.add(1, tpot="0.05")
    fleet.add(2, per_minute=4, tpot="0.01")
    return fleet


def night_at_minimum_size() -> Fleet:
    """Two nodes, and the spare."""
    fleet = Fleet(3, 1080, per_minute=400)
    for metric in (c.PROMPT_TOKENS, c.GENERATION_TOKENS):
        fleet.set("0+80000x360 28800000+8000x720", metric)
    return fleet


def burst_with_slow_first_tokens() -> Fleet:
    """Five minutes in which a fifth of the first tokens are late."""
    fleet = Fleet(2, 90)
    for le in ("0.25", "0.5", "0.6"):
        fleet.set("0+60x40 2448+48x4 2700+60x43", c.TTFT.bucket, le=le)
    return fleet


def rolling_restart() -> Fleet:
    fleet = Fleet(2, 500)
    fleet.set("0+60000x400 0+60000x99", c.PREFIX_QUERIED)
    fleet.set("0+36000x400 0+6000x20 120000+36000x78", c.PREFIX_HIT)
    return fleet


def spare_that_is_probed() -> Fleet:
    fleet = Fleet(2, 90)
    fleet.add(3, per_minute=6)
    for metric in (c.PROMPT_TOKENS, c.GENERATION_TOKENS):
        fleet.set("0+60x90", metric, instance="n3:9800")
    return fleet


# The situation, the tickets that must not open, and those that should.
QUIET: dict[str, tuple[Situation, tuple[str, ...], tuple[str, ...]]] = {
    "one of eight replicas dead": (one_of_eight_dead, (), ("LLMReplicaDown",)),
    "a node reboots for 12 minutes": (node_reboots, (), ("PlimsollExporterDown",)),
    "a spot node is lost": (spot_node_lost, (), ()),
    "the old side of blue/green stopped on purpose": (old_side_stopped, (), ()),
    "KV cache at 92% while all first tokens are in time": (full_cache, (), ("LLMKVCacheUsageHigh",)),
    "500 requests queued, and all first tokens in time": (batch_queue, (), ("LLMQueueDepthHigh",)),
    "one long prefill on an idle replica": (long_prefill, ("LLMReplicaStalled",), ()),
    "another team's rules fail, and ours fail once": (another_teams_rules_fail_once, ("PrometheusRuleFailures",), ()),
    "one failed Slack message": (one_slack_message_failed, ("AlertmanagerFailedToSendAlerts",), ()),
    "a light replica joins three": (light_replica_joins, ("LLMReplicaSlow",), ()),
    "one replica of two is light": (one_of_two_is_light, ("LLMReplicaSlow",), ()),
    "a night at the pool's minimum": (night_at_minimum_size, ("LLMTokenCostHigh",), ()),
    "a burst with slow first tokens": (burst_with_slow_first_tokens, ("SLOLatencyNearThreshold",), ()),
    "a rolling restart": (rolling_restart, ("LLMPrefixCacheHitRatioDropped",), ()),
    "a spare that probes query": (spare_that_is_probed, ("LLMWarmSpareMissing",), ()),
}

pytestmark = pytest.mark.prometheus


def quiet(name: str, fleet: Fleet, never: tuple[str, ...] = (), due: tuple[str, ...] = ()) -> dict[str, Any]:
    """No page and none of the tickets `never` at any minute in five; each of `due` at one."""
    every = range(15, fleet.minutes, 5)
    spans = f"[{fleet.minutes}m:1m]"
    tickets = (
        f'count(max_over_time(ALERTS{{alertname="{one}",alertstate="firing"}}{spans}) > 0) > bool 0' for one in due
    )
    return case(
        name,
        fleet.series,
        *(silent(minute, severity="page") for minute in every),
        *(silent(minute, alertname=ticket) for minute in every for ticket in never),
        *(is_value(ticket, fleet.minutes, 1) for ticket in tickets),
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("promtool", versions("promtool"))
def test_no_situation_of_a_healthy_fleet_pages(promtool: str, tmp_path: Path) -> None:
    """Long ones only with the rule that they are about."""
    short, batches = [], [Batch(rules(TO_ZERO), [quiet("scaled to zero", scaled_to_zero())])]
    for name, (make, never, due) in QUIET.items():
        fleet = make()
        if fleet.minutes <= 150:
            short.append(quiet(name, fleet, never, due))
        else:
            batches.append(Batch(rules(names={*never}), [quiet(name, fleet, never, due)], "5m"))
    run_batches(tmp_path, [Batch(rules(), short), *batches], [promtool])
