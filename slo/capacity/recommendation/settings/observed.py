"""Settings of the engines that run, from their exporters. What isn't read, or differs between replicas, is unknown."""

from collections import defaultdict
from collections.abc import Sequence
from typing import get_args

from plimsoll.slo import metrics
from plimsoll.slo.capacity.model.signals import STALE
from plimsoll.slo.capacity.recommendation.settings.models import Setting
from plimsoll.slo.sli.increments import Unit, unit
from plimsoll.slo.sources import Series

SETTINGS: tuple[Setting, ...] = get_args(Setting)


def observed_settings(series: Sequence[Series], now: float) -> dict[str, int]:
    """Return the settings that every replica reports, all of its ranks with one value, at `now` (Unix seconds)."""
    reporting: set[Unit] = set()
    found: dict[str, dict[Unit, set[int]]] = defaultdict(lambda: defaultdict(set))
    for name, labels, samples in series:
        if "replica" not in labels or not samples or now - samples[-1][0] > STALE:
            continue
        if name == metrics.REQUESTS_WAITING.name:
            reporting.add(unit(labels))
        elif name == metrics.ENGINE_SETTING.name:
            found[labels.get("setting", "")][unit(labels)].add(round(samples[-1][1]))
    known: dict[str, int] = {}
    for setting in SETTINGS:
        values = set[int]().union(*found[setting].values())
        if reporting and reporting <= found[setting].keys() and len(values) == 1 and min(values) > 0:
            known[setting] = values.pop()
    return known
