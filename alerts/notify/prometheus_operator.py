"""The rules and the routing as objects of the Prometheus operator: PrometheusRule and AlertmanagerConfig.

The operator's AlertmanagerConfig (v1alpha1, the version that needs no webhook for conversion) has the same settings as Alertmanager's
file under other names, and reads secrets of its namespace instead of files.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from plimsoll.alerts.notify.receivers import Receivers
from plimsoll.alerts.notify.routing import config
from plimsoll.alerts.rules import Sites
from plimsoll.slo.spec.objectives import Spec

SECRET = "plimsoll-receivers"  # noqa: S105 - the name of the secret that has the receivers' credentials
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"(.*)"')
# Names that camel case alone doesn't give.
_NAMES = {
    "api_key_file": "apiKey",
    "api_url_file": "apiURL",
    "client_url": "clientURL",
    "credentials_file": "credentials",
    "href": "href",
    "links": "pagerDutyLinkConfigs",
    "routing_key_file": "routingKey",
    "source_matchers": "sourceMatch",
    "target_matchers": "targetMatch",
    "webhook_url_file": "webhookURL",
}


def prometheus_rule(name: str, rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return a PrometheusRule with a rule file's content."""
    metadata = {"name": name, "labels": {"app.kubernetes.io/name": "plimsoll"}}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata,
        "spec": dict(rules),
    }


def alertmanager_config(spec: Spec, receivers: Receivers, sites: Sites) -> dict[str, Any]:
    """Return the spec of an AlertmanagerConfig that routes as Alertmanager's file does, with credentials of the secret SECRET.

    Without the file's global settings, which an AlertmanagerConfig can't have.
    """
    whole = config(spec, receivers, sites)
    return {
        "route": _converted(whole["route"]),
        "inhibitRules": _converted(whole["inhibit_rules"]),
        "receivers": _converted(whole["receivers"]),
    }


def _converted(value: Any) -> Any:
    if isinstance(value, list):
        return [_converted(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {_name(key): _SPECIAL.get(key, _converted)(one) for key, one in value.items()}


def _name(key: str) -> str:
    first, *rest = key.split("_")
    return _NAMES.get(key, first + "".join(word.capitalize() for word in rest))


def _matchers(texts: list[str]) -> list[dict[str, str]]:
    found = [match.groups() for text in texts if (match := _MATCHER.fullmatch(text))]
    if len(found) < len(texts):
        raise ValueError(f"not a matcher of one label each: {texts}")
    return [{"name": name, "matchType": kind, "value": value} for name, kind, value in found]


def _secret(path: str) -> dict[str, str]:
    """Return the secret's key that stands for a file: its name."""
    return {"name": SECRET, "key": path.rsplit("/", 1)[-1]}


def _details(details: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in details.items()]


def _links(links: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{"href": one["href"], "alt": one["text"]} for one in links]


_SPECIAL: dict[str, Callable[[Any], Any]] = {
    "api_key_file": _secret,
    "api_url_file": _secret,
    "credentials_file": _secret,
    "details": _details,
    "headers": _details,
    "links": _links,
    "matchers": _matchers,
    "routing_key_file": _secret,
    "source_matchers": _matchers,
    "target_matchers": _matchers,
    "webhook_url_file": _secret,
}
