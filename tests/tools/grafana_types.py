"""A dashboard against Grafana's own types, from grafana-foundation-sdk (generated from Grafana's schemas)."""

import json
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it recommends version 2 of the schema, which Grafana 10 lacks
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

register_default_plugins()


def losses(dashboard: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths that are lost or changed when a dashboard is read into Grafana's types and written again."""
    return _losses(dashboard, json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder)))


def _losses(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Yield the paths at which `after` lacks or changes a value of `before`; keys that Grafana adds are ignored."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from _losses(value, after[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from _losses(*pair, f"{path}[{index}]")
    elif before != after:
        yield path
