"""What is counted as good and as total for an objective: one definition, read by the ledger and by the rules.

An objective can be counted from several kinds of evidence. They are listed best first, and the choice is made per
replica: the first kind of which a replica has any series. `request` is exact by construction (the plugin judged each
request); `bucket` is exact because the limit is a bound of the histogram; `counter` needs no limit.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from slo import catalogue
from slo.spec import Objective, Pool

HISTOGRAMS = {
    "time_to_first_token": catalogue.TTFT,
    "time_per_output_token": catalogue.TPOT,
    "request_duration": catalogue.DURATION,
}
SERVED = ("stop", "length")
FAILED = ("error",)


@dataclass(frozen=True, slots=True)
class Selector:
    """Series of one sample name whose labels have one of the given values."""

    name: str
    labels: tuple[tuple[str, tuple[str, ...]], ...]

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a series is selected."""
        return name == self.name and all(labels.get(label) in values for label, values in self.labels)

    def __str__(self) -> str:
        """Write the selector as PromQL."""
        matchers = [_matcher(label, values) for label, values in self.labels]
        return f"{self.name}{{{','.join(matchers)}}}"


def _matcher(label: str, values: tuple[str, ...]) -> str:
    if len(values) == 1:
        return f'{label}="{_quoted(values[0])}"'
    either = "|".join(_REGEX_CHARACTER.sub(r"\\\g<0>", value) for value in values)
    return f'{label}=~"{_quoted(either)}"'


_REGEX_CHARACTER = re.compile(r"[\\.+*?()|\[\]{}^$]")  # what RE2 gives a meaning


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


@dataclass(frozen=True, slots=True)
class Counting:
    """Good and total as sums of counters; `without` is taken off both. `source` names the kind of evidence."""

    source: str
    good: tuple[Selector, ...]
    total: tuple[Selector, ...]
    without: tuple[Selector, ...] = ()

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """Every selector that is read, once each."""
        return tuple(dict.fromkeys((*self.good, *self.total, *self.without)))


def countings(objective: Objective, pool: Pool) -> tuple[Counting, ...]:
    """List the ways in which an objective can be counted, best first."""
    if objective.indicator.kind == "availability":
        return (_availability(pool),)
    by_request = _by_request(objective)
    return (by_request,) if objective.indicator.kind == "goodput" else (by_request, _by_bucket(objective, pool))


def _select(name: str, **labels: str | tuple[str, ...]) -> Selector:
    return Selector(
        name, tuple((label, (value,) if isinstance(value, str) else value) for label, value in labels.items())
    )


def _by_request(objective: Objective) -> Counting:
    """Counted by objective id alone, so that two objectives on one pool never mix."""
    name = catalogue.OBJECTIVE_REQUESTS.name
    good = _select(name, objective=objective.id, outcome="good")
    return Counting("request", (good,), (good, _select(name, objective=objective.id, outcome="bad")))


def _by_bucket(objective: Objective, pool: Pool) -> Counting:
    """Exact where the limit is a bucket bound; where it is not, the bucket series does not exist and nothing is counted.

    Engines record a time per output token of 0 for requests with a single token, which have none: those are taken off.
    """
    kind = objective.indicator.kind
    histogram = HISTOGRAMS[kind]
    single = _select(catalogue.GENERATION_LENGTH.bucket, model=pool.model, le="1.0")
    return Counting(
        "bucket",
        (_select(histogram.bucket, model=pool.model, le=catalogue.bucket_bound(objective.indicator.limits[kind])),),
        (_select(histogram.count, model=pool.model),),
        (single,) if kind == "time_per_output_token" else (),
    )


def _availability(pool: Pool) -> Counting:
    """Served requests over served, failed, refused and given up while queued. A user's stop mid-stream is left out."""
    finished = catalogue.FINISHED.name
    served = _select(finished, model=pool.model, reason=SERVED)
    bad = (
        _select(finished, model=pool.model, reason=FAILED),
        _select(catalogue.REJECTED.name, model=pool.model),
        _select(catalogue.ABANDONED.name, model=pool.model, stage="queued"),
    )
    return Counting("counter", (served,), (served, *bad))
