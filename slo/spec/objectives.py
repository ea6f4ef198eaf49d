"""The objectives file: pools and objectives, read and validated. No I/O beyond the text given.

Every error names the path of the bad field and what to write instead. The model is immutable.
"""

from collections import Counter
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import yaml

from plimsoll.slo.spec.node_pricing import Node, Positive, Usd
from plimsoll.slo.units import Duration, Target

# A DNS label: it becomes a label value, a part of a URL and of a rule's name.
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
Said = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
BucketMismatch = Literal["unknown", "lower_bound", "bounds"]
_CHOICES = {"bucket_mismatch": get_args(BucketMismatch), "version": ("plimsoll/v1",)}
LATENCIES = ("time_to_first_token", "time_per_output_token", "request_duration")
LIMITS = {"ttft": "time_to_first_token", "tpot": "time_per_output_token", "e2e": "request_duration"}
CALENDARS = ("week", "month", "quarter")


class SpecError(ValueError):
    """The objectives file is wrong; the message names the path of the field and the fix."""


class Indicator:
    """What makes a request good. `kind` is a latency, `availability` or `goodput`; `limits` maps latencies to seconds.

    A plain class (like Window), so that msgspec hands the file's short form to `parse` and keeps the path for errors.
    """

    __slots__ = ("kind", "limits")

    def __init__(self, kind: str, limits: dict[str, Duration]) -> None:
        self.kind = kind
        self.limits = limits

    def __str__(self) -> str:
        limits = " and ".join(f"{name} <= {limit}" for name, limit in self.limits.items())
        return limits if self.kind in self.limits else ": ".join(filter(None, (self.kind, limits)))

    @classmethod
    def parse(cls, value: object) -> "Indicator":
        """Read `availability`, `{time_to_first_token: 600ms}` or `{goodput: {ttft: 600ms, tpot: 40ms, e2e: 4s}}`."""
        if value == "availability":
            return cls("availability", {})
        if isinstance(value, dict) and len(value) == 1:
            kind, limit = next(iter(value.items()))
            if kind in LATENCIES:
                return cls(kind, {kind: Duration.parse(limit)})
            if kind == "goodput" and isinstance(limit, dict) and limit and set(limit) <= set(LIMITS):
                return cls(kind, {LIMITS[key]: Duration.parse(limit[key]) for key in LIMITS if key in limit})
        raise ValueError(
            f"{value!r} is not an indicator; write availability, {{{'|'.join(LATENCIES)}: LIMIT}} "
            f"or {{goodput: {{{'|'.join(LIMITS)}: LIMIT, ...}}}}"
        )


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
                f"{value!r} is not a window; write 28d or {{calendar: {'|'.join(CALENDARS)}, timezone: UTC}}"
            )
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
            raise ValueError(
                f"{timezone!r} is not an IANA time zone; write UTC or a name such as Europe/Berlin"
            ) from error
        nominal = {"week": "7d", "month": "30d", "quarter": "90d"}[calendar]
        return cls(Duration.parse(nominal), calendar, timezone)

    def __str__(self) -> str:
        return f"calendar {self.calendar} ({self.timezone})" if self.calendar else str(self.seconds)


class Nodes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many nodes a pool may have, and how many more stand by warm."""

    min: Positive
    max: Positive
    warm_spares: NotNegative = 0

    def __post_init__(self) -> None:
        if self.max < self.min:
            raise ValueError(f"max {self.max} is below min {self.min}; raise max or lower min")


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a cold and a warm node take until they serve, how long demand must stay low before a release, and how long it takes
    to get a node that nobody has yet (bought, or reserved): as far ahead demand is forecast. Eight weeks if not said, an assumption."""

    cold_start: Duration
    warm_start: Duration
    scale_in_stabilization: Duration
    procurement_lead_time: Duration = Duration(8 * 7 * 86400)


class Pool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The interchangeable replicas that serve one model: one scaling decision.

    `max_kv_cache_usage` (default 85 %): sustained use of the KV cache above it means that requests are about to queue or to
    be preempted. Source: requirement R10 of the source documents, which call it the north-star gauge.
    `owner` is the team whose on-call is paged for it (none: the common one).
    `max_usd_per_million_tokens` (prompt and generated together) is what they may cost in nodes; above it a ticket is raised.
    """

    name: Name
    model: Annotated[str, msgspec.Meta(min_length=1)]
    node: Node
    nodes: Nodes
    timing: Timing
    max_waiting_per_node: Positive = 20
    max_kv_cache_usage: Target = Target(0.85)
    max_usd_per_million_tokens: Usd | None = None
    owner: Name | None = None


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which share (`target`) of a pool's requests must be good, by `indicator`, over `window`.

    `per: tenant` keeps a budget of each tenant as gateways count them, beside the whole.
    """

    id: Name
    pool: Name
    indicator: Indicator
    target: Target
    window: Window
    bucket_mismatch: BucketMismatch = "unknown"
    per: str | None = None

    @property
    def budget_ratio(self) -> float:
        """Share of requests that may be bad: 1 - target, rounded to drop binary noise (1 - 0.999 is not 0.001)."""
        return round(1 - self.target, 12)

    @property
    def has_bounds(self) -> bool:
        """Whether its good requests may be known as an interval only: a latency whose limit need not be a bucket bound."""
        return self.bucket_mismatch == "bounds" and self.indicator.kind in LATENCIES

    @property
    def spec_hash(self) -> str:
        """Identity of what is counted and against which target: 12 hex digits that change when either does. `per` changes neither."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name != "per"}
        return sha256(msgspec.json.encode(fields, enc_hook=str)).hexdigest()[:12]


class Exclusion(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}, kw_only=True
):
    """Time that is not counted, by whom and why: of one objective, of one pool, or (neither given) of all."""

    start: Moment
    end: Moment
    created_by: Said
    reason: Said
    objective: Name | None = None
    pool: Name | None = None

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"to {self.end.isoformat()} is not after from {self.start.isoformat()}; exchange them")
        if self.objective and self.pool:
            raise ValueError("names an objective and a pool; name one of them, or neither for everything")


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole objectives file."""

    version: Literal["plimsoll/v1"]
    pools: tuple[Pool, ...]
    objectives: tuple[Objective, ...]
    exclusions: tuple[Exclusion, ...] = ()

    def pool(self, name: str) -> Pool:
        """Return the pool of that name; raises KeyError."""
        return {pool.name: pool for pool in self.pools}[name]

    def objective(self, name: str) -> Objective:
        """Return the objective of that id; raises KeyError."""
        return {objective.id: objective for objective in self.objectives}[name]


def load(text: str) -> Spec:
    """Read an objectives file's text; raises SpecError that names path and fix."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError(f"not YAML: {' '.join(str(error).split())}") from error
    try:
        spec = msgspec.convert(data, Spec, dec_hook=_decode)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        path = path.rstrip("`").lstrip(".")
        choices = " or ".join(_CHOICES.get(path.rpartition(".")[2], ()))
        raise SpecError(f"{path or 'top level'}: {message}{choices and f'; write {choices}'}") from error
    _check_names(spec)
    return spec


def _decode(kind: Any, value: object) -> Any:
    return kind.parse(value)


def _check_names(spec: Spec) -> None:
    """Refuse names that are used twice or point nowhere; one model belongs to one pool."""
    groups = {
        "pools: name": [pool.name for pool in spec.pools],
        "pools: model": [pool.model for pool in spec.pools],
        "objectives: id": [objective.id for objective in spec.objectives],
    }
    for path, names in groups.items():
        for name, uses in Counter(names).items():
            if uses > 1:
                raise SpecError(f"{path} {name!r} is used {uses} times; each must be its own")
    pools, objectives = {pool.name for pool in spec.pools}, {objective.id for objective in spec.objectives}
    for index, item in enumerate(spec.exclusions):
        for field, named, known in (("objective", item.objective, objectives), ("pool", item.pool, pools)):
            if named is not None and named not in known:
                raise SpecError(
                    f"exclusions[{index}].{field}: there is no {named!r}; there are {', '.join(sorted(known))}"
                )
    for index, objective in enumerate(spec.objectives):
        if objective.pool not in pools:
            raise SpecError(
                f"objectives[{index}].pool: {objective.pool!r} is not a pool; pools are {', '.join(sorted(pools))}"
            )
        if objective.per not in (None, "tenant"):
            raise SpecError(f"objectives[{index}].per: {objective.per!r} is not known; write tenant, or leave it out")
        if objective.per and objective.indicator.kind == "goodput":
            raise SpecError(
                f"objectives[{index}].per: a gateway does not evaluate goodput by tenant; leave it out, or put it on an objective "
                "for a latency or for availability"
            )
