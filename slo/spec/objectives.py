"""The objectives file: pools and objectives, read and validated. No I/O beyond the text given.

Every error states the path of the bad field and what to write instead. The model is immutable.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any, Literal, get_args

import msgspec

from plimsoll.slo import strict_yaml
from plimsoll.slo.spec import pool_match
from plimsoll.slo.spec.cross_checks import check
from plimsoll.slo.spec.event import Event
from plimsoll.slo.spec.exclusion import Exclusion
from plimsoll.slo.spec.holidays import Holidays, Region, parsed
from plimsoll.slo.spec.indicator import Indicator
from plimsoll.slo.spec.names import ModelName, Name, ShortText, time_zone
from plimsoll.slo.spec.node_pricing import Node, Positive, Usd
from plimsoll.slo.units import Duration, Target, printable, shown

NotNegative = Annotated[int, msgspec.Meta(ge=0)]
BucketMismatch = Literal["unknown", "lower_bound", "bounds"]
GroupBy = Literal["tenant"]
CountAt = Literal["engine", "gateway"]
Weight = Annotated[float, msgspec.Meta(gt=0, le=1000)]
TenantName = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Kind = Literal["interactive", "batch", "embedding"]
_CHOICES = {
    "bucket_mismatch": get_args(BucketMismatch),
    "count_at": get_args(CountAt),
    "group_by": get_args(GroupBy),
    "kind": get_args(Kind),
    "version": ("plimsoll/v1",),
}
_HASHED_MISMATCH = {"unknown": "refuse", "lower_bound": "conservative", "bounds": "bracket"}
CALENDARS = ("week", "month", "quarter")


class SpecError(ValueError):
    """The objectives file is invalid; the message states the path of the field and the fix."""


class Window:
    """The time over which an objective is evaluated: rolling `seconds`, or a `calendar` period in `timezone`."""

    __slots__ = ("calendar", "seconds", "timezone")

    def __init__(self, seconds: Duration, calendar: str | None = None, timezone: str | None = None) -> None:
        self.seconds = seconds
        self.calendar = calendar
        self.timezone = timezone

    @classmethod
    def parse(cls, value: object) -> "Window":
        """Read `28d` or `{calendar: month, timezone: Europe/Berlin}`. A calendar window's seconds are nominal (30 d a month)."""
        if not isinstance(value, dict):
            return cls(Duration.parse(value))
        calendar, timezone = value.get("calendar"), value.get("timezone", "UTC")
        if set(value) - {"calendar", "timezone"} or calendar not in CALENDARS:
            raise ValueError(
                f"{shown(value)} isn't a window. Write 28d or {{calendar: {'|'.join(CALENDARS)}, timezone: UTC}}."
            )
        time_zone(timezone)
        nominal = {"week": "7d", "month": "30d", "quarter": "90d"}[calendar]
        return cls(Duration.parse(nominal), calendar, timezone)

    def __str__(self) -> str:
        return f"calendar {self.calendar} ({self.timezone})" if self.calendar else str(self.seconds)


class Nodes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Minimum and maximum nodes of a pool, and its warm spares beside them. A pool with a minimum of 0 scales to zero."""

    min: NotNegative
    max: Positive
    warm_spares: NotNegative = 0

    def __post_init__(self) -> None:
        if self.max < self.min:
            raise ValueError(f"max {self.max} is below min {self.min}. Raise max or lower min.")


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a cold and a warm node take until they serve, how long demand must stay low before a scale-in, and the lead time to
    get another node (bought or reserved), which is how far ahead demand is forecast (default: eight weeks, an assumption)."""

    cold_start: Duration
    warm_start: Duration
    scale_in_stabilization: Duration
    procurement_lead_time: Duration = Duration(8 * 7 * 86400)


# What stands in for the lines of a pool that aren't written. An unknown GPU without a price costs nothing that is shown. The
# times are those of the source documents (requirement R26).
UNKNOWN_NODE = Node("unknown", 1)
ANY_NODES = Nodes(1, 100)
USUAL_TIMING = Timing(Duration(150.0), Duration(5.0), Duration(300.0))


class Pool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The interchangeable replicas that serve one model: one scaling decision.

    `match` narrows them to those whose target labels (such as region), or pods' labels (namespace, workload), have the given
    value, or one of several.
    `kind` chooses its default alerts: for `batch`, whose answers no user waits for, a queue doesn't alert and only SLOs page;
    `embedding` generates no tokens, so it has no latency of tokens.
    `node`, `nodes` and `timing` have defaults, so that SLOs work without them; costs, and the size of the pool, need them.
    `max_kv_cache_usage` (default 85%): above it, sustained, requests are about to queue or to be preempted. Source: requirement
    R10 of the source documents.
    `owner` is the team whose on-call is paged (default: the common one).
    `max_usd_per_million_tokens` (input and output together): a higher cost of nodes raises a ticket.
    `adapters` are the names by which requests ask for its LoRA adapters: their tokens at gateways are the pool's.
    `batch_tenants` are tenants at gateways whose requests can wait: recommendations pause them before a node is added.
    `carbon_grams_per_kwh` is the carbon intensity of its electricity (CO2 equivalent), without which emissions are unknown.
    `holidays` (default: those of the file) are the days that forecasts treat like past holidays, or else like weekends.
    """

    name: Name
    model: ModelName
    node: Node = UNKNOWN_NODE
    nodes: Nodes = ANY_NODES
    timing: Timing = USUAL_TIMING
    max_waiting_per_node: Positive = 20
    max_kv_cache_usage: Target = Target(0.85)
    max_usd_per_million_tokens: Usd | None = None
    owner: Name | None = None
    match: pool_match.Match = pool_match.EVERYTHING
    kind: Kind = "interactive"
    adapters: tuple[ModelName, ...] = ()
    batch_tenants: tuple[TenantName, ...] = ()
    carbon_grams_per_kwh: Annotated[float, msgspec.Meta(ge=0, le=1e5)] | None = None
    holidays: Region | Holidays | None = None

    @property
    def labels(self) -> pool_match.Values:
        """The labels that select its series, and their values: its model, then its match."""
        return (("model", (self.model,)), *self.match.labels)

    def owns(self, labels: Mapping[str, str]) -> bool:
        """Whether a series of a replica or gateway with these labels is the pool's."""
        return pool_match.has(labels, self.labels)

    @property
    def unwritten(self) -> frozenset[str]:
        """The lines among `node`, `nodes` and `timing` that the file lacks, so that their defaults stand in."""
        defaults = {"node": UNKNOWN_NODE, "nodes": ANY_NODES, "timing": USUAL_TIMING}
        return frozenset(name for name, default in defaults.items() if getattr(self, name) is default)


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An SLO: the ratio (`target`) of a pool's requests that must be good, by `indicator`, over `window`.

    `count_at: gateway` counts the requests that gateways were sent, also those that no engine got; `engine` those of the engines.
    `group_by: tenant` also keeps an error budget per tenant, as gateways count them.
    `policy` is its error budget policy: what happens once the budget is exhausted, such as "Freeze releases." Alerts and pages show it.
    `weight` is its share in the combined figures of a pool, a team, and all SLOs, in reviews of periods; default: its number of requests, or 1 where
    another SLO that it is combined with has a weight.
    """

    id: Name
    pool: Name
    indicator: Indicator
    target: Target
    window: Window
    bucket_mismatch: BucketMismatch = "unknown"
    group_by: GroupBy | None = None
    policy: ShortText | None = None
    count_at: CountAt = "engine"
    weight: Weight | None = None

    @property
    def budget_ratio(self) -> float:
        """Share of requests that may be bad: 1 - target, rounded to drop binary noise (1 - 0.999 is not 0.001)."""
        return round(1 - self.target, 12)

    @property
    def has_bounds(self) -> bool:
        """Whether its good requests may be known only as an interval: a latency whose threshold need not be a bucket bound."""
        return self.bucket_mismatch == "bounds" and self.indicator.latency is not None

    @property
    def counts(self) -> str:
        """What it counts, in words: the part of its definition that isn't the target or the window."""
        mismatch = f", bucket_mismatch: {self.bucket_mismatch}" if self.indicator.latency else ""
        at = ", at gateways" if self.count_at == "gateway" else ""
        return f"{self.indicator}{mismatch}, pool {self.pool}{at}"

    @property
    def spec_hash(self) -> str:
        """Identity of what is counted and against which target: 12 hex digits that change when either does.

        Ledgers store it with each slot, so the fields and spellings hashed here are those of version 0.1 and must never change.
        """
        fields = {
            "id": self.id,
            "pool": self.pool,
            "indicator": str(self.indicator),
            "target": self.target,
            "window": str(self.window),
            "off_bucket": _HASHED_MISMATCH[self.bucket_mismatch],
        }
        if self.count_at != "engine":  # which 0.1 didn't have
            fields["count_at"] = self.count_at
        return sha256(msgspec.json.encode(fields, enc_hook=str)).hexdigest()[:12]


class Team(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A team that is shown its cost: the sum of its tenants, as gateways name them."""

    name: Name
    tenants: tuple[TenantName, ...]


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole objectives file. `proposed`: `plimsoll init` wrote it, and its thresholds are not checked yet. Pages show this."""

    version: Literal["plimsoll/v1"]
    pools: tuple[Pool, ...]
    objectives: tuple[Objective, ...]
    exclusions: tuple[Exclusion, ...] = ()
    proposed: bool = False
    teams: tuple[Team, ...] = ()
    holidays: Region | Holidays | None = None
    events: tuple[Event, ...] = ()

    def holidays_of(self, pool: Pool) -> Holidays | None:
        """Return a pool's holidays, by default those of the file; None where neither has any."""
        return parsed(pool.holidays or self.holidays)

    def pool(self, name: str) -> Pool:
        """Return the pool of that name; raises KeyError."""
        return {pool.name: pool for pool in self.pools}[name]

    def objective(self, name: str) -> Objective:
        """Return the objective of that id; raises KeyError."""
        return {objective.id: objective for objective in self.objectives}[name]


def load(text: str) -> Spec:
    """Read an objectives file's text; raises SpecError that names path and fix, InvalidYamlError that names the line."""
    data = strict_yaml.load(text)
    try:
        spec = msgspec.convert(data, Spec, dec_hook=_decode)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        path = path.rstrip("`").lstrip(".")
        choices = ", ".join(_CHOICES.get(path.rpartition(".")[2], ()))
        where = f"{path or 'top level'}: {message}{choices and f'. Use one of: {choices}.'}"
        raise SpecError(printable(where)) from error
    try:
        check(spec)
    except ValueError as error:
        raise SpecError(str(error)) from error
    return spec


def _decode(kind: Any, value: object) -> Any:
    return kind.parse(value)
