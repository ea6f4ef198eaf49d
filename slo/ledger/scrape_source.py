"""The embedded source: the service scrapes the exporters itself and retains some hours of raw samples in its own database.

A scrape is stored in one transaction before anything is counted from it, so a killed service counts on from the last
stored scrape, exactly as it would have from Prometheus.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from urllib.parse import urlsplit

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from plimsoll.slo.ledger.database import writing
from plimsoll.slo.ledger.schema import scraped_samples, scraped_series
from plimsoll.slo.metrics import GATEWAY_REQUESTS, REPLICA_START
from plimsoll.slo.sources import Series, SourceError
from plimsoll.slo.sources.http import HttpClient, HttpError, Request, Response
from plimsoll.slo.sources.http_config import NO_CREDENTIALS, Credentials
from plimsoll.slo.sources.metrics_page import LIMIT_BYTES, Sample, samples
from plimsoll.slo.sources.selector import Selector

# For a whole scrape: less than the interval of scrapes, so that a slow target delays none of the next one.
SCRAPE_SECONDS = 4.0
NAMED = 5  # pages that an error names; `problems` has them all
KEEP_SECONDS = 6 * 3600.0
log = logging.getLogger("plimsoll.scrape")


class ScrapeSource:
    """Scrapes exporter pages and answers for what it scraped. A page that fails costs its own samples only.

    Of every page it stores what `wanted` selects, and `problems` holds why, per page that failed in the last scrape: `URL: reason`.
    """

    def __init__(
        self,
        urls: Sequence[str],
        engine: Engine,
        wanted: Sequence[Selector],
        clock: Callable[[], float] = time.time,
        credentials: Credentials = NO_CREDENTIALS,
    ) -> None:
        """`urls` are exporters' roots or pages; only series that `wanted` selects are stored; `clock` gives Unix seconds."""
        self.name = "scrape:" + ",".join(urls)
        self.problems: tuple[str, ...] = ()
        self._pages = [url if url.endswith("/metrics") else url.rstrip("/") + "/metrics" for url in urls]
        self._engine = engine
        self._clock = clock
        self.wanted = tuple(wanted)
        self._ids: dict[tuple[str, str], int] = {}
        self._insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
        self._http = HttpClient(credentials)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def scrape(self) -> None:
        """Read every page once and keep its samples, each as it arrives; raises SourceError where every page failed."""
        at, problems = self._clock(), {}
        for page, found in self._read(self.wanted):
            if isinstance(found, str):
                problems[page] = found
            else:
                self._keep(at, found)
        self._report([f"{page}: {problems[page]}" for page in self._pages if page in problems])

    def now(self, selectors: Sequence[Selector]) -> list[Series]:
        """Read every page once for any series, and store nothing. What can't be read is missing."""
        at = self._clock()
        pages = (found for _, found in self._read(selectors) if not isinstance(found, str))
        return [Series(one.name, one.labels, [(at, one.value)]) for found in pages for one in found]

    def _read(self, selectors: Sequence[Selector]) -> Iterator[tuple[str, list[Sample] | str]]:
        """Yield of every page, as it arrives, the selected samples, or why there are none."""
        pages: dict[Future[Response], str] = {}
        for page in self._pages:
            try:
                pages[self._http.start(Request(page, SCRAPE_SECONDS, LIMIT_BYTES))] = page
            except HttpError as error:
                yield page, str(error)
        for future in as_completed(pages):
            page = pages.pop(future)  # a stored page's text is let go of
            try:
                found = list(self._select(page, future.result(), selectors))
            except HttpError as error:
                yield page, f"no answer: {error}"
            except ValueError as error:
                yield page, f"not a metrics page: {error}"
            else:
                yield page, found

    def _report(self, problems: Sequence[str]) -> None:
        """Log each problem when it begins; raises SourceError where no page was read."""
        for problem in problems:
            if problem not in self.problems and len(problems) < len(self._pages):
                log.warning("scrape %s. The other targets are stored.", problem)
        self.problems = tuple(problems)
        if len(problems) == len(self._pages):
            more = len(problems) - NAMED
            raise SourceError("; ".join(problems[:NAMED]) + (f"; and {more} more" if more > 0 else ""))

    def _select(self, page: str, response: Response, selectors: Sequence[Selector]) -> Iterable[Sample]:
        """Yield the selected samples of a response; raises HttpError, ValueError."""
        if response.status != 200:
            raise HttpError(f"HTTP {response.status}")
        instance = urlsplit(page).netloc
        names = {selector.name for selector in selectors}
        for sample in samples(response.body, response.framed, names):
            labels = {**sample.labels, "instance": instance}
            if any(selector.matches(sample.name, labels) for selector in selectors):
                yield sample._replace(labels=labels)

    def _keep(self, at: float, samples: list[Sample]) -> None:
        at_ms = round(at * 1000)
        keyed = {(name, json.dumps(labels, sort_keys=True)): value for name, labels, value in samples}
        ids = self._ids
        with writing(self._engine) as connection:
            new = [{"name": name, "labels": labels} for name, labels in keyed if (name, labels) not in ids]
            if new:
                connection.execute(self._insert(scraped_series).on_conflict_do_nothing(), new)
                ids = {(row.name, row.labels): row.id for row in connection.execute(select(scraped_series))}
            rows = [{"series": ids[key], "at_ms": at_ms, "value": value} for key, value in keyed.items()]
            if rows:
                connection.execute(self._insert(scraped_samples).on_conflict_do_nothing(), rows)
            connection.execute(delete(scraped_samples).where(scraped_samples.c.at_ms < at_ms - KEEP_SECONDS * 1000))
        self._ids = ids  # only now: after a failed commit, the database gives the same numbers to other series

    def series(self, selectors: Sequence[Selector], start: float, end: float) -> list[Series]:
        """Return the stored samples with start < time <= end of all selected series."""
        query = (
            select(scraped_series.c.name, scraped_series.c.labels, scraped_samples.c.at_ms, scraped_samples.c.value)
            .join(scraped_samples, scraped_samples.c.series == scraped_series.c.id)
            .where(scraped_series.c.name.in_({selector.name for selector in selectors}))
            .where(scraped_samples.c.at_ms > round(start * 1000), scraped_samples.c.at_ms <= round(end * 1000))
            .order_by(scraped_samples.c.at_ms)
        )
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        with self._engine.connect() as connection:
            for name, text, at_ms, value in connection.execute(query):
                found.setdefault((name, text), []).append((at_ms / 1000, value))
        series = (Series(name, json.loads(text), samples) for (name, text), samples in found.items())
        return [item for item in series if any(s.matches(item.name, item.labels) for s in selectors)]

    def earliest(self, since: float, now: float) -> float:
        """Return the time of the oldest stored observation of a replica or gateway."""
        query = (
            select(func.min(scraped_samples.c.at_ms))
            .join(scraped_series, scraped_samples.c.series == scraped_series.c.id)
            .where(scraped_series.c.name.in_([REPLICA_START.name, GATEWAY_REQUESTS.name]))
        )
        with self._engine.connect() as connection:
            oldest = connection.execute(query).scalar()
        return now if oldest is None else min(now, max(since, oldest / 1000 - 1))
