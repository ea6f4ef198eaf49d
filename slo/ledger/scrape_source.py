"""The embedded source: the service scrapes the exporters itself and retains some hours of raw samples in its own database.

A scrape is stored in one transaction before anything is counted from it, so a killed service counts on from the last
stored scrape, exactly as it would have from Prometheus.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from plimsoll.slo.ledger.database import writing
from plimsoll.slo.ledger.schema import scraped_samples, scraped_series
from plimsoll.slo.metrics import REPLICA_START
from plimsoll.slo.sources import Series, SourceError
from plimsoll.slo.sources.selector import Selector

TIMEOUT_SECONDS = 5.0
KEEP_SECONDS = 6 * 3600.0
Sample = tuple[str, dict[str, str], float]


class ScrapeSource:
    """Scrapes exporter pages and answers for what it scraped."""

    def __init__(
        self,
        urls: Sequence[str],
        engine: Engine,
        wanted: Sequence[Selector],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`urls` are exporters' roots or pages; only series that `wanted` selects are stored; `clock` gives Unix seconds."""
        self.name = "scrape:" + ",".join(urls)
        self._pages = [url if url.endswith("/metrics") else url.rstrip("/") + "/metrics" for url in urls]
        self._engine = engine
        self._clock = clock
        self._wanted = tuple(wanted)
        self._ids: dict[tuple[str, str], int] = {}
        self._insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
        self._client = httpx.Client(timeout=TIMEOUT_SECONDS)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def scrape(self) -> None:
        """Read every page once and keep its samples; raises SourceError that names the pages that failed."""
        failed = []
        with ThreadPoolExecutor(max_workers=min(16, len(self._pages))) as pool:
            for page, result in zip(self._pages, pool.map(self._read, self._pages), strict=True):
                if isinstance(result, str):
                    failed.append(f"{page}: {result}")
                else:
                    self._keep(*result)
        if failed:
            raise SourceError("; ".join(failed))

    def _read(self, page: str) -> tuple[float, list[Sample]] | str:
        """Return the moment of the scrape and the wanted samples, or what went wrong."""
        at = self._clock()
        try:
            answer = self._client.get(page)
            answer.raise_for_status()
            return at, list(self._select(answer.text, httpx.URL(page).netloc.decode()))
        except httpx.HTTPError as error:
            return f"no answer: {error or type(error).__name__}"
        except ValueError as error:
            return f"not a metrics page: {error}"

    def _select(self, text: str, instance: str) -> Iterable[Sample]:
        names = {selector.name for selector in self._wanted}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in names and any(s.matches(sample.name, sample.labels) for s in self._wanted):
                    yield sample.name, {**sample.labels, "instance": instance}, sample.value

    def _keep(self, at: float, samples: list[Sample]) -> None:
        at_ms = round(at * 1000)
        keyed = {(name, json.dumps(labels, sort_keys=True)): value for name, labels, value in samples}
        with writing(self._engine) as connection:
            new = [{"name": name, "labels": labels} for name, labels in keyed if (name, labels) not in self._ids]
            if new:
                connection.execute(self._insert(scraped_series).on_conflict_do_nothing(), new)
                self._ids = {(row.name, row.labels): row.id for row in connection.execute(select(scraped_series))}
            rows = [{"series": self._ids[key], "at_ms": at_ms, "value": value} for key, value in keyed.items()]
            if rows:
                connection.execute(self._insert(scraped_samples).on_conflict_do_nothing(), rows)
            connection.execute(delete(scraped_samples).where(scraped_samples.c.at_ms < at_ms - KEEP_SECONDS * 1000))

    def series(self, selectors: Sequence[Selector], start: float, end: float) -> list[Series]:
        """Return the stored samples with start < time <= end of all selected series."""
        query = (
            select(scraped_series.c.name, scraped_series.c.labels, scraped_samples.c.at_ms, scraped_samples.c.value)
            .join(scraped_samples, scraped_samples.c.series == scraped_series.c.id)
            .where(scraped_series.c.name.in_({selector.name for selector in selectors}))
            .where(scraped_samples.c.at_ms > round(start * 1000), scraped_samples.c.at_ms <= round(end * 1000))
            .order_by(scraped_samples.c.at_ms)
        )
        found: dict[tuple[str, str], Series] = {}
        with self._engine.connect() as connection:
            for name, text, at_ms, value in connection.execute(query):
                if (name, text) not in found:
                    found[name, text] = Series(name, json.loads(text), [])
                found[name, text].samples.append((at_ms / 1000, value))
        return [item for item in found.values() if any(s.matches(item.name, item.labels) for s in selectors)]

    def earliest(self, since: float, now: float) -> float:
        """Return the time of the oldest stored observation of a replica."""
        query = (
            select(func.min(scraped_samples.c.at_ms))
            .join(scraped_series, scraped_samples.c.series == scraped_series.c.id)
            .where(scraped_series.c.name == REPLICA_START.name)
        )
        with self._engine.connect() as connection:
            oldest = connection.execute(query).scalar()
        return now if oldest is None else min(now, max(since, oldest / 1000 - 1))
