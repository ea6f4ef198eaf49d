"""Recommendations told to whoever wants to be told: one POST for each that says something new, tried again until it is taken."""

import logging
from collections.abc import Iterable, Sequence

import httpx

from plimsoll.slo.capacity.recommendation.models import Recommendation

log = logging.getLogger("plimsoll.service")
BUSY_TIMEOUT_SECONDS = 5.0  # seconds for one delivery


class Webhook:
    """A receiver of the object that `pools/{pool}/recommendation` answers. Any 2xx takes it; after a restart the last is told again."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """`token` is sent as bearer token."""
        self.url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._told: dict[str, tuple[str, int | None]] = {}
        self._trouble = ""

    def tell(self, recommendations: Iterable[Recommendation]) -> None:
        """Deliver what each pool's receiver has not been told yet; a failure is logged once and tried again the next time."""
        news = [item for item in recommendations if self._told.get(item.pool) != (item.action, item.recommended_nodes)]
        if not news:
            return
        try:
            self._post(news)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = f"it answers {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else str(error)
            if why != self._trouble:
                # The host alone: an address may hold what only its receiver should know.
                log.error("webhook to %s failed: %s", httpx.URL(self.url).host, why)
            self._trouble = why
        else:
            self._trouble = ""

    def _post(self, news: Sequence[Recommendation]) -> None:
        with httpx.Client(headers=self._headers, timeout=BUSY_TIMEOUT_SECONDS) as client:
            for item in news:
                client.post(self.url, json=item.model_dump(mode="json")).raise_for_status()
                self._told[item.pool] = (item.action, item.recommended_nodes)
