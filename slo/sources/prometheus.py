"""Raw samples from anything that speaks Prometheus' HTTP API: Prometheus, Thanos, Mimir, VictoriaMetrics."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import httpx

from plimsoll.slo.metrics import REPLICA_START
from plimsoll.slo.sources import Series, SourceError
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.units import PROMETHEUS_UNITS, compound

TIMEOUT_SECONDS = 30.0
GRID_SECONDS = 3600.0


class PrometheusSource:
    """Reads `selector[range]` by instant queries, which return samples as they were scraped, not interpolated ones."""

    def __init__(self, url: str, client: httpx.Client | None = None) -> None:
        """`url` is the server's root, such as http://127.0.0.1:9090."""
        self.name = f"prometheus:{url}"
        self._url = url.rstrip("/")
        self._client = client or httpx.Client(timeout=TIMEOUT_SECONDS)

    def series(self, selectors: Sequence[Selector], start: float, end: float) -> list[Series]:
        """Return the samples with start < time <= end of all selected series; raises SourceError."""
        # Whole milliseconds, and one more than needed: Prometheus 2 includes a range's start, Prometheus 3 does not.
        range_ms = max(1, round((end - start) * 1000)) + 1
        found: dict[tuple[str, ...], Series] = {}
        for selector in selectors:
            for item in self._query(selector.promql(over=f"{range_ms}ms"), end):
                labels = dict(item["metric"])
                name = labels.pop("__name__")
                samples = [(float(at), float(value)) for at, value in item["values"] if start < float(at) <= end]
                if samples:
                    found[(name, *sorted(f"{key}={value}" for key, value in labels.items()))] = Series(
                        name, labels, samples
                    )
        return list(found.values())

    def earliest(self, since: float, now: float) -> float:
        """Return a time before which no replica has a sample, at most an hour early; raises SourceError.

        Queried on a grid of an hour: reading every sample of a long retention to find the first costs too much.
        """
        started = Selector(REPLICA_START.name)
        expression = f"min(min_over_time(timestamp({started})[{max(1, round(now - since))}s:1h]))"
        result = self._query(expression, now)
        return max(since, (float(result[0]["value"][1]) if result else now) - GRID_SECONDS)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def retention(self) -> float | None:
        """Return for how many seconds the server keeps samples; None where it doesn't report that (servers other than Prometheus)."""
        try:
            text = self._client.get(f"{self._url}/api/v1/status/runtimeinfo").json()["data"]["storageRetention"]
            limits = str(text).split(" or ")  # a time, a size, or both: `15d or 10GiB`
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return None
        for limit in limits:
            with suppress(ValueError):
                return compound(limit, PROMETHEUS_UNITS)
        return None

    def _query(self, expression: str, at: float) -> list[dict[str, Any]]:
        try:
            response = self._client.post(f"{self._url}/api/v1/query", data={"query": expression, "time": f"{at:.3f}"})
            body = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise SourceError(
                f"{self._url}: no response from the Prometheus API: {error or type(error).__name__}. Check the address."
            ) from error
        if not isinstance(body, dict) or body.get("status") != "success":
            reason = body.get("error") if isinstance(body, dict) else None
            raise SourceError(f"{self._url}: query rejected ({response.status_code}): {reason or response.text[:200]}")
        result: list[dict[str, Any]] = body["data"]["result"]
        return result
