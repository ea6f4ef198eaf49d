"""Standard terms for columns, kinds of evidence and the keys of stored JSON. No number changes, and nothing stored is lost.

Audit rows keep their JSON as it was written: the database itself rejects every change to them. Calibrations have no retired key.
"""

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

COLUMNS = {
    "slots": {"unclear": "indeterminate"},
    "rollups": {"unclear": "indeterminate"},
    "pool_slots": {
        "refused": "rejected",
        "prompt_tokens": "input_tokens",
        "generation_tokens": "output_tokens",
        "gone": "replica_disruptions",
        "queue_max": "waiting_max",
        "queue_mean": "waiting_mean",
        "kv_max": "kv_cache_usage_max",
        "kv_mean": "kv_cache_usage_mean",
    },
    "pool_progress": {"booked_until": "recorded_until"},
    "progress": {"booked_until": "recorded_until"},
    "exclusions": {"who": "created_by", "why": "reason", "withdrawn_at": "canceled_at"},
    "audit": {"who": "actor", "why": "reason"},
    "reviews": {"made_at": "generated_at"},
    "calibrations": {"looked_at": "last_attempt_at"},
}
# Parts of slots.source, which are joined by `+`.
SOURCES = {
    "request": "per_request",
    "bucket": "exact_bucket",
    "bucket-below": "lower_bound",
    "bucket-between": "bounds",
    "corrected": "manual",
}
# Columns of JSON: table -> (primary key, JSON column, what its top level is, by the names below).
BODIES = {
    "recommendations": (("pool", "at"), "body", "recommendation"),
    "reviews": (("week",), "body", "review"),
}
# New names of an object's keys. A key that is missing here keeps its name.
KEYS: dict[str, dict[str, str]] = {
    "recommendation": {"expected": "expected_attainment"},
    "expected": {
        "promised": "target",
        "now": "current_nodes",
        "recommended": "recommended_nodes",
        "by": "method",
        "seconds": "lookback_seconds",
        "why": "unavailable_reason",
    },
    "alternative": {"asked_by": "required_by", "why": "reason"},
    "cost": {"usd_per_hour_now": "usd_per_hour_current"},
    "evidence": {
        "kv_observed_seconds": "kv_cache_observed_seconds",
        "kv_cache_usage_limit": "max_kv_cache_usage",
        "queue_per_node_limit": "max_waiting_per_node",
        "replicas_seen": "replicas_reporting",
        "replicas_unseen": "replicas_not_reporting",
        "capacity_tokens_per_second_per_replica": "saturation_tokens_per_second_new_replica",
        "replica_tokens_per_second": "saturation_tokens_per_second_by_replica",
        "replica_capacity_from": "saturation_source_by_replica",
        "serving_tokens_per_second": "saturation_tokens_per_second_total",
        "capacity_measured_seconds": "saturation_observed_seconds",
        "arriving_tokens_per_second": "demand_tokens_per_second",
        "budgets_spent": "exhausted_slos",
        "planned_share_of_capacity": "planning_utilization",
        "nodes_to_drain": "nodes_to_clear_backlog",
        "nodes_to_keep_objective": "nodes_to_meet_slo",
        "late_share_by_nodes": "slo_miss_ratio_by_nodes",
        "simulated_requests_of": "simulated_requests_total",
        "step_times": "step_time_model",
        "mix": "spot_mix",
    },
    "mix": {"needed_without_spot": "min_on_demand_nodes"},
    "review": {
        "objectives": "slos",
        "made_at": "generated_at",
        "differences": "changes",
        "changed": "revisions",
    },
    "objective": {
        "unclear": "indeterminate",
        "good_ratio_at_best": "good_ratio_upper_bound",
        "budget_spent": "budget_consumed",
        "budget_spent_at_best": "budget_consumed_lower_bound",
        "spent_on": "bad_by_cause",
        "before": "previous",
    },
    "causes": {"queue": "queueing", "unknown": "no_data", "unclear": "indeterminate"},
    "difference": {"before": "previous", "after": "current", "who": "actor", "why": "reason"},
    "change": {"what": "path", "kept": "saved", "now": "current"},
    "pool": {
        "before": "previous",
        "capacity": "capacity_tokens_per_second",
        "n_minus_1": "survives_node_loss",
        "n_minus_1_before": "survives_node_loss_previous",
        "replica_capacity": "saturation_tokens_per_second_per_replica",
        "replica_capacity_before": "saturation_tokens_per_second_per_replica_previous",
        "utilisation": "utilization",
        "usd_per_million_full": "usd_per_million_tokens_at_full_utilization",
        "apis": "api_comparison",
        "last": "last_recommended_at",
        "actions": "action_counts",
        "recommended_nodes_before": "recommended_nodes_previous",
    },
    "week": {
        "prompt_tokens": "input_tokens",
        "generation_tokens": "output_tokens",
        "refused": "rejected",
        "gone": "replica_disruptions",
        "peak": "peak_tokens_per_second",
        "p95": "p95_tokens_per_second",
        "queue_max": "waiting_max",
        "kv_max": "kv_cache_usage_max",
        "usd_per_million_prompt_tokens": "usd_per_million_input_tokens",
        "usd_per_million_generated_tokens": "usd_per_million_output_tokens",
    },
    "api": {"break_even_utilisation": "break_even_utilization"},
    "actions": {"add": "scale_out", "release": "scale_in"},
    "forecast": {
        "since": "data_through_week",
        "unknown": "unavailable_reason",
        "breaks_in": "likely_breach_week",
        "may_break_in": "possible_breach_week",
        "ceiling_tokens_per_second": "max_capacity_tokens_per_second",
        "scale": "transform",
        "known_hours": "observed_hours",
        "unknown_hours": "missing_hours",
    },
    "week_ahead": {"breaks": "breach_probability"},
    "band": {"low": "lower", "middle": "median", "high": "upper"},
    "backtest": {
        "error": "wape",
        "naive_error": "seasonal_naive_error",
        "peak_error": "peak_median_relative_error",
        "within_band": "interval_coverage",
    },
}
# What the value of a key is, by the old names of both: an object, a list of such objects, or (api) an object of such objects.
WITHIN: dict[str, dict[str, str]] = {
    "recommendation": {"expected": "expected", "alternatives": "alternative", "cost": "cost", "evidence": "evidence"},
    "evidence": {"mix": "mix"},
    "review": {"objectives": "objective", "pools": "pool", "differences": "difference", "changed": "change"},
    "objective": {"before": "objective", "spent_on": "causes"},
    "pool": {"week": "week", "before": "week", "forecast": "forecast", "actions": "actions", "apis": "apis"},
    "forecast": {"weeks": "week_ahead", "backtest": "backtest"},
    "week_ahead": {"p95": "band", "peak": "band", "nodes": "band"},
}
# New values of a key, or of each item of its list.
RULES = {"objective": "slo", "maximum": "max_nodes", "minimum": "min_nodes"}
VALUES: dict[tuple[str, str], dict[str, str]] = {
    ("recommendation", "action"): KEYS["actions"],
    ("recommendation", "rule"): RULES,
    ("alternative", "asked_by"): RULES,
    ("expected", "by"): {"queue replay": "queue_replay"},
    ("difference", "kind"): {
        "kept": "slo_met",
        "n_minus_1": "survives_node_loss",
        "replica_capacity": "saturation_tokens_per_second_per_replica",
    },
}
ORIGINS = {
    "measured while it was full": "measured",
    "measured earlier, scaled by those measured again": "measured_earlier",
    "never full for a minute: median of the measured": "pool_median",
    "replicas are alike: the pool's": "pool_common",
}


def renamed(value: Any, name: str) -> Any:
    """Return a JSON value with new keys and values throughout; `name` is what it is, by KEYS."""
    if isinstance(value, list):
        return [renamed(item, name) for item in value]
    if not isinstance(value, dict):
        return value
    if name == "apis":
        return {api: renamed(item, "api") for api, item in value.items()}
    return {KEYS.get(name, {}).get(key, key): _value(name, key, item) for key, item in value.items()}


def _value(name: str, key: str, item: Any) -> Any:
    if key in WITHIN.get(name, {}):
        return renamed(item, WITHIN[name][key])
    if (name, key) == ("evidence", "replica_capacity_from"):
        return {replica: ORIGINS.get(origin, origin) for replica, origin in item.items()}
    new: Mapping[str, str] = VALUES.get((name, key), {})
    return [new.get(one, one) for one in item] if isinstance(item, list) else new.get(item, item) if new else item


def upgrade() -> None:
    """Rename columns in place, which neither database does by writing rows again, then rewrite what is text."""
    for table, names in COLUMNS.items():
        for old, new in names.items():
            op.alter_column(table, old, new_column_name=new)
    _rewrite_sources()
    for table, (key, column, name) in BODIES.items():
        _rewrite_bodies(table, key, column, name)


def _rewrite_sources() -> None:
    slots, connection = sa.table("slots", sa.column("source")), op.get_bind()
    for source in connection.execute(sa.select(slots.c.source).distinct()).scalars().all():
        new = "+".join(sorted(SOURCES.get(part, part) for part in source.split("+")))
        if new != source:
            connection.execute(slots.update().where(slots.c.source == source).values(source=new))


def _rewrite_bodies(table: str, key: tuple[str, ...], column: str, name: str) -> None:
    stored, connection = sa.table(table, *(sa.column(each) for each in (*key, column))), op.get_bind()
    for row in connection.execute(sa.select(stored).where(stored.c[column].is_not(None))).mappings().all():
        body = json.dumps(renamed(json.loads(row[column]), name))
        same = sa.and_(*(stored.c[each] == row[each] for each in key))
        connection.execute(stored.update().where(same).values({column: body}))
