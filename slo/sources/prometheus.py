"""Raw samples from anything that speaks Prometheus' HTTP API: Prometheus, Thanos, Mimir, VictoriaMetrics.

An incomplete response is none: a store that lacks a part answers `success` with `warnings` (Prometheus over remote read,
Thanos, Cortex) or `isPartial` (the VictoriaMetrics cluster), and counts from it would be too low.
"""

import math
import time
from array import array
from collections.abc import Sequence
from contextlib import suppress
from itertools import accumulate
from typing import TypeVar

import msgspec

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.metrics import GATEWAY_REQUESTS, REPLICA_START
from plimsoll.slo.sources import Series, SourceError
from plimsoll.slo.sources.batches import Batch, alone
from plimsoll.slo.sources.http import HttpClient, HttpError, Request, Response
from plimsoll.slo.sources.http_config import NO_CREDENTIALS, Credentials
from plimsoll.slo.sources.samples import Line, Pairs, Samples, Shared, Times
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.units import PROMETHEUS_UNITS, compound

QUERY_SECONDS = 30.0  # for one response
SERIES_SECONDS = 90.0  # for all responses of one call of `series`
LIMIT_QUERY = 12_000  # characters: VictoriaMetrics takes no query above 16 KiB
LIMIT_BYTES = 256 * 2**20  # an hour of 5,000 series, read every 5 s, has 130 MiB
# Grids of `earliest`, coarse to fine (seconds).
GRIDS = (3600.0, 60.0)
# Rather an error than a part (Thanos; VictoriaMetrics), and no downsampled data (Thanos). Others ignore these.
COMPLETE = {"partial_response": "false", "deny_partial_response": "1", "max_source_resolution": "0s"}


Key = tuple[str, Pairs]  # of a series: its name and labels


class _Matrix(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]] = []


class _Vector(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct, rename="camel"):
    result_type: str
    result: msgspec.Raw


class _Answer(msgspec.Struct, rename="camel"):
    status: str
    data: _Data | None = None
    error: str | None = None
    warnings: list[str] | None = None
    is_partial: bool | None = None


Result = TypeVar("Result", _Matrix, _Vector)
_TYPES = {_Matrix: "matrix", _Vector: "vector"}


class PrometheusSource:
    """Reads `selector[range]` by instant queries, which return samples as they were scraped, not interpolated ones."""

    def __init__(self, url: str, credentials: Credentials = NO_CREDENTIALS) -> None:
        """`url` is the server's root, such as http://127.0.0.1:9090, without credentials."""
        self.name = f"prometheus:{url}"
        self._url = url.rstrip("/")
        self._http = HttpClient(credentials)

    def series(self, selectors: Sequence[Selector], start: float, end: float) -> list[Series]:
        """Return the samples with start < time <= end of all selected series, without NaN (a sample that is absent).

        Raises SourceError, at the latest SERIES_SECONDS after the call.
        """
        deadline = time.monotonic() + SERIES_SECONDS
        shared = Shared()
        found: dict[Key, Line] = {}
        for batch in alone(selectors):
            for lines in self.read(batch, start, end, deadline, shared).values():
                found |= lines
        return [item for item in (without_nan(Series(*line)) for line in found.values()) if item.samples]

    def read(
        self,
        batch: Batch,
        start: float,
        end: float,
        deadline: float,
        shared: Shared,
    ) -> dict[Selector, dict[Key, Line]]:
        """Return the samples with start < time <= end of each selector, NaN included, until `deadline` (of time.monotonic).

        `shared` has what series of the same call have in common. Raises SourceError.
        """
        # Whole milliseconds, and one more than needed: Prometheus 2 includes a range's start, Prometheus 3 does not.
        range_ms = max(1, round((end - start) * 1000)) + 1
        found: dict[Selector, dict[Key, Line]] = {selector: {} for selector in batch.selectors}
        for item in self._query(batch.promql(f"{range_ms}ms"), end, _Matrix, deadline):
            labels = item.metric
            name = labels.pop("__name__", batch.names[0])
            samples = _samples(item.values, start, end, shared.times)
            if samples.times:
                pairs = shared.pairs(labels)
                key, line = (name, pairs), Line(name, dict(pairs), samples)
                for selector in batch.selecting(name, labels):
                    found[selector][key] = line
        return found

    def counts(self, selectors: Sequence[Selector], start: float, end: float, deadline: float) -> list[int]:
        """Return how many samples with start < time <= end each selector has; raises SourceError.

        Prometheus 2 counts those at `start` as well, so choose one where there are none.
        """
        parts = []
        for index, selector in enumerate(selectors):
            number_of = f"sum(count_over_time({selector.promql(over=f'{round((end - start) * 1000)}ms')}))"
            parts.append(f'label_replace({number_of}, "part", "{index}", "", "")')
        found: dict[str, float] = {}
        while parts:
            lengths = accumulate(len(part) + 4 for part in parts)
            few = max(1, sum(length <= LIMIT_QUERY for length in lengths))
            for item in self._query(" or ".join(parts[:few]), end, _Vector, deadline):
                found[item.metric["part"]] = number(item.value[1])
            parts = parts[few:]
        return [round(found.get(str(index), 0)) for index in range(len(selectors))]

    def earliest(self, since: float, now: float) -> float:
        """Return a time before which no replica and no gateway has a sample, at most a minute early; raises SourceError.

        Queried on a grid, first of an hour and then of a minute: reading every sample of a long retention costs too much.
        """
        deadline = time.monotonic() + SERIES_SECONDS
        begin, end = since, now
        for grid in GRIDS:
            span = f"{max(1, round(end - begin))}s:{grid:.0f}s"
            first = (f"min_over_time(timestamp({metric})[{span}])" for metric in (REPLICA_START, GATEWAY_REQUESTS))
            expression = f"min({' or '.join(first)})"
            result = self._query(expression, end, _Vector, deadline)
            end = min(end, number(result[0].value[1])) if result else end
            begin = max(since, end - grid)
        return begin

    def slots_with_result(self, query: str, start: int, end: int) -> list[int]:
        """Return the slots from `start` until before `end` in which a query had a result other than 0; raises SourceError.

        Evaluated every 30 s, without the first moment of a slot, which belongs to the one before; Prometheus 2 would include it.
        """
        in_slot = f"(max(max_over_time(abs({query})[{SLOT - 1}s:30s])) > 0)"
        deadline = time.monotonic() + QUERY_SECONDS
        found = self._query(f"{in_slot}[{end - start}s:{SLOT}s]", end, _Matrix, deadline)
        return [round(at) - SLOT for item in found for at, _ in item.values if at > start]

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def retention(self) -> float | None:
        """Return for how many seconds the server keeps samples; None where it doesn't report that (servers other than Prometheus)."""
        request = Request(f"{self._url}/api/v1/status/runtimeinfo", QUERY_SECONDS, 2**20)
        try:
            text = msgspec.json.decode(self._http.send(request).body)["data"]["storageRetention"]
            limits = str(text).split(" or ")  # a time, a size, or both: `15d or 10GiB`
        except (HttpError, ValueError, KeyError, TypeError):
            return None
        for limit in limits:
            with suppress(ValueError):
                return compound(limit, PROMETHEUS_UNITS)
        return None

    def _query(self, expression: str, at: float, kind: type[Result], deadline: float) -> list[Result]:
        seconds = min(QUERY_SECONDS, deadline - time.monotonic())
        if seconds <= 0:
            raise SourceError(f"{self._url}: too slow: the queries took {SERIES_SECONDS:g} s together. Check its load.")
        form = {"query": expression, "time": f"{at:.3f}", **COMPLETE}
        try:
            response = self._http.send(
                Request(f"{self._url}/api/v1/query", seconds, LIMIT_BYTES, form, compressed=True)
            )
        except HttpError as error:
            raise SourceError(
                f"{self._url}: no response from the Prometheus API: {error}. Check the address and the server."
            ) from error
        return self._result(response, kind)

    def _result(self, response: Response, kind: type[Result]) -> list[Result]:
        """Return the result of a whole, complete response; raises SourceError."""
        try:
            answer = msgspec.json.decode(response.body, type=_Answer)
        except (ValueError, RecursionError) as error:
            raise self._not_the_api(response, error) from error
        if answer.status != "success" or response.status != 200:
            raise SourceError(
                f"{self._url}: query rejected ({response.status}): {_line(answer.error or answer.status)}"
            )
        # Prometheus 2.48 to 2.54 has remarks on the expression among the warnings; later versions have `infos` for them.
        warnings = [one for one in answer.warnings or () if not one.startswith("PromQL info")]
        if warnings or answer.is_partial:
            raise SourceError(
                f"{self._url}: incomplete response: {_line(warnings[0]) if warnings else 'isPartial'}. "
                "Nothing is counted from it. Check the stores behind the server."
            )
        try:
            if answer.data is None or answer.data.result_type != _TYPES[kind]:
                raise ValueError(f"no {_TYPES[kind]} in it")
            return msgspec.json.decode(answer.data.result, type=list[kind])  # type: ignore[valid-type]
        except (ValueError, RecursionError) as error:
            raise self._not_the_api(response, error) from error

    def _not_the_api(self, response: Response, error: Exception) -> SourceError:
        begin = _line(response.body[:400].decode(errors="replace"))[:100] or "empty"
        return SourceError(
            f"{self._url}: not a response of the Prometheus API (HTTP {response.status}, {_line(str(error))}): {begin}. "
            "Check the address and the credentials."
        )


def without_nan(item: Series) -> Series:
    """Return a series without the samples that are NaN."""
    if not any(map(math.isnan, (value for _, value in item.samples))):
        return item
    return item._replace(samples=[sample for sample in item.samples if not math.isnan(sample[1])])


def _samples(values: list[tuple[float, str]], start: float, end: float, shared: dict[Times, Times]) -> Samples:
    """Return those with start < time <= end, which are nearly always all."""
    if not values or values[0][0] <= start or values[-1][0] > end:
        values = [one for one in values if start < one[0] <= end]
    times = tuple([at for at, _ in values])
    try:
        numbers = array("d", [float(text) for _, text in values])
    except ValueError:
        numbers = array("d", [number(text) for _, text in values])
    return Samples(shared.setdefault(times, times), numbers)


def number(text: str) -> float:
    """Read a sample's value; one that isn't a number is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _line(text: str) -> str:
    """Return one line of printable text, at most 200 characters."""
    return "".join(char if char.isprintable() else " " for char in " ".join(text.split()))[:200].rstrip(".")
