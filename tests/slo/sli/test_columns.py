"""What is worked out once for series that were read together is what each of them gives alone."""

from collections import Counter
from random import Random

import pytest

from plimsoll.slo.calendar import slot_of
from plimsoll.slo.metrics import ABANDONED, FINISHED, GPU_ENERGY, KV_CACHE_USAGE, REPLICA_START
from plimsoll.slo.sli.columns import Columns
from plimsoll.slo.sli.increments import Replica, increments, is_derived
from plimsoll.slo.sli.soundness import odd_samples
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.samples import Samples


def by_slot(grown: list[tuple[float, float]]) -> Counter[int]:
    found: Counter[int] = Counter()
    for at, by in grown:
        found[slot_of(at)] += int(by)
    return found


@pytest.mark.parametrize("seed", range(300))
def test_a_steady_counter_grows_by_slot_as_by_sample(seed: int) -> None:
    draw = Random(seed)  # noqa: S311 - a test's own
    times = [1_700_000_000.0 + 15 * i + draw.random() for i in range(draw.randrange(1, 90))]
    start = times[0] - draw.choice([100.0, 90_000.0])
    values = [float(draw.choice([0, 40]))]
    for _ in times[1:]:
        values.append(values[-1] + draw.choice([0, 0, 3]))
    restarted, fell, gap, absent = (draw.random() < 0.1 for _ in range(4))
    observed = [(at, start + (50_000.0 if restarted and index > 20 else 0.0)) for index, at in enumerate(times)]
    if fell and len(values) > 2:
        values[-1] = 1.0
    samples = list(zip(times, values, strict=True))
    if gap:
        observed = observed[:10] + [(at + 400, began) for at, began in observed[10:]]
        samples = samples[:10] + [(at + 400, value) for at, value in samples[10:]]
    if absent:
        samples = samples[1:] or samples
    name, labels = draw.choice([(FINISHED.name, {"reason": "stop"}), (ABANDONED.name, {"stage": "queued"})])
    item, replica = Series(name, labels, samples), Replica(observed)
    found = Columns().steady_growth(item, replica)
    expected = by_slot(increments(samples, replica, is_derived(item)))
    assert found is None or by_slot(found) == expected
    if not (restarted or fell or gap or absent):
        assert found is not None  # what is plain is worked out from the columns


@pytest.mark.parametrize("seed", range(300))
def test_odd_samples_are_the_same_in_columns(seed: int) -> None:
    draw = Random(seed)  # noqa: S311 - a test's own
    values = [float(draw.randrange(1000) + 10 * i) for i in range(30)]
    odd = [float("nan"), float("inf"), -1.0, 0.5, 2.0**60, 1.5e9, 1.9e9]
    for _ in range(draw.choice([0, 0, 1, 2])):
        values[draw.randrange(30)] = draw.choice(odd)
    samples = [(1_700_000_000.0 + 15 * i, value) for i, value in enumerate(values)]
    for name in (FINISHED.name, GPU_ENERGY.name, KV_CACHE_USAGE.name, REPLICA_START.name):
        plain = odd_samples(Series(name, {}, samples))
        columns = odd_samples(Series(name, {}, Samples.of(samples, {})))
        assert plain.keys() == columns.keys()
