"""Features that the demo's engine model lacks: an external prefix cache, speculative decoding, KV cache transfers and a LoRA adapter.

SIMULATED: fixed fractions of the engine model's counts, so that tests know what the panels must show.
"""

from collections.abc import Iterator, Sequence

from plimsoll.exporters.collector import Point
from plimsoll.slo import metrics as c

EXTERNAL_HIT_RATIO = 0.3  # of the tokens that missed the GPU's cache
PROPOSED, ACCEPTED = 4, 1.5  # tokens per draft
LAW = 0.25  # fraction of the requests for the adapter `law`


def with_features(points: Sequence[Point]) -> Iterator[Point]:
    """Yield the points with those of the features added. Counters stay integers and never decrease."""
    missed = 0.0
    for point in points:
        if point.metric == c.PREFIX_QUERIED:
            missed += point.value
        if point.metric == c.PREFIX_HIT:
            missed -= point.value
    for point in points:
        if point.metric == c.EXTERNAL_PREFIX_QUERIED:
            yield point._replace(value=missed)
        elif point.metric == c.EXTERNAL_PREFIX_HIT:
            yield point._replace(value=float(int(missed * EXTERNAL_HIT_RATIO)))
        else:
            yield point
        if point.metric == c.GENERATION_TOKENS:
            drafts = int(point.value / (1 + ACCEPTED))
            for metric, each in ((c.DRAFTS, 1), (c.DRAFTED, PROPOSED), (c.DRAFTED_ACCEPTED, ACCEPTED)):
                yield Point(metric, point.labels, float(int(drafts * each)))
        yield from _transfers(point)
        if point.metric == c.OBJECTIVE_REQUESTS:
            law = int(point.value * LAW)
            for adapter, value in (("law", law), ("none", point.value - law)):
                labels = {**point.labels, "adapter": adapter, "deployment": ""}
                yield Point(c.ADAPTER_REQUESTS, labels, float(value))


def _transfers(point: Point) -> Iterator[Point]:
    """As if each request's KV cache were transferred while it waits."""
    if point.metric == c.REQUESTS_WAITING:
        yield Point(c.WAITING_BY_REASON, {**point.labels, "reason": "capacity"}, point.value)
    if point.metric == c.QUEUE:
        yield point._replace(metric=c.KV_TRANSFER_TIME)
    if point.metric == c.QUEUE and point.suffix == "_count":
        yield Point(c.KV_TRANSFER_FAILURES, {**point.labels, "reason": "expired"}, float(int(point.value * 0.001)))
