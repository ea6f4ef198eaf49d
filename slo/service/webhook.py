"""Webhook for recommendations: one POST per change, retried until the receiver accepts it."""

import logging
from collections.abc import Iterable, Sequence

import httpx

from plimsoll.slo.capacity.recommendation.models import Recommendation

log = logging.getLogger("plimsoll.service")
TIMEOUT_SECONDS = 5.0


def why_failed(error: Exception) -> str:
    """Return why a POST failed, without its URL, which may contain a secret."""
    return f"it returned {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else str(error)


class Webhook:
    """A receiver of the response of `pools/{pool}/recommendation`. Any 2xx accepts it; after a restart the last one is sent again."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """`token` is sent as bearer token."""
        self.url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._delivered: dict[str, tuple[str, int | None]] = {}
        self._last_error = ""

    def deliver(self, recommendations: Iterable[Recommendation]) -> None:
        """Send what changed since the last delivery; a failure is logged once and retried at the next call."""
        changed = [
            item for item in recommendations if self._delivered.get(item.pool) != (item.action, item.recommended_nodes)
        ]
        if not changed:
            return
        try:
            self._post(changed)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = why_failed(error)
            if why != self._last_error:
                # The host only: the URL may contain a secret.
                log.error("webhook to %s failed: %s", httpx.URL(self.url).host, why)
            self._last_error = why
        else:
            self._last_error = ""

    def _post(self, changed: Sequence[Recommendation]) -> None:
        with httpx.Client(headers=self._headers, timeout=TIMEOUT_SECONDS) as client:
            for item in changed:
                client.post(self.url, json=item.model_dump(mode="json")).raise_for_status()
                self._delivered[item.pool] = (item.action, item.recommended_nodes)
